//! ScatterElements: a copy of a tensor with single elements replaced or combined.

use std::sync::Arc;

use shaders::KernelSpec;

use super::{
    binary::Binary,
    gather_elements::{self, along, padded_strides},
    scatter_nd,
};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Slot, Tolerance,
        converted, nd::given, sample, standard,
    },
};

/// Inputs: data, indices, updates. Negative indices count from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterElements {
    /// The axis.
    pub axis: i64,
    /// How an update meets the element that is there; `None` replaces it.
    pub reduction: Option<Binary>,
}

impl Op for ScatterElements {
    fn name(&self) -> &'static str {
        "ScatterElements"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        Infer::axis(self.axis, data.rank())?;
        if data.rank() != indices.rank() || updates.rank() != indices.rank() {
            return Err(invalid(format!("data is {data}, indices are {indices}, updates are {updates}")));
        }
        for (a, b) in indices.shape.iter().zip(&updates.shape) {
            cx.unify(a, "indices", b, "updates")?;
        }
        Ok(vec![Fact::new(data.dtype, data.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (data, indices, updates) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let axis = Infer::axis(self.axis, data.shape().len())?;
        let positions = gather_elements::positions(data.shape(), axis, indices.shape(), &indices.to_i64s())?;
        Ok(vec![scatter_nd::scattered(data, &positions, updates, self.reduction)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        if self.reduction.is_some() {
            return Err(OpError::Unsupported("ScatterElements with a reduction".into()));
        }
        let (data, indices, updates) = (cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?);
        let axis = Infer::axis(self.axis, data.dims.len())?;
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::strided(cx, 0)?;
        cx.copy(&data, &out.view)?;
        let mut params = along(&indices, ("out", &out.view), axis)?;
        params.push(("updates_strides", padded_strides(&updates)));
        let total = indices.len();
        let spec = KernelSpec::new("scatter_elements").with("ELEM", data.elem.wgsl());
        let slots = [("indices", indices), ("updates", updates), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(ScatterElements { axis: node.int_or("axis", 0)?, reduction: scatter_nd::reduction(node)? }))
}

fn cases() -> Vec<Case> {
    let case = |axis, shape: &[usize], size: &[usize], indices: &[f64]| {
        let name = format!("{size:?} of {shape:?} along {axis}");
        let indices = sample::of(crate::dtype::DType::I64, size, indices);
        let inputs = vec![Some(sample::floats(shape, 1)), Some(indices), Some(sample::floats(size, 2))];
        Case::new(name, ScatterElements { axis, reduction: None }, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        case(0, &[5, 3], &[2, 3], &[1.0, 0.0, 2.0, 0.0, 2.0, -1.0]),
        case(1, &[2, 5], &[1, 2], &[1.0, -2.0]),
        case(-1, &[2, 2, 4], &[2, 1, 2], &[0.0, 3.0, 1.0, -1.0]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("ScatterElements", 11..=27)], decode, cases };
