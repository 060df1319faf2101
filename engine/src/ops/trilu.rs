//! Trilu: the upper or lower triangle of matrices, zeros elsewhere.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::gather_elements::padded_strides;
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, Tolerance,
        View,
        nd::{floats, given, integers, optional},
        padded, sample, standard,
    },
};

/// Input 1, when given, is the diagonal at which the triangle starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Whether the upper triangle is kept.
    pub upper: bool,
}

impl Trilu {
    fn keeps(self, row: usize, column: usize, k: i64) -> bool {
        let distance = column as i64 - row as i64;
        if self.upper { distance >= k } else { distance <= k }
    }
}

impl Op for Trilu {
    fn name(&self) -> &'static str {
        "Trilu"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        if input.rank() < 2 {
            return Err(invalid(format!("{input} is no matrix")));
        }
        if cx.optional(1).is_some() {
            cx.content(1)?;
        }
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let [.., rows, columns] = *input.shape() else { return Err(invalid("the input is no matrix")) };
        let k = optional(inputs, 1).and_then(|t| t.to_i64s().first().copied()).unwrap_or(0);
        let (dtype, shape) = (input.dtype(), input.shape().to_vec());
        let kept = |at: usize| self.keeps(at / columns % rows, at % columns, k);
        Ok(vec![if dtype.is_float() {
            let data = input.to_f64s();
            floats(
                dtype,
                shape,
                &(0..data.len()).map(|at| if kept(at) { data[at] } else { 0.0 }).collect::<Vec<_>>(),
            )?
        } else {
            let data = input.to_i64s();
            integers(
                dtype,
                shape,
                &(0..data.len()).map(|at| if kept(at) { data[at] } else { 0 }).collect::<Vec<_>>(),
            )?
        }])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let mut view = cx.shaped(0)?;
        let diagonal =
            if cx.has_input(1) { cx.content(1)?.first().cloned().unwrap_or_default() } else { Expr::ZERO };
        let out = Destination::contiguous(cx, 0)?;
        let mut to = out.view.clone();
        if view.dims.len() > 4 {
            // Leading dimensions are one where there is no gap.
            view = cx.contiguous(view)?;
            let outer = view.dims.len() - 2;
            let mut shape = vec![view.dims[..outer].iter().fold(Expr::ONE, |n, d| &n * &d.size)];
            shape.extend(view.dims[outer..].iter().map(|d| d.size.clone()));
            let join =
                |view: View| view.reshape(&shape).ok_or_else(|| invalid("dimensions cannot be joined"));
            (view, to) = (join(view)?, join(to)?);
        }
        let total = view.len();
        let params = vec![
            ("shape", Param::Ints(padded(view.shape(), 4, &Expr::ONE))),
            ("a_strides", padded_strides(&view)),
            ("out_strides", padded_strides(&to)),
            ("total", Param::Int(total.clone())),
            ("diagonal", Param::Int(diagonal)),
        ];
        let spec = KernelSpec::new("trilu").with("ELEM", view.elem.wgsl()).flag("UPPER", self.upper);
        let slots = vec![("a", Slot::View(view)), ("out", Slot::View(to))];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Trilu { upper: node.int_or("upper", 1)? != 0 }))
}

fn cases() -> Vec<Case> {
    let case = |upper, shape: &[usize], k: Option<i64>| {
        let inputs = vec![
            Some(sample::floats(shape, 1)),
            k.map(|k| sample::scalar(crate::dtype::DType::I64, k as f64)),
        ];
        let case = Case::new(format!("upper {upper} from {k:?} of {shape:?}"), Trilu { upper }, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let mask = vec![Some(sample::of(crate::dtype::DType::Bool, &[4, 4], &[1.0; 16]))];
    vec![
        case(true, &[4, 5], None),
        case(true, &[4, 5], Some(1)),
        case(false, &[4, 5], Some(-2)),
        case(false, &[2, 3, 3], None),
        case(true, &[3, 5], Some(9)),
        case(true, &[2, 0, 3], None),
        Case::new("a mask", Trilu { upper: false }, mask).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Trilu", 14..=27)], decode, cases };
