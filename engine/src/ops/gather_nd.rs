//! GatherND: slices of a tensor, each named by a tuple of indices.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, View, converted,
        nd::{given, pick, strides},
        sample, standard,
    },
};

/// The last dimension of the indices holds a tuple for dimensions `batch_dims..`; negative ones count from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherNd {
    /// Leading dimensions that data and indices share.
    pub batch_dims: usize,
}

/// First flat position of the slice that each tuple names.
///
/// # Errors
/// When an index is outside.
pub fn starts(
    shape: &[usize],
    batch_dims: usize,
    tuples: &[i64],
    tuple: usize,
) -> Result<Vec<usize>, OpError> {
    let strides = strides(shape);
    let count = tuples.len().checked_div(tuple).unwrap_or(0);
    let batches: usize = shape[..batch_dims].iter().product();
    let step: usize = shape[batch_dims..].iter().product();
    (0..count)
        .map(|n| {
            let mut at = n / (count / batches.max(1)).max(1) * step;
            for (d, index) in tuples[n * tuple..(n + 1) * tuple].iter().enumerate() {
                let (axis, size) = (batch_dims + d, shape[batch_dims + d] as i64);
                let index = if *index < 0 { index + size } else { *index };
                if !(0..size).contains(&index) {
                    return Err(invalid(format!("an index is outside axis {axis} of size {size}")));
                }
                at += index as usize * strides[axis];
            }
            Ok(at)
        })
        .collect()
}

impl GatherNd {
    fn shape<T: Clone>(self, data: &[T], indices: &[T], tuple: usize) -> Result<Vec<T>, OpError> {
        let used = self.batch_dims + tuple;
        if used > data.len() || self.batch_dims >= indices.len() {
            return Err(invalid(format!("{used} of {} dimensions are indexed", data.len())));
        }
        Ok([&indices[..indices.len() - 1], &data[used..]].concat())
    }
}

