//! TopK: the greatest or least elements along an axis, in their order, and where they were.

use std::{cmp::Ordering, sync::Arc};

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, Tolerance,
        nd::{around, given, integers, pick},
        rows::{Rows, whole, without},
        sample, standard,
    },
};

/// Their number is input 1. Of equal elements the first comes first; NaN is greater than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    /// The axis.
    pub axis: i64,
    /// Whether the greatest are taken.
    pub largest: bool,
    /// How many, where an attribute says it, as before opset 10.
    pub k: Option<i64>,
}

impl TopK {
    fn order(self, a: f64, b: f64) -> Ordering {
        let order = match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        };
        if self.largest { order.reverse() } else { order }
    }

    fn count(self, given: impl FnOnce() -> Result<Expr, OpError>) -> Result<Expr, OpError> {
        self.k.map_or_else(given, |k| Ok(Expr::from(k)))
    }
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let axis = Infer::axis(self.axis, input.rank())?;
        let missing = || invalid("input 1 is empty");
        let k = self.count(|| cx.content(1)?.first().cloned().ok_or_else(missing))?;
        let n = &input.shape[axis];
        if let (Some(k), Some(n)) = (k.constant(), n.constant())
            && !(0..=n).contains(&k)
        {
            return Err(invalid(format!("the first {k} of {n} elements")));
        }
        let mut shape = input.shape.clone();
        shape[axis] = k;
        Ok(vec![Fact::new(input.dtype, shape.clone()), Fact::new(DType::I64, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axis = Infer::axis(self.axis, input.shape().len())?;
        let [outer, n, inner] = around(input.shape(), axis);
        let k = match self.k {
            Some(k) => k,
            None => *given(inputs, 1)?.to_i64s().first().ok_or_else(|| invalid("input 1 is empty"))?,
        };
        let k = usize::try_from(k)
            .ok()
            .filter(|k| *k <= n)
            .ok_or_else(|| invalid(format!("the first {k} of {n}")))?;
        let data = input.to_f64s();
        let mut shape = input.shape().to_vec();
        shape[axis] = k;
        let (mut positions, mut places) = (vec![0; outer * k * inner], vec![0; outer * k * inner]);
        for row in 0..outer * inner {
            let (o, i) = (row / inner, row % inner);
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|a, b| self.order(data[(o * n + a) * inner + i], data[(o * n + b) * inner + i]));
            for (rank, at) in order.into_iter().take(k).enumerate() {
                let to = (o * k + rank) * inner + i;
                (positions[to], places[to]) = ((o * n + at) * inner + i, at as i64);
            }
        }
        Ok(vec![pick(input, shape.clone(), &positions)?, integers(DType::I64, shape, &places)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let axis = Infer::axis(self.axis, input.dims.len())?;
        let k = self.count(|| cx.content(1)?.first().cloned().ok_or(OpError::NotConstant { index: 1 }))?;
        let (out, places) = (Destination::strided(cx, 0)?, Destination::strided(cx, 1)?);
        if k.constant() == Some(0) {
            return Ok(());
        }
        let total = input.len();
        let (from, n, step) = without(&input, axis, input.dims[axis].size.clone());
        let (to, _, out_step) = without(&out.view, axis, k.clone());
        let (found, _, places_step) = without(&places.view, axis, k.clone());
        let many = || OpError::Unsupported("TopK over too many strided dimensions".into());
        let rows = Rows::of(&[&from, &to, &found]).ok_or_else(many)?;
        let mut params = rows.params(&["a_strides", "out_strides", "places_strides"]);
        params.extend([
            ("total", Param::Int(total.clone())),
            ("n", Param::Int(n.clone())),
            ("k", Param::Int(k.clone())),
            ("a_step", Param::Int(step.clone())),
            ("out_step", Param::Int(out_step.clone())),
            ("places_step", Param::Int(places_step.clone())),
        ]);
        let spec = KernelSpec::new("top_k").with("ELEM", input.elem.wgsl()).flag("LARGEST", self.largest);
        let slots = vec![
            ("a", Slot::View(whole(from, &n, &step))),
            ("out", Slot::View(whole(to, &k, &out_step))),
            ("places", Slot::View(whole(found, &k, &places_step))),
        ];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)?;
        places.finish(cx)
    }
}

/// Unsorted results are the sorted ones too.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let k = node.int("k")?.filter(|_| node.version() < 10);
    Ok(Arc::new(TopK { axis: node.int_or("axis", -1)?, largest: node.int_or("largest", 1)? != 0, k }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, input: HostTensor, axis, largest, k: i64| {
        let name = format!("{name}: {k} of {:?} along {axis}, largest {largest}", input.shape());
        let inputs = vec![Some(input), Some(sample::list(&[k]))];
        let case = Case::new(name, TopK { axis, largest, k: None }, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let special = sample::of(DType::F32, &[6], &[1.0, f64::NAN, f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY]);
    vec![
        case("f32", sample::floats(&[3, 7], 1), -1, true, 3),
        case("f32", sample::floats(&[3, 7], 1), 1, false, 7),
        case("f32", sample::floats(&[5, 3, 2], 1), 0, true, 2),
        case("a long row", sample::floats(&[2, 300], 1), -1, true, 8),
        case("int64 with ties", sample::integers_in(&[4, 9], 1, -2, 3), 1, true, 5),
        case("int64 with ties", sample::integers_in(&[4, 9], 1, -2, 3), 1, false, 5),
        case("uint8", sample::integers_in(&[9], 1, 0, 200).cast(DType::U8), 0, true, 4),
        case("special", special.clone(), 0, true, 4),
        case("special", special, 0, false, 6),
        case("none", sample::floats(&[3, 4], 1), 1, true, 0),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("TopK", 1..=27)], decode, cases };
