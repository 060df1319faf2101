//! ScatterND: a copy of a tensor with slices, each named by a tuple of indices, replaced or combined.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::{
    binary::Binary,
    gather_nd::{self, Tuples},
};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, converted,
        nd::{given, integers, pick},
        sample, standard,
    },
};

/// Inputs: data, indices, updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterNd {
    /// How an update meets the element that is there; `None` replaces it.
    pub reduction: Option<Binary>,
}

/// Reads the attribute `reduction` of the scatter operators.
///
/// # Errors
/// When its value is not one of ONNX's.
pub fn reduction(node: &OnnxNode<'_>) -> Result<Option<Binary>, OpError> {
    Ok(match node.string("reduction")?.unwrap_or("none") {
        "none" => None,
        "add" => Some(Binary::Add),
        "mul" => Some(Binary::Mul),
        "max" => Some(Binary::Max),
        "min" => Some(Binary::Min),
        other => return Err(invalid(format!("reduction = {other:?} is not known"))),
    })
}

/// `data` with `updates` put at flat positions, in their order.
///
/// # Errors
/// When there are not as many positions as updates.
pub fn scattered(
    data: &HostTensor,
    positions: &[usize],
    updates: &HostTensor,
    reduction: Option<Binary>,
) -> Result<HostTensor, OpError> {
    if positions.len() != updates.len() || positions.iter().any(|p| *p >= data.len()) {
        return Err(invalid(format!("{} updates do not fit the indices", updates.len())));
    }
    let Some(function) = reduction else {
        let mut order: Vec<usize> = (0..data.len()).collect();
        for (n, at) in positions.iter().enumerate() {
            order[*at] = data.len() + n;
        }
        let both = joined(data, updates)?;
        return pick(&both, data.shape().to_vec(), &order);
    };
    let mut out = data.clone();
    for (n, at) in positions.iter().enumerate() {
        let one = |t: &HostTensor, p: usize| pick(t, vec![], &[p]);
        let value = function.of_tensors(&one(&out, *at)?, &one(updates, n)?)?;
        let mut order: Vec<usize> = (0..out.len()).collect();
        order[*at] = out.len();
        out = pick(&joined(&out, &value)?, data.shape().to_vec(), &order)?;
    }
    Ok(out)
}

/// All elements of both, in one row.
fn joined(a: &HostTensor, b: &HostTensor) -> Result<HostTensor, OpError> {
    let len = a.len() + b.len();
    if a.dtype().is_float() {
        let all: Vec<f64> = a.to_f64s().into_iter().chain(b.to_f64s()).collect();
        return Ok(HostTensor::from_f64s(a.dtype(), vec![len], &all)?);
    }
    let all: Vec<i64> = a.to_i64s().into_iter().chain(b.to_i64s()).collect();
    integers(a.dtype(), vec![len], &all)
}

impl Op for ScatterNd {
    fn name(&self) -> &'static str {
        "ScatterND"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let tuple = indices.shape.last().and_then(Expr::constant).and_then(|n| usize::try_from(n).ok());
        let tuple = tuple.filter(|t| *t <= data.rank());
        let tuple = tuple.ok_or_else(|| invalid(format!("indices {indices} do not fit data {data}")))?;
        let wanted = [&indices.shape[..indices.rank() - 1], &data.shape[tuple..]].concat();
        if wanted.len() != updates.rank() {
            return Err(invalid(format!("updates {updates} do not fit indices {indices} into {data}")));
        }
        for (a, b) in wanted.iter().zip(&updates.shape) {
            cx.unify(a, "indexed slices", b, "updates")?;
        }
        Ok(vec![Fact::new(data.dtype, data.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (data, indices, updates) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let tuple = indices.shape().last().copied().unwrap_or(0);
        if tuple > data.shape().len() {
            return Err(invalid("the indices name more dimensions than the data has"));
        }
        let slice: usize = data.shape()[tuple..].iter().product();
        let starts = gather_nd::starts(data.shape(), 0, &indices.to_i64s(), tuple)?;
        let positions: Vec<usize> = starts.into_iter().flat_map(|s| s..s + slice).collect();
        Ok(vec![scattered(data, &positions, updates, self.reduction)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        if self.reduction.is_some() {
            return Err(OpError::Unsupported("ScatterND with a reduction".into()));
        }
        let (data, indices, updates) = (cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?);
        let (indices, updates) = (cx.contiguous(indices)?, cx.contiguous(updates)?);
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        cx.copy(&data, &out.view)?;
        let tuples = Tuples::of(&out.view, &indices)?;
        let total = &tuples.count * &tuples.inner;
        let params = vec![
            ("axis_sizes", tuples.sizes),
            ("axis_strides", tuples.strides),
            ("total", Param::Int(total.clone())),
            ("inner", Param::Int(tuples.inner.clone())),
            ("depth", tuples.depth.clone()),
            ("indices_stride", tuples.depth),
            ("out_inner_stride", Param::Int(Expr::ONE)),
            ("updates_stride", Param::Int(tuples.inner)),
            ("updates_inner_stride", Param::Int(Expr::ONE)),
        ];
        let spec = KernelSpec::new("scatter_nd").with("ELEM", data.elem.wgsl());
        let slots = [("indices", indices), ("updates", updates), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(ScatterNd { reduction: reduction(node)? }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, shape: &[usize], indices: HostTensor, updates: &[usize]| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(indices), Some(sample::floats(updates, 2))];
        Case::new(name, ScatterNd { reduction: None }, inputs).tolerance(Tolerance::EXACT)
    };
    let tuples = |shape: &[usize], values: &[f64]| sample::of(crate::dtype::DType::I64, shape, values);
    vec![
        case("elements", &[8], tuples(&[4, 1], &[4.0, 3.0, 1.0, 7.0]), &[4]),
        case("rows", &[4, 5], tuples(&[2, 1], &[-1.0, 0.0]), &[2, 5]),
        case("tuples", &[4, 5, 3], tuples(&[2, 2], &[3.0, 4.0, 0.0, -5.0]), &[2, 3]),
        case("no updates", &[4, 5], tuples(&[0, 1], &[]), &[0, 5]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("ScatterND", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{ScatterNd, scattered};
    use crate::{host::HostTensor, op::Op, ops::binary::Binary};

    #[test]
    fn the_example_of_the_definition() {
        let data = HostTensor::from_f32(vec![8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        let indices = HostTensor::from_i64(vec![4, 1], &[4, 3, 1, 7]).unwrap();
        let updates = HostTensor::from_f32(vec![4], &[9.0, 10.0, 11.0, 12.0]).unwrap();
        let out =
            ScatterNd { reduction: None }.reference(&[Some(&data), Some(&indices), Some(&updates)]).unwrap();
        assert_eq!(out[0].to_f32s(), [1.0, 11.0, 3.0, 10.0, 9.0, 6.0, 7.0, 12.0]);
    }

    #[test]
    fn reductions_see_repeated_positions() {
        let data = HostTensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
        let updates = HostTensor::from_f32(vec![3], &[3.0, 4.0, 5.0]).unwrap();
        let sum = scattered(&data, &[0, 0, 1], &updates, Some(Binary::Add)).unwrap();
        assert_eq!(sum.to_f32s(), [8.0, 7.0]);
    }
}
