//! RMSNormalization, and SimplifiedLayerNormalization as ONNX Runtime names it: `x / rms(x) * weight`.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::reduce;
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, OnnxName, OnnxNode, Op, Operator,
        Param, Slot, Target, View, elementwise, fill, microsoft,
        nd::{Positions, floats, given, optional},
        rows::{Rows, whole},
        sample, standard,
    },
};

/// The mean of squares is over the axis and all behind it (Zhang and Sennrich, "Root Mean Square Layer
/// Normalization", 2019). The result has the weight's type. Passes may give a tensor of its shape that is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// First normalised axis.
    pub axis: i64,
    /// Added to the mean.
    pub epsilon: f32,
}

impl RmsNorm {
    /// The input of what is added.
    pub const RESIDUAL: usize = 2;
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "RMSNormalization"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, weight) = (cx.input(0)?, cx.input(1)?);
        let axis = Infer::axis(self.axis, x.rank())?;
        if weight.rank() > x.rank() - axis {
            return Err(invalid(format!("the weight {weight} is larger than what is normalised of {x}")));
        }
        cx.broadcast(&[&x.shape[axis..], &weight.shape])?;
        Ok(vec![Fact::new(weight.dtype, x.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, weight) = (given(inputs, 0)?, given(inputs, 1)?);
        let axis = Infer::axis(self.axis, x.shape().len())?;
        let width = x.shape()[axis..].iter().product::<usize>().max(1);
        let at = Positions::all(weight.shape()).broadcast(&x.shape()[axis..])?.list();
        let (dtype, weight) = (weight.dtype(), weight.to_f64s());
        let mut data = x.to_f64s();
        let residual = optional(inputs, Self::RESIDUAL).map(HostTensor::to_f64s).unwrap_or_default();
        let gain: Vec<f64> = at.into_iter().map(|at| weight[at]).collect();
        data.chunks_mut(width).for_each(|row| normalise(row, &gain, self.epsilon));
        data.iter_mut().zip(residual).for_each(|(v, more)| *v += more);
        Ok(vec![floats(dtype, x.shape().to_vec(), &data)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, weight) = (cx.fact(0)?, cx.fact(1)?);
        let axis = Infer::axis(self.axis, x.rank())?;
        if !(cx.is_constant(1) && weight.shape == x.shape[axis..]) {
            return self.in_steps(cx, axis);
        }
        let input = cx.shaped(0)?;
        let residual = cx.has_input(Self::RESIDUAL).then(|| cx.shaped(Self::RESIDUAL)).transpose()?;
        let out = Destination::of(cx, 0, |v| unit_tail(v, axis).is_some())?;
        let weight = cx.constant(1, Elem::F32)?;
        dispatch_from(cx, (input, residual), weight, axis, self.epsilon, &out.view)?;
        out.finish(cx)
    }
}

/// Normalises a row by a gain of its width, for references.
pub(super) fn normalise(row: &mut [f64], gain: &[f64], epsilon: f32) {
    let mean = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
    let scale = 1.0 / (mean + f64::from(epsilon)).sqrt();
    row.iter_mut().zip(gain).for_each(|(v, gain)| *v *= scale * gain);
}

/// Normalises the rows of `input`, along its last dimension, into `out`, by a constant weight.
///
/// # Errors
/// When the rows do not lie one element apart in `out`, or in too many strided dimensions.
pub(super) fn dispatch(
    cx: &mut Lowering<'_>,
    input: View,
    weight: View,
    epsilon: f32,
    out: &View,
) -> Result<(), OpError> {
    let axis = input.dims.len().saturating_sub(1);
    dispatch_from(cx, (input, None), weight, axis, epsilon, out)
}

fn dispatch_from(
    cx: &mut Lowering<'_>,
    (input, residual): (View, Option<View>),
    weight: View,
    axis: usize,
    epsilon: f32,
    out: &View,
) -> Result<(), OpError> {
    let (input, n) = unit_rows(cx, input, axis)?;
    let to = unit_tail(out, axis).ok_or_else(|| invalid("the output has gaps"))?;
    let residual = residual.map(|view| Ok::<_, OpError>(unit_rows(cx, view, axis)?.0)).transpose()?;
    let views: Vec<&View> = [Some(&input), Some(&to), residual.as_ref()].into_iter().flatten().collect();
    let many = || OpError::Unsupported("a normalisation over too many strided dimensions".into());
    let rows = Rows::of(&views).ok_or_else(many)?;
    let names = &["x_strides", "out_strides", "residual_strides"][..views.len()];
    let mut params = rows.params(names);
    let [x, out] = [input, to].map(|rows| whole(rows, &n, &Expr::ONE));
    let residual = residual.map(|rows| whole(rows, &n, &Expr::ONE));
    let fours = [&n, &weight.offset].iter().all(|e| e.multiple_of() % 4 == 0);
    let wide = fours && [&x, &out].into_iter().chain(&residual).all(|view| cx.fits_vectors(view, 4));
    let threads = threads(cx.target(), &n);
    params.extend([
        ("rows", Param::Int(rows.count.clone())),
        ("n", Param::Int(n)),
        ("eps", Param::Float(epsilon)),
    ]);
    let spec = KernelSpec::new("rms_norm")
        .with("ELEM", out.elem.wgsl())
        .flag("WIDE", wide)
        .flag("RESIDUAL", residual.is_some())
        .flag("SUBGROUPS", cx.target().subgroups)
        .set("WG_X", threads);
    let mut slots = vec![("x", Slot::View(x)), ("weight", Slot::View(weight)), ("out", Slot::View(out))];
    slots.extend(residual.map(|view| ("residual", Slot::View(view))));
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows.count) });
    Ok(())
}

