//! Resample: each position of an axis a weighted sum of some of another tensor's. What Resize does to one axis.

use shaders::KernelSpec;
use symbolic::Expr;

use super::gather::three;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, Op, Operator, Param, Slot, made_by_passes,
        nd::{around, floats, given},
        sample,
    },
};

/// Inputs: floats, then for each new position and term `[positions, terms]` an index, and a weight. The weights are
/// constants; an index below 0 stands for `fill`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resample {
    /// The axis.
    pub axis: usize,
    /// What is there beyond the axis.
    pub fill: f32,
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        "Resample"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, indices) = (cx.input(0)?, cx.input(1)?);
        let [count, _] = indices.shape.as_slice() else {
            return Err(invalid(format!("{indices} is no index for each position and term")));
        };
        if self.axis >= x.rank() || !x.dtype.is_float() {
            return Err(invalid(format!("{x} cannot be resampled along axis {}", self.axis)));
        }
        cx.expect(2, "weights", &indices.shape)?;
        let mut shape = x.shape.clone();
        shape[self.axis] = count.clone();
        Ok(vec![Fact::new(x.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, indices, weights) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let [outer, size, inner] = around(x.shape(), self.axis);
        let (count, terms) = (indices.shape()[0], indices.shape()[1]);
        let (all, indices, weights) = (x.to_f64s(), indices.to_i64s(), weights.to_f64s());
        if indices.iter().any(|i| *i >= size as i64) || indices.len() != weights.len() {
            return Err(invalid(format!("an index is outside axis {} of size {size}", self.axis)));
        }
        let mut shape = x.shape().to_vec();
        shape[self.axis] = count;
        let mut out = Vec::with_capacity(shape.iter().product());
        for (o, i, n) in
            (0..outer).flat_map(|o| (0..count).flat_map(move |i| (0..inner).map(move |n| (o, i, n))))
        {
            let term = |tap: usize| {
                let there = usize::try_from(indices[tap]).ok().map(|at| all[(o * size + at) * inner + n]);
                weights[tap] * there.unwrap_or(self.fill.into())
            };
            out.push((i * terms..(i + 1) * terms).map(term).sum());
        }
        Ok(vec![floats(x.dtype(), shape, &out)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (axis, behind) = (self.axis, self.axis + 1);
        let x = cx.shaped(0)?;
        let x = if three(&x, axis, behind).is_some() { x } else { cx.contiguous(x)? };
        let (indices, weights) = (cx.constant(1, Elem::I32)?, cx.constant(2, Elem::F32)?);
        let out = Destination::of(cx, 0, |v| three(v, axis, behind).is_some())?;
        let gaps = || invalid("the dimensions around an axis cannot be joined");
        let (_, [outer, step, inner]) = three(&x, axis, behind).ok_or_else(gaps)?;
        let (shape, to) = three(&out.view, axis, behind).ok_or_else(gaps)?;
        let list = |[a, b, c]: [Expr; 3], first: &Expr| Param::Ints(vec![first.clone(), a, b, c]);
        let total = out.view.len();
        let params = vec![
            ("shape", list(shape, &Expr::ONE)),
            ("x_strides", list([outer, Expr::ZERO, inner], &Expr::ZERO)),
            ("out_strides", list(to, &Expr::ZERO)),
            ("total", Param::Int(total.clone())),
            ("taps", Param::Int(indices.dims[1].size.clone())),
            ("x_axis_stride", Param::Int(step)),
            ("fill", Param::Float(self.fill)),
        ];
        let spec = KernelSpec::new("resample").with("ELEM", x.elem.wgsl());
        let slots = [("x", x), ("table", indices), ("weight", weights), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], axis: usize, [count, terms]: [usize; 2], dtype| {
        let indices = sample::integers_in(&[count, terms], 2, -1, shape[axis] as i64);
        let inputs = vec![
            Some(sample::floats(shape, 1).cast(dtype)),
            Some(indices),
            Some(sample::floats(&[count, terms], 3)),
        ];
        let name = format!("{count} of {terms} along {axis} of {shape:?} {dtype}");
        Case::new(name, Resample { axis, fill: 0.5 }, inputs).constants(&[1, 2])
    };
    vec![
        case(&[2, 5, 3], 1, [7, 2], DType::F32),
        case(&[5], 0, [3, 4], DType::F32),
        case(&[2, 3, 1, 6], 3, [1, 1], DType::F32),
        case(&[4, 3, 2, 5, 2], 2, [9, 3], DType::F32),
        case(&[3, 0, 2], 2, [2, 2], DType::F32),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
