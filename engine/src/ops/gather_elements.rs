//! GatherElements: for each index, the element at that position of an axis and its own position of the others.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, View, collapse, converted,
        nd::{Positions, given, pick, strides},
        padded, sample, standard,
    },
};

/// Negative indices count from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherElements {
    /// The axis.
    pub axis: i64,
}

/// Flat positions in a tensor of `shape` that indices of `index_shape` name along `axis`.
///
/// # Errors
/// When an index is outside.
pub fn positions(
    shape: &[usize],
    axis: usize,
    index_shape: &[usize],
    indices: &[i64],
) -> Result<Vec<usize>, OpError> {
    let fits =
        shape.len() == index_shape.len() && (0..shape.len()).all(|a| a == axis || index_shape[a] <= shape[a]);
    if !fits {
        return Err(invalid(format!("indices of shape {index_shape:?} do not fit data of shape {shape:?}")));
    }
    let (size, strides) = (shape[axis] as i64, strides(shape));
    let dims = (0..shape.len()).map(|a| (index_shape[a], if a == axis { 0 } else { strides[a] as i64 }));
    let bases = Positions { offset: 0, dims: dims.collect() }.list();
    let at = |(base, index): (usize, &i64)| {
        let index = if *index < 0 { index + size } else { *index };
        (0..size).contains(&index).then(|| base + index as usize * strides[axis])
    };
    let all: Option<Vec<usize>> = bases.into_iter().zip(indices).map(at).collect();
    all.ok_or_else(|| invalid(format!("an index is outside axis {axis} of size {size}")))
}

impl Op for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        Infer::axis(self.axis, data.rank())?;
        if data.rank() != indices.rank() {
            return Err(invalid(format!("data is {data}, indices are {indices}")));
        }
        Ok(vec![Fact::new(data.dtype, indices.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (data, indices) = (given(inputs, 0)?, given(inputs, 1)?);
        let axis = Infer::axis(self.axis, data.shape().len())?;
        let positions = positions(data.shape(), axis, indices.shape(), &indices.to_i64s())?;
        Ok(vec![pick(data, indices.shape().to_vec(), &positions)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (data, indices) = (cx.shaped(0)?, cx.shaped(1)?);
        let axis = Infer::axis(self.axis, data.dims.len())?;
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::strided(cx, 0)?;
        let params = match along(&indices, ("data", &data), axis) {
            Ok(mut params) => {
                params.push(("out_strides", padded_strides(&out.view)));
                params
            }
            Err(e) => joined(&indices, &data, &out.view, axis).ok_or(e)?,
        };
        let total = out.view.len();
        let spec = KernelSpec::new("gather").with("ELEM", data.elem.wgsl());
        let slots = [("data", data), ("indices", indices), ("out", out.view.clone())]
            .map(|(n, v)| (n, Slot::View(v)));
        cx.dispatch(Dispatch { spec, slots: slots.to_vec(), params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

/// What the kernels that index along one axis are told about indices, and about the data, in slot `data`, that they
/// point into.
///
/// # Errors
/// When there are more dimensions than the kernels take.
pub fn along(
    indices: &View,
    (slot, data): (&str, &View),
    axis: usize,
) -> Result<Vec<(&'static str, Param)>, OpError> {
    let rank = data.dims.len();
    if rank > 4 {
        return Err(OpError::Unsupported(format!("indices of {rank} dimensions")));
    }
    let mut others = data.clone();
    let along = std::mem::replace(&mut others.dims[axis].stride, Expr::ZERO);
    let names =
        if slot == "out" { ("out_strides", "out_axis_stride") } else { ("data_strides", "data_axis_stride") };
    Ok(vec![
        ("shape", Param::Ints(padded(indices.shape(), 4, &Expr::ONE))),
        ("indices_strides", padded_strides(indices)),
        (names.0, padded_strides(&others)),
        (names.1, Param::Int(along)),
        ("total", Param::Int(indices.len())),
        ("axis_size", Param::Int(data.dims[axis].size.clone())),
    ])
}

/// The same of more dimensions than the kernel takes, where so many go one behind the other that four are left.
fn joined(indices: &View, data: &View, out: &View, axis: usize) -> Option<Vec<(&'static str, Param)>> {
    let mut others = View { dims: data.dims.clone(), ..data.clone() };
    let along = std::mem::replace(&mut others.dims[axis].stride, Expr::ZERO);
    let (shape, strides) = collapse(&[indices, &others, out]);
    if shape.len() > 4 {
        return None;
    }
    let names = ["indices_strides", "data_strides", "out_strides"];
    let mut params: Vec<(&str, Param)> = names
        .into_iter()
        .zip(strides)
        .map(|(n, list)| (n, Param::Ints(padded(list, 4, &Expr::ZERO))))
        .collect();
    params.extend([
        ("shape", Param::Ints(padded(shape, 4, &Expr::ONE))),
        ("data_axis_stride", Param::Int(along)),
        ("total", Param::Int(indices.len())),
        ("axis_size", Param::Int(data.dims[axis].size.clone())),
    ]);
    Some(params)
}

/// Strides of up to four dimensions, zeros in front.
#[must_use]
pub fn padded_strides(view: &View) -> Param {
    Param::Ints(padded(view.dims.iter().map(|d| d.stride.clone()).collect(), 4, &Expr::ZERO))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(GatherElements { axis: node.int_or("axis", 0)? }))
}

fn cases() -> Vec<Case> {
    let case = |axis, shape: &[usize], indices: HostTensor| {
        let name = format!("{:?} of {shape:?} along {axis}", indices.shape());
        let inputs = vec![Some(sample::floats(shape, 1)), Some(indices)];
        Case::new(name, GatherElements { axis }, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        case(0, &[5, 3], sample::integers_in(&[2, 3], 1, -5, 5)),
        case(1, &[3, 5], sample::integers_in(&[2, 7], 2, -5, 5)),
        case(-1, &[2, 3, 4], sample::integers_in(&[2, 2, 3], 3, 0, 4)),
        case(0, &[6], sample::integers_in(&[4], 4, 0, 6)),
        case(1, &[2, 5, 3, 2, 2, 3], sample::integers_in(&[2, 1, 3, 2, 2, 3], 5, 0, 5)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("GatherElements", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::positions;

    #[test]
    fn the_example_of_the_definition() {
        // data [[1, 2], [3, 4]], indices [[0, 0], [1, 0]], axis 1: [[1, 1], [4, 3]]
        assert_eq!(positions(&[2, 2], 1, &[2, 2], &[0, 0, 1, 0]).unwrap(), [0, 0, 3, 2]);
        assert!(positions(&[2, 2], 1, &[3, 2], &[0; 6]).is_err());
        assert!(positions(&[2, 2], 0, &[1, 1], &[2]).is_err());
    }
}
