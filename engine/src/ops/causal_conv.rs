//! CausalConvWithState: a convolution of each channel with its own few taps, which sees what came before.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, View,
        nd::{floats, given, optional},
        sample, standard,
    },
};

/// Inputs: x `[batch, channels, steps]`, weights `[channels, 1, taps]`, bias `[channels]`, the steps before `[batch, channels,
/// taps - 1]`, zeros when left out. Outputs: the result like x, the last `taps - 1` steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CausalConv {
    /// Whether the result is `y * sigmoid(y)`.
    pub silu: bool,
}

const BIAS: usize = 2;
const PAST: usize = 3;

/// The number of taps.
fn taps(weight: &Fact) -> Result<i64, OpError> {
    let taps = weight.shape.get(2).and_then(Expr::constant).filter(|taps| *taps > 0);
    taps.filter(|_| weight.rank() == 3).ok_or_else(|| invalid(format!("the weights are {weight}")))
}

impl Op for CausalConv {
    fn name(&self) -> &'static str {
        "CausalConvWithState"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let x = cx.input(0)?;
        let [batch, channels, _] = &x.shape[..] else {
            return Err(invalid(format!("{x} is not [batch, channels, steps]")));
        };
        let taps = taps(cx.input(1)?)?;
        let state = [batch.clone(), channels.clone(), Expr::from(taps - 1)];
        cx.expect(1, "weight", &[channels.clone(), Expr::ONE, Expr::from(taps)])?;
        cx.expect(BIAS, "bias", std::slice::from_ref(channels))?;
        cx.expect(PAST, "past", &state)?;
        Ok(vec![Fact::new(x.dtype, x.shape.clone()), Fact::new(x.dtype, state.to_vec())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, weight) = (given(inputs, 0)?, given(inputs, 1)?);
        let ([batch, channels, steps], [_, _, taps]) = (x.shape(), weight.shape()) else {
            return Err(invalid("x or the weights have not three dimensions"));
        };
        let (steps, before) = (*steps, taps.saturating_sub(1));
        let past = optional(inputs, PAST).map(HostTensor::to_f64s);
        let bias = optional(inputs, BIAS).map(HostTensor::to_f64s);
        let (data, weights) = (x.to_f64s(), weight.to_f64s());
        let (mut out, mut present) = (Vec::new(), Vec::new());
        for row in 0..batch * channels {
            let mut all =
                past.as_ref().map_or_else(|| vec![0.0; before], |p| p[row * before..][..before].to_vec());
            all.extend(&data[row * steps..][..steps]);
            let own = &weights[row % channels * taps..][..*taps];
            for t in 0..steps {
                let sum: f64 = own.iter().zip(&all[t..]).map(|(w, x)| w * x).sum();
                let sum = sum + bias.as_ref().map_or(0.0, |b| b[row % channels]);
                out.push(if self.silu { sum / (1.0 + (-sum).exp()) } else { sum });
            }
            present.extend(&all[steps..]);
        }
        Ok(vec![
            floats(x.dtype(), x.shape().to_vec(), &out)?,
            floats(x.dtype(), vec![*batch, *channels, before], &present)?,
        ])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, taps) = (cx.fact(0)?, taps(cx.fact(1)?)?);
        let (channels, steps) = (x.shape[1].clone(), x.shape[2].clone());
        let rows = &x.shape[0] * &channels;
        let (input, weight) = (cx.row_major(0)?, cx.row_major(1)?);
        let (out, present) = (Destination::contiguous(cx, 0)?, Destination::contiguous(cx, 1)?);
        let spec = KernelSpec::new("causal_conv")
            .with("ELEM", out.view.elem.wgsl())
            .flag("BIAS", cx.has_input(BIAS))
            .flag("PAST", cx.has_input(PAST))
            .flag("SILU", self.silu);
        // A state of no steps has no memory of its own.
        let state = if taps > 1 { &present.view } else { &out.view };
        let slot = |view: &View| Slot::View(view.clone());
        let mut slots = vec![
            ("x", slot(&input)),
            ("filters", slot(&weight)),
            ("out", slot(&out.view)),
            ("present", slot(state)),
        ];
        for (name, index) in [("biases", BIAS), ("past", PAST)] {
            if cx.has_input(index) {
                slots.push((name, Slot::View(cx.row_major(index)?)));
            }
        }
        let threads = &rows * (&steps + (taps - 1));
        let params = vec![
            ("rows", Param::Int(rows)),
            ("channels", Param::Int(channels)),
            ("steps", Param::Int(steps)),
            ("taps", Param::Int(taps.into())),
        ];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(threads.ceil_div(64)) });
        out.finish(cx)?;
        if taps > 1 { present.finish(cx) } else { Ok(()) }
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    match node.string("activation")?.unwrap_or("none") {
        "none" => Ok(Arc::new(CausalConv { silu: false })),
        "silu" | "swish" => Ok(Arc::new(CausalConv { silu: true })),
        other => Err(invalid(format!("activation {other:?} is not known"))),
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str, silu: bool, [steps, taps]: [usize; 2], bias: bool, past: bool| {
        let (batch, channels) = (2, 3);
        let inputs = vec![
            Some(sample::floats(&[batch, channels, steps], 1)),
            Some(sample::floats(&[channels, 1, taps], 2)),
            bias.then(|| sample::floats(&[channels], 3)),
            past.then(|| sample::floats(&[batch, channels, taps - 1], 4)),
        ];
        Case::new(name, CausalConv { silu }, inputs)
    };
    vec![
        case("zeros before", false, [7, 4], false, false),
        case("steps before", false, [7, 4], false, true),
        case("bias and silu", true, [5, 3], true, false),
        case("one step", true, [1, 4], true, true),
        case("fewer steps than taps", false, [2, 5], false, false),
        case("one tap", false, [4, 1], true, false),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("CausalConvWithState", 27..=27)], decode, cases };
