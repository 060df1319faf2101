//! Gather: slices of a tensor along an axis, chosen by indices. A single known index is a view.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, View, collapse, converted,
        nd::{around, fixed, given, moved, pick},
        sample, standard,
    },
};

/// Negative indices count from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis.
    pub axis: i64,
}

fn positions(shape: &[usize], axis: usize, indices: &[i64]) -> Result<Vec<usize>, OpError> {
    let [outer, size, inner] = around(shape, axis);
    let wrapped: Vec<usize> = indices
        .iter()
        .map(|i| usize::try_from(if *i < 0 { i + size as i64 } else { *i }).ok().filter(|i| *i < size))
        .collect::<Option<_>>()
        .ok_or_else(|| invalid(format!("an index is outside axis {axis} of size {size}")))?;
    let at = |o: usize| wrapped.iter().flat_map(move |i| (0..inner).map(move |n| (o * size + i) * inner + n));
    Ok((0..outer).flat_map(at).collect())
}

fn gathered<T: Clone>(shape: &[T], axis: usize, indices: &[T]) -> Vec<T> {
    [&shape[..axis], indices, &shape[axis + 1..]].concat()
}

/// The one index, if there is just one and it is known.
fn single(fact: &Fact) -> Option<&Expr> {
    match fact.content.as_deref()? {
        [index] => Some(index),
        _ => None,
    }
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let axis = Infer::axis(self.axis, data.rank())?;
        let shape = gathered(&data.shape, axis, &indices.shape);
        let known: Option<Vec<i64>> =
            indices.content.as_ref().and_then(|c| c.iter().map(Expr::constant).collect());
        Ok(vec![match known {
            Some(known) if fixed(&shape).is_some() => {
                moved(data, shape, |sizes| positions(sizes, axis, &known))?
            }
            _ => Fact::new(data.dtype, shape),
        }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (data, indices) = (given(inputs, 0)?, given(inputs, 1)?);
        let axis = Infer::axis(self.axis, data.shape().len())?;
        let positions = positions(data.shape(), axis, &indices.to_i64s())?;
        Ok(vec![pick(data, gathered(data.shape(), axis, indices.shape()), &positions)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let axis = Infer::axis(self.axis, cx.fact(0)?.rank())?;
        let size = cx.fact(0)?.shape[axis].clone();
        if let Some(index) = single(cx.fact(1)?) {
            let start = if index.range().max.is_some_and(|n| n < 0) { &size + index } else { index.clone() };
            let view = cx.shaped(0)?.slice(axis, &start, &Expr::ONE, 1);
            let shape = cx.output_fact(0)?.shape.clone();
            let view = cx.reshaped(view, &shape)?;
            return cx.alias(0, view);
        }
        let (data, indices) = (cx.shaped(0)?, cx.shaped(1)?);
        let count = indices.dims.len();
        let out = Destination::of(cx, 0, |v| three(v, axis, axis + count).is_some())?;
        along(cx, data, indices, axis, &out.view)?;
        out.finish(cx)
    }
}

/// Writes slices of `data` along `axis` to `[..data, ..indices, ..data]`, whose dimensions must join to three.
///
/// # Errors
/// When they do not, or a copy that this takes cannot be made.
pub fn along(
    cx: &mut Lowering<'_>,
    data: View,
    indices: View,
    axis: usize,
    out: &View,
) -> Result<(), OpError> {
    let indices = converted(cx, indices, Elem::I32)?;
    let indices =
        if three(&indices, 0, indices.dims.len()).is_some() { indices } else { cx.contiguous(indices)? };
    let data = if three(&data, axis, axis + 1).is_some() { data } else { cx.contiguous(data)? };
    let gaps = || invalid("the dimensions of a look-up cannot be joined");
    let (_, [outer, step, inner]) = three(&data, axis, axis + 1).ok_or_else(gaps)?;
    let (_, [_, next, _]) = three(&indices, 0, indices.dims.len()).ok_or_else(gaps)?;
    let (sizes, to) = three(out, axis, axis + indices.dims.len()).ok_or_else(gaps)?;
    let list = |[a, b, c]: [Expr; 3], first: &Expr| Param::Ints(vec![first.clone(), a, b, c]);
    let zero = || Expr::ZERO;
    let params = vec![
        ("shape", list(sizes, &Expr::ONE)),
        ("data_strides", list([outer, zero(), inner], &Expr::ZERO)),
        ("indices_strides", list([zero(), next, zero()], &Expr::ZERO)),
        ("out_strides", list(to, &Expr::ZERO)),
        ("total", Param::Int(out.len())),
        ("axis_size", Param::Int(data.dims[axis].size.clone())),
        ("data_axis_stride", Param::Int(step)),
    ];
    let grid = Grid::Linear(out.len().ceil_div(64));
    let spec = KernelSpec::new("gather").with("ELEM", out.elem.wgsl());
    let slots = [("data", data), ("indices", indices), ("out", out.clone())].map(|(n, v)| (n, Slot::View(v)));
    cx.dispatch(Dispatch { spec, slots: slots.to_vec(), params, grid });
    Ok(())
}

/// Sizes and strides of the dimensions before `first`, from there to `last`, and behind, if each part has one stride.
pub fn three(view: &View, first: usize, last: usize) -> Option<([Expr; 3], [Expr; 3])> {
    let part = |dims: &[Dim]| {
        let (mut shape, mut strides) = collapse(&[&View { dims: dims.to_vec(), ..view.clone() }]);
        let mut strides = strides.pop()?;
        match shape.len() {
            0 => Some((Expr::ONE, Expr::ZERO)),
            1 => Some((shape.pop()?, strides.pop()?)),
            _ => None,
        }
    };
    let [a, b, c] = [&view.dims[..first], &view.dims[first..last], &view.dims[last..]].map(part);
    let (a, b, c) = (a?, b?, c?);
    Some(([a.0, b.0, c.0], [a.1, b.1, c.1]))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Gather { axis: node.int_or("axis", 0)? }))
}

fn cases() -> Vec<Case> {
    let case = |axis, shape: &[usize], indices: HostTensor| {
        let name = format!("{:?} of {shape:?} along {axis}", indices.shape());
        let inputs = vec![Some(sample::floats(shape, 1)), Some(indices)];
        Case::new(name, Gather { axis }, inputs).tolerance(Tolerance::EXACT)
    };
    let scalar = |v: f64| sample::scalar(crate::dtype::DType::I64, v);
    let indices = |shape: &[usize]| sample::integers_in(shape, 2, -5, 5);
    let mut cases = vec![
        case(0, &[5, 7], indices(&[3])),
        case(0, &[5, 7], indices(&[2, 4])),
        case(1, &[3, 5], indices(&[4])),
        case(-1, &[2, 3, 5], indices(&[2, 2])),
        case(1, &[2, 5, 3, 2], indices(&[3])),
        case(0, &[5], indices(&[0])),
        case(0, &[5, 3], scalar(-1.0)),
    ];
    cases.push(case(1, &[3, 5], scalar(2.0)).constants(&[1]));
    let integers = vec![Some(sample::integers_in(&[5], 3, -9, 9)), Some(indices(&[7]))];
    cases.push(Case::new("int64", Gather { axis: 0 }, integers).tolerance(Tolerance::EXACT));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Gather", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::positions;

    #[test]
    fn indices_wrap_and_are_checked() {
        assert_eq!(positions(&[2, 3], 1, &[-1, 0]).unwrap(), [2, 0, 5, 3]);
        assert_eq!(positions(&[3, 2], 0, &[2]).unwrap(), [4, 5]);
        assert!(positions(&[3], 0, &[3]).is_err() && positions(&[3], 0, &[-4]).is_err());
    }
}
