//! ScatterElements: a copy of a tensor with single elements replaced or combined.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

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
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, converted, nd::given, sample, standard,
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
        if data.dtype != updates.dtype || data.rank() != indices.rank() || updates.rank() != indices.rank() {
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
        let (data, mut indices, mut updates) = (cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?);
        let axis = Infer::axis(self.axis, data.dims.len())?;
        indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::strided(cx, 0)?;
        cx.copy(&data, &out.view)?;
        let steps = [&indices, &updates].map(|view| Param::Int(view.dims[axis].stride.clone()));
        let mut walk = Expr::ONE;
        if self.reduction.is_some() {
            for view in [&mut indices, &mut updates] {
                walk = std::mem::replace(&mut view.dims[axis].size, Expr::ONE);
            }
        }
        let mut params = along(&indices, ("out", &out.view), axis)?;
        let [indices_step, updates_step] = steps;
        params.extend([
            ("updates_strides", padded_strides(&updates)),
            ("indices_axis_stride", indices_step),
            ("updates_axis_stride", updates_step),
            ("walk", Param::Int(walk)),
        ]);
        let threads = indices.len();
        let spec = KernelSpec::new("scatter_elements")
            .with("ELEM", data.elem.wgsl())
            .with("REDUCTION", scatter_nd::reduction_name(self.reduction));
        let slots = [("indices", indices), ("updates", updates), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(threads.ceil_div(64)) });
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
    .into_iter()
    .chain(reductions())
    .collect()
}

/// Repeated indices along each axis.
fn reductions() -> impl Iterator<Item = Case> {
    [Binary::Add, Binary::Mul, Binary::Min, Binary::Max].into_iter().flat_map(|f| {
        let case = |axis, shape: &[usize], size: &[usize]| {
            let indices = sample::integers_in(size, 3, -(shape[axis] as i64), shape[axis] as i64);
            let inputs = [sample::floats(shape, 1), indices, sample::floats(size, 2)];
            let op = ScatterElements { axis: axis as i64, reduction: Some(f) };
            let name = format!("{size:?} of {shape:?} along {axis}, {}", f.kernel());
            Case::new(name, op, inputs.map(Some).to_vec())
        };
        let whole = [(&[4][..], 1), (&[90], 2)].map(|(shape, seed)| sample::integers_in(shape, seed, -1, 2));
        let [data, updates] = whole;
        let inputs = [data, sample::integers_in(&[90], 3, 0, 4), updates].map(Some).to_vec();
        let op = ScatterElements { axis: 0, reduction: Some(f) };
        [
            case(0, &[3, 70], &[9, 68]),
            case(1, &[2, 3, 4], &[2, 11, 3]),
            case(3, &[2, 1, 3, 5], &[1, 1, 3, 40]),
            Case::new(format!("int64, {}", f.kernel()), op, inputs).tolerance(Tolerance::EXACT),
        ]
    })
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Scatter", 9..=27), standard("ScatterElements", 11..=27)], decode, cases };