/// Threads that share a row of `n`: 16 elements each at most where a workgroup holds so many threads. One row of 4096 takes 33 us
/// on an NVIDIA H100 with 64 threads, which wait for one element after the other. Software has no use for more than a subgroup.
fn threads(target: &Target, n: &Expr) -> u32 {
    if target.row_per_lane() {
        return 8;
    }
    let wanted = n.constant().and_then(|n| u32::try_from(n / 16).ok()).unwrap_or(64);
    wanted.max(1).next_power_of_two().clamp(64, target.max_threads.clamp(64, 256))
}

impl RmsNorm {
    /// For a weight that is computed, or repeated.
    fn in_steps(&self, cx: &mut Lowering<'_>, axis: usize) -> Result<(), OpError> {
        let (x, weight, out) = (cx.shaped(0)?, cx.shaped(1)?, cx.output(0)?);
        let scaled = over_deviation(cx, &x, axis, self.epsilon)?;
        elementwise(cx, "mul", &[scaled, weight], &out)
    }
}

/// `x / sqrt(mean(x^2) + epsilon)`, the mean over the dimensions from `axis` on.
///
/// # Errors
/// When the others are more than the kernels take.
pub fn over_deviation(cx: &mut Lowering<'_>, x: &View, axis: usize, epsilon: f32) -> Result<View, OpError> {
    let square = cx.temporary("square", x.elem, &x.shape());
    elementwise(cx, "mul", &[x.clone(), x.clone()], &square)?;
    let outer: Vec<Expr> = x.dims[..axis].iter().map(|d| d.size.clone()).collect();
    let [mean, moved, factor] = ["mean", "moved", "factor"].map(|name| cx.temporary(name, x.elem, &outer));
    reduce::tail(cx, "mean", square, axis, &mean)?;
    let epsilon = fill::scalar(cx, epsilon, x.elem);
    elementwise(cx, "add", &[mean, epsilon], &moved)?;
    elementwise(cx, "rsqrt", &[moved], &factor)?;
    let out = cx.temporary("normal", x.elem, &x.shape());
    let factor = repeated(&factor, x);
    elementwise(cx, "mul", &[x.clone(), factor], &out)?;
    Ok(out)
}