impl Op for GatherNd {
    fn name(&self) -> &'static str {
        "GatherND"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let tuple = indices.shape.last().and_then(Expr::constant).and_then(|n| usize::try_from(n).ok());
        let tuple = tuple.ok_or_else(|| invalid("the last dimension of the indices must be known"))?;
        let shape = self.shape(&data.shape, &indices.shape, tuple)?;
        for axis in 0..self.batch_dims {
            cx.unify(&data.shape[axis], "data", &indices.shape[axis], "indices")?;
        }
        Ok(vec![Fact::new(data.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (data, indices) = (given(inputs, 0)?, given(inputs, 1)?);
        let tuple = indices.shape().last().copied().unwrap_or(0);
        let shape = self.shape(data.shape(), indices.shape(), tuple)?;
        let slice: usize = data.shape()[self.batch_dims + tuple..].iter().product();
        let starts = starts(data.shape(), self.batch_dims, &indices.to_i64s(), tuple)?;
        let positions: Vec<usize> = starts.into_iter().flat_map(|s| s..s + slice).collect();
        Ok(vec![pick(data, shape, &positions)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (data, indices) = (cx.shaped(0)?, cx.shaped(1)?);
        let (data, indices) = (cx.contiguous(data)?, cx.contiguous(indices)?);
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        let product = |dims: &[Dim]| dims.iter().fold(Expr::ONE, |n, d| &n * &d.size);
        let batches = product(&data.dims[..self.batch_dims]);
        let count = batches
            .constant()
            .filter(|n| *n <= BATCHES)
            .ok_or_else(|| OpError::Unsupported(format!("GatherND over {batches} batches")))?;
        for batch in 0..count {
            // All three are contiguous, and so is a batch of each.
            let [data, indices, out] = [&data, &indices, &out.view].map(|view| {
                let inner = View { dims: view.dims[self.batch_dims..].to_vec(), ..view.clone() };
                let offset = &inner.offset + &(&inner.len() * batch);
                View { offset, ..inner }
            });
            let total = out.len();
            let mut params = tuples(&data, &indices)?.params;
            params.push(("total", Param::Int(total.clone())));
            let spec = KernelSpec::new("gather_nd").with("ELEM", data.elem.wgsl());
            let slots = [("data", data), ("indices", indices), ("out", out)].map(|(n, v)| (n, Slot::View(v)));
            cx.dispatch(Dispatch {
                spec,
                slots: slots.to_vec(),
                params,
                grid: Grid::Linear(total.ceil_div(64)),
            });
        }
        out.finish(cx)
    }
}

/// A batch takes a call of the kernel; so many are not.
const BATCHES: i64 = 64;

/// What the kernels that index by tuples are told about contiguous data and indices.
pub struct Tuples {
    /// Which slices the tuples name.
    pub params: Vec<(&'static str, Param)>,
    /// Number of tuples.
    pub count: Expr,
    /// Elements of a slice.
    pub inner: Expr,
}

/// Slices of `data` that `indices [.., depth]` name.
///
/// # Errors
/// When tuples are longer than the kernels take, or of unknown length.
pub fn tuples(data: &View, indices: &View) -> Result<Tuples, OpError> {
    let (last, outer) = indices.dims.split_last().ok_or_else(|| invalid("the indices are a scalar"))?;
    let depth = last.size.constant().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= 4);
    let depth = depth.ok_or_else(|| OpError::Unsupported(format!("tuples of {} indices", last.size)))?;
    let list = |of: fn(&Dim) -> &Expr, fill: &Expr| {
        let given = data.dims[..depth].iter().map(of).cloned();
        Param::Ints(given.chain(std::iter::repeat_n(fill.clone(), 4 - depth)).collect())
    };
    let product = |dims: &[Dim]| dims.iter().fold(Expr::ONE, |n, d| &n * &d.size);
    let inner = product(&data.dims[depth..]);
    let params = vec![
        ("axis_sizes", list(|d| &d.size, &Expr::ONE)),
        ("axis_strides", list(|d| &d.stride, &Expr::ZERO)),
        ("depth", Param::Int(Expr::from(depth))),
        ("inner", Param::Int(inner.clone())),
    ];
    Ok(Tuples { params, count: product(outer), inner })
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let batch_dims = usize::try_from(node.int_or("batch_dims", 0)?);
    Ok(Arc::new(GatherNd { batch_dims: batch_dims.map_err(|_| invalid("batch_dims is negative"))? }))
}

fn cases() -> Vec<Case> {
    let case = |batch_dims, shape: &[usize], indices: HostTensor| {
        let name = format!("{:?} of {shape:?}, {batch_dims} shared", indices.shape());
        let inputs = vec![Some(sample::floats(shape, 1)), Some(indices)];
        Case::new(name, GatherNd { batch_dims }, inputs).tolerance(Tolerance::EXACT)
    };
    let masked = vec![Some(sample::booleans(&[3, 4], 1)), Some(sample::integers_in(&[2, 5, 2], 2, 0, 3))];
    vec![
        case(0, &[4, 5], sample::integers_in(&[3, 2], 1, -4, 4)),
        case(0, &[4, 5], sample::integers_in(&[3, 1], 1, -4, 4)),
        case(0, &[3, 4, 5], sample::integers_in(&[2, 3, 2], 1, 0, 3)),
        case(1, &[2, 4, 3], sample::integers_in(&[2, 1], 1, -4, 4)),
        case(1, &[2, 4, 3], sample::integers_in(&[2, 5, 2], 1, 0, 3)),
        Case::new("booleans", GatherNd { batch_dims: 0 }, masked).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("GatherND", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::starts;

    #[test]
    fn the_examples_of_the_definition() {
        assert_eq!(starts(&[2, 2], 0, &[0, 0, 1, 1], 2).unwrap(), [0, 3]);
        assert_eq!(starts(&[2, 2], 0, &[1, 0], 1).unwrap(), [2, 0]);
        assert_eq!(starts(&[2, 2, 2], 1, &[1, 0], 1).unwrap(), [2, 4]);
        assert!(starts(&[2, 2], 0, &[2, 0], 2).is_err());
    }
}
