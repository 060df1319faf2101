//! ScatterND: a copy of a tensor with slices, each named by a tuple of indices, replaced or combined.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::{
    binary::Binary,
    gather_nd::{self, Tuples},
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, converted,
        nd::{floats, given, integers},
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
    let (dtype, shape) = (data.dtype(), data.shape().to_vec());
    let places = positions.iter().copied().enumerate();
    if dtype.is_float() {
        let (mut out, updates) = (data.to_f64s(), updates.to_f64s());
        let met = |a, b| reduction.map_or(b, |f| f.of_floats(a, b));
        places.for_each(|(n, at)| out[at] = met(out[at], updates[n]));
        return floats(dtype, shape, &out);
    }
    let (mut out, updates) = (data.to_i64s(), updates.to_i64s());
    let met = |a, b| reduction.map_or(b, |f| f.of_whole(dtype, a, b));
    places.for_each(|(n, at)| out[at] = met(out[at], updates[n]));
    integers(dtype, shape, &out)
}

/// The scatter kernels' name for a reduction.
#[must_use]
pub fn reduction_name(reduction: Option<Binary>) -> &'static str {
    reduction.map_or("none", Binary::kernel)
}

impl Op for ScatterNd {
    fn name(&self) -> &'static str {
        "ScatterND"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        if data.dtype != updates.dtype {
            return Err(invalid(format!("data is {data}, updates are {updates}")));
        }
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
        let (data, indices, updates) = (cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?);
        let (indices, updates) = (cx.contiguous(indices)?, cx.contiguous(updates)?);
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        cx.copy(&data, &out.view)?;
        let Tuples { mut params, count, inner } = gather_nd::tuples(&out.view, &indices)?;
        let (threads, walk) =
            if self.reduction.is_some() { (inner, count) } else { (&count * &inner, Expr::ONE) };
        params.extend([("total", Param::Int(threads.clone())), ("walk", Param::Int(walk))]);
        let spec = KernelSpec::new("scatter_nd")
            .with("ELEM", data.elem.wgsl())
            .with("REDUCTION", reduction_name(self.reduction));
        let slots = [("indices", indices), ("updates", updates), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(threads.ceil_div(64)) });
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
    let tuples = |shape: &[usize], values: &[f64]| sample::of(DType::I64, shape, values);
    vec![
        case("elements", &[8], tuples(&[4, 1], &[4.0, 3.0, 1.0, 7.0]), &[4]),
        case("rows", &[4, 5], tuples(&[2, 1], &[-1.0, 0.0]), &[2, 5]),
        case("tuples", &[4, 5, 3], tuples(&[2, 2], &[3.0, 4.0, 0.0, -5.0]), &[2, 3]),
        case("no updates", &[4, 5], tuples(&[0, 1], &[]), &[0, 5]),
    ]
    .into_iter()
    .chain(reductions())
    .collect()
}

/// Repeated indices, the same ones next to each other and far apart.
fn reductions() -> impl Iterator<Item = Case> {
    [Binary::Add, Binary::Mul, Binary::Min, Binary::Max].into_iter().flat_map(|f| {
        let case = |name: &str, inputs: [HostTensor; 3]| {
            let op = ScatterNd { reduction: Some(f) };
            Case::new(format!("{name}, {}", f.kernel()), op, inputs.map(Some).to_vec())
        };
        let tuples = |shape: &[usize], low, high| sample::integers_in(shape, 3, low, high);
        let floats = [sample::floats(&[6], 1), tuples(&[300, 1], -6, 6), sample::floats(&[300], 2)];
        let whole = |shape: &[usize], seed| sample::integers_in(shape, seed, -4, 5);
        let signed = [whole(&[3, 4, 2], 1), tuples(&[5, 3, 2], 0, 3), whole(&[5, 3, 2], 2)];
        let rows = [sample::floats(&[3, 70], 1), tuples(&[2, 4, 1], -3, 3), sample::floats(&[2, 4, 70], 2)];
        let bytes = |shape: &[usize], values: &[f64]| sample::of(DType::U8, shape, values);
        let places = sample::of(DType::I64, &[3, 1], &[0.0, 0.0, 1.0]);
        let bytes = [bytes(&[3], &[3.0, 7.0, 200.0]), places, bytes(&[3], &[5.0, 1.0, 2.0])];
        [
            case("elements", floats),
            case("slices of int64", signed).tolerance(Tolerance::EXACT),
            case("rows", rows),
            case("bytes", bytes).tolerance(Tolerance::EXACT),
        ]
    })
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
    fn later_updates_win_and_many_take_no_longer() {
        let count = 1 << 20;
        let data = HostTensor::from_i64(vec![1], &[0]).unwrap();
        let updates = HostTensor::from_i64(vec![count], &vec![1; count]).unwrap();
        let sum = scattered(&data, &vec![0; count], &updates, Some(Binary::Add)).unwrap();
        assert_eq!(sum.to_i64s(), [count as i64]);
        let last = HostTensor::from_i64(vec![2], &[5, 6]).unwrap();
        assert_eq!(scattered(&data, &[0, 0], &last, None).unwrap().to_i64s(), [6]);
        assert!(scattered(&data, &[1, 0], &last, None).is_err());
    }

    #[test]
    fn reductions_see_repeated_positions() {
        let data = HostTensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
        let updates = HostTensor::from_f32(vec![3], &[3.0, 4.0, 5.0]).unwrap();
        let sum = scattered(&data, &[0, 0, 1], &updates, Some(Binary::Add)).unwrap();
        assert_eq!(sum.to_f32s(), [8.0, 7.0]);
    }
}