/// A view of leading dimensions, repeated over the others of `like`.
#[must_use]
pub fn repeated(view: &View, like: &View) -> View {
    let rest = like.dims[view.dims.len()..].iter().map(|d| Dim { size: d.size.clone(), stride: Expr::ZERO });
    View { dims: view.dims.iter().cloned().chain(rest).collect(), ..view.clone() }
}

/// The rows of a view whose dimensions from `axis` on lie one behind the other, copied if they do not.
///
/// # Errors
/// When the copy cannot be made.
pub fn unit_rows(cx: &mut Lowering<'_>, view: View, axis: usize) -> Result<(View, Expr), OpError> {
    let view = if unit_tail(&view, axis).is_some() { view } else { cx.contiguous(view)? };
    let n = view.dims[axis..].iter().fold(Expr::ONE, |n, d| &n * &d.size);
    Ok((unit_tail(&view, axis).ok_or_else(|| invalid("dimensions cannot be joined"))?, n))
}

/// The rows of such a view; `None` when there are gaps.
#[must_use]
pub fn unit_tail(view: &View, axis: usize) -> Option<View> {
    let tail = View { dims: view.dims[axis..].to_vec(), ..view.clone() };
    tail.is_contiguous().then(|| View { dims: view.dims[..axis].to_vec(), ..view.clone() })
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.has_output(1) {
        return Err(OpError::Unsupported("the second output of a normalisation".into()));
    }
    Ok(Arc::new(RmsNorm { axis: node.int_or("axis", -1)?, epsilon: node.float_or("epsilon", 1e-5)? }))
}

const SIMPLIFIED: &str = "SimplifiedLayerNormalization";

const NAMES: &[OnnxName] =
    &[standard("RMSNormalization", 23..=27), standard(SIMPLIFIED, 1..=27), microsoft(SIMPLIFIED)];

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], axis, weight: &[usize]| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::floats_in(weight, 2, 0.5, 1.5))];
        let name = format!("{shape:?} from {axis}, weight {weight:?}");
        Case::new(name, RmsNorm { axis, epsilon: 1e-5 }, inputs).constants(&[1])
    };
    let computed = vec![Some(sample::floats(&[3, 5], 1)), Some(sample::floats_in(&[5], 2, 0.5, 1.5))];
    let computed = Case::new("a computed weight", RmsNorm { axis: -1, epsilon: 1e-5 }, computed);
    let added = |shape: &[usize], width: usize| {
        let inputs = vec![
            Some(sample::floats(shape, 1)),
            Some(sample::floats_in(&[width], 2, 0.5, 1.5)),
            Some(sample::floats(shape, 3)),
        ];
        Case::new(format!("{shape:?} and a residual"), RmsNorm { axis: -1, epsilon: 1e-5 }, inputs)
            .constants(&[1])
    };
    vec![
        added(&[3, 5], 5),
        added(&[1, 7, 576], 576),
        case(&[3, 5], -1, &[5]),
        case(&[1, 7, 576], -1, &[576]),
        case(&[1, 3, 9, 64], 3, &[64]),
        case(&[2, 3, 4], 1, &[3, 4]),
        case(&[2, 3, 4], 0, &[4]),
        case(&[0, 5], -1, &[5]),
        case(&[2, 1], -1, &[1]),
        computed,
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };

#[cfg(test)]
mod tests {
    use super::RmsNorm;
    use crate::{host::HostTensor, op::Op};

    #[test]
    fn a_row_by_hand() {
        let x = HostTensor::from_f32(vec![1, 2], &[3.0, -4.0]).unwrap();
        let weight = HostTensor::from_f32(vec![2], &[1.0, 2.0]).unwrap();
        let out = RmsNorm { axis: -1, epsilon: 0.0 }.reference(&[Some(&x), Some(&weight)]).unwrap();
        let rms = 12.5f32.sqrt();
        assert_eq!(out[0].to_f32s(), [3.0 / rms, -8.0 / rms]);
    }
}
