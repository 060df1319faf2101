//! Linear: a product with a constant matrix, packed for the device, with what is done before and behind it.

use symbolic::Expr;

use super::{matmul, rms_norm::normalise};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{Fit, HostTensor, Orientation, PackedWeight, StoredMatrix, WeightFormat, pack},
    op::{
        Case, Destination, Elem, Infer, Lowering, Op, Operator, View, elementwise, made_by_passes,
        nd::{floats, given, optional},
        sample,
    },
};

#[path = "linear/bytes.rs"]
mod bytes;
#[path = "linear/coop.rs"]
mod coop;
#[path = "linear/input.rs"]
pub(super) mod input;
#[path = "linear/kernels.rs"]
mod kernels;
#[path = "linear/normed_heads.rs"]
pub(super) mod normed_heads;
#[path = "linear/product.rs"]
pub(super) mod product;

use input::{Input, Norm};
pub(crate) use product::{CHUNK, pieces, variant};
use product::{Epilogue, Product, Rows};

/// `x [.., k]` times a constant matrix of `n` rows, plus, on demand, a bias `[n]`, a constant, and a tensor `[.., n]`.
/// With a gain `[k]`, a constant, `x` is normalised first.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// How the matrix is held on the device.
    pub format: WeightFormat,
    /// Whether the model stores it `[k, n]` instead of `[n, k]`.
    pub transposed: bool,
    /// Added to the mean of squares where input 4 is given: RMSNorm, `x / sqrt(mean(x^2) + epsilon) * gain`.
    pub epsilon: Option<f32>,
}

impl Linear {
    /// The residual's input.
    pub const RESIDUAL: usize = 2;
    /// The bias's input.
    pub const BIAS: usize = 3;
    /// The gain's input.
    pub const GAIN: usize = 4;

    /// A product alone.
    #[must_use]
    pub fn new(format: WeightFormat, transposed: bool) -> Self {
        Self { format, transposed, epsilon: None }
    }
}

/// A stored matrix as the device holds it.
///
/// # Errors
/// When it is no matrix, or the format cannot hold it.
pub fn packed(matrix: &HostTensor, format: WeightFormat, transposed: bool) -> Result<PackedWeight, OpError> {
    let rows = StoredMatrix::new(matrix, Orientation::of(transposed))?;
    Ok(pack(&rows, format, Fit::default(), &|_| {})?)
}

/// Sums and their shape `[.., n]`, with a bias: what all linear operators begin with, by the device's weights; `in_bytes`, of
/// what is multiplied rounded to 8 bits, where weights have scales.
///
/// # Errors
/// When shapes do not fit.
pub(super) fn sums(
    x: &HostTensor,
    matrix: &PackedWeight,
    bias: Option<&HostTensor>,
    norm: Option<(&HostTensor, f32)>,
    in_bytes: bool,
) -> Result<(Vec<f64>, Vec<usize>), OpError> {
    let (n, k) = (matrix.n(), matrix.k());
    let Some((width, outer)) = x.shape().split_last() else {
        return Err(invalid("the input is a scalar"));
    };
    if *width != k {
        return Err(invalid(format!("an input of width {width} meets a matrix of width {k}")));
    }
    let mut data = x.to_f64s();
    if let Some((gain, epsilon)) = norm {
        let gain = gain.to_f64s();
        data.chunks_mut(k.max(1)).for_each(|row| normalise(row, &gain, epsilon));
    }
    if in_bytes && matrix.format().group().is_some() {
        data.chunks_mut(k.max(1)).for_each(bytes::round);
    }
    let shape: Vec<usize> = outer.iter().copied().chain([n]).collect();
    let bias = bias.map_or_else(|| vec![0.0; n], HostTensor::to_f64s);
    let mut all = vec![0.0; shape.iter().product()];
    for (row, bias) in bias.iter().enumerate().take(n) {
        let weights = matrix.unpack_row(row).unwrap_or_default();
        for (m, input) in data.chunks(k.max(1)).enumerate() {
            let dot: f64 = input.iter().zip(&weights).map(|(x, w)| x * f64::from(*w)).sum();
            all[m * n + row] = dot + bias;
        }
    }
    Ok((all, shape))
}

/// The shape `[.., n]` of a product, with the width of its input checked.
///
/// # Errors
/// When the matrix is none, or widths differ.
pub(super) fn product_shape(cx: &mut Infer<'_>, transposed: bool) -> Result<Vec<Expr>, OpError> {
    let (x, matrix) = (cx.input(0)?, cx.input(1)?);
    let [a, b] = matrix.shape.as_slice() else { return Err(invalid(format!("the matrix is {matrix}"))) };
    let (n, k) = if transposed { (b, a) } else { (a, b) };
    let Some((width, outer)) = x.shape.split_last() else { return Err(invalid("the input is a scalar")) };
    cx.unify(width, "width of the input", k, "width of the matrix")?;
    Ok(outer.iter().chain([n]).cloned().collect())
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let shape = product_shape(cx, self.transposed)?;
        if let Some(residual) = cx.optional(Self::RESIDUAL) {
            for (a, b) in shape.iter().zip(&residual.shape) {
                cx.unify(a, "product", b, "residual")?;
            }
        }
        Ok(vec![Fact::new(cx.input(0)?.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.computed(inputs, false)
    }

    fn reference_in_bytes(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.computed(inputs, true)
    }

    fn reads_textures(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let matrix = cx.matrix(1, self.format, self.transposed)?;
        if matrix.k % CHUNK != 0 {
            return self.unpacked(cx);
        }
        let slots =
            4 + [Self::BIAS, Self::RESIDUAL].map(|input| u32::from(cx.has_input(input))).iter().sum::<u32>();
        let norm = self.epsilon.map(|epsilon| Norm { gain: Self::GAIN, epsilon });
        let x = Input::of(cx, norm, slots)?;
        let bias = if cx.has_input(Self::BIAS) { Some(cx.constant(Self::BIAS, Elem::F32)?) } else { None };
        let (y, beside) = result_rows(cx, matrix.n)?;
        let residual = if cx.has_input(Self::RESIDUAL) { Some(residual(cx)?) } else { None };
        let product = Product { matrix, x, bias, epilogue: Epilogue::Rows { y, residual } };
        product.dispatch(cx)?;
        finish(cx, beside)
    }
}

/// Where a linear operator writes rows of `n`, and, where its place has no such rows, the memory beside it with the place.
///
/// # Errors
/// When there is no output.
pub(super) fn result_rows(cx: &mut Lowering<'_>, n: usize) -> Result<(Rows, Option<(View, View)>), OpError> {
    let place = cx.output(0)?;
    if let Some(rows) = Rows::of_output(&place, n) {
        return Ok((rows, None));
    }
    let shape = cx.output_fact(0)?.shape.clone();
    let beside = cx.temporary("beside", place.elem, &shape);
    let rows = Rows::of_output(&beside, n).ok_or_else(|| invalid("a product has no rows"))?;
    Ok((rows, Some((beside, place))))
}

/// Brings what was written beside its place there.
///
/// # Errors
/// When the copy cannot be made.
pub(super) fn finish(cx: &mut Lowering<'_>, beside: Option<(View, View)>) -> Result<(), OpError> {
    beside.map_or(Ok(()), |(from, to)| cx.copy(&from, &to))
}

fn residual(cx: &mut Lowering<'_>) -> Result<Rows, OpError> {
    let view = cx.shaped(Linear::RESIDUAL)?;
    if let Some(rows) = Rows::plain(&view) {
        return Ok(rows);
    }
    let view = cx.contiguous(view)?;
    Rows::plain(&view).ok_or_else(|| invalid("the width of the residual must be known"))
}

impl Linear {
    fn computed(&self, inputs: &[Option<&HostTensor>], in_bytes: bool) -> Result<Vec<HostTensor>, OpError> {
        let (x, matrix) = (given(inputs, 0)?, packed(given(inputs, 1)?, self.format, self.transposed)?);
        let norm = optional(inputs, Self::GAIN).zip(self.epsilon);
        let (mut all, shape) = sums(x, &matrix, optional(inputs, Self::BIAS), norm, in_bytes)?;
        if let Some(residual) = optional(inputs, Self::RESIDUAL) {
            all.iter_mut().zip(residual.to_f64s()).for_each(|(sum, r)| *sum += r);
        }
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }

    /// For a width that the packed kernels do not take: the matrix as plain floats.
    fn unpacked(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        if self.format.group().is_some() || self.epsilon.is_some() {
            let text = format!("{} weights whose rows are no multiple of {CHUNK}", self.format);
            return Err(OpError::Unsupported(text));
        }
        let (x, matrix) = (cx.shaped(0)?, cx.shaped(1)?);
        let matrix = if self.transposed { matrix } else { matrix.transpose(&[1, 0]) };
        let mut added: Vec<usize> =
            [Self::BIAS, Self::RESIDUAL].into_iter().filter(|input| cx.has_input(*input)).collect();
        let Some(last) = added.pop() else {
            let out = Destination::strided(cx, 0)?;
            matmul::multiply(cx, &x, &matrix, &out.view)?;
            return out.finish(cx);
        };
        let shape = cx.output_fact(0)?.shape.clone();
        let mut sum = cx.temporary("product", x.elem, &shape);
        matmul::multiply(cx, &x, &matrix, &sum)?;
        for input in added {
            let (more, out) = (cx.shaped(input)?, cx.temporary("sum", x.elem, &shape));
            elementwise(cx, "add", &[sum, more], &out)?;
            sum = out;
        }
        let (more, out) = (cx.shaped(last)?, cx.output(0)?);
        elementwise(cx, "add", &[sum, more], &out)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        for (shape, n, transposed, [residual, bias, norm]) in [
            (&[1, 64][..], 12, false, [false, false, false]),
            (&[1, 1, 192], 70, true, [true, false, false]),
            (&[1, 1, 72], 35, true, [false, true, true]),
            (&[1, 5, 96], 33, true, [false, true, false]),
            (&[1, 2, 96], 33, false, [true, true, false]),
            (&[1, 70, 64], 65, false, [true, true, false]),
            (&[2, 3, 64], 48, false, [true, false, true]),
        ] {
            let k = shape[shape.len() - 1];
            if !format.accepts(k) {
                continue;
            }
            let matrix = sample::floats_in(&if transposed { [k, n] } else { [n, k] }, 2, -0.5, 0.5);
            let out: Vec<usize> = shape[..shape.len() - 1].iter().copied().chain([n]).collect();
            let with = |wanted: bool, shape: &[usize], seed| wanted.then(|| sample::floats(shape, seed));
            let (residue, added, gain) = (with(residual, &out, 3), with(bias, &[n], 4), with(norm, &[k], 5));
            let name = format!(
                "{format} {shape:?} to {n}, transposed {transposed}, residual {residual}, bias {bias}, norm {norm}"
            );
            let constants: Vec<usize> = [1, Linear::BIAS, Linear::GAIN][..].to_vec();
            let inputs = vec![Some(sample::floats(shape, 1)), Some(matrix), residue, added, gain];
            let op = Linear { format, transposed, epsilon: norm.then_some(1e-5) };
            cases.push(Case::new(name, op, inputs).constants(&constants));
        }
    }
    let narrow =
        [sample::floats(&[2, 5], 1), sample::floats(&[7, 5], 2), sample::floats(&[2, 7], 3)].map(Some);
    let op = Linear::new(WeightFormat::F16, false);
    let loose = crate::op::Tolerance::F16;
    cases.push(Case::new("a narrow matrix", op, narrow.to_vec()).constants(&[1]).tolerance(loose));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::{Linear, bytes::SPAN, packed};
    use crate::{
        host::{GroupSize, HostTensor, WeightFormat},
        op::{Op, sample},
    };

    #[test]
    fn both_ways_of_storing_are_one_product() {
        let x = HostTensor::from_f32(vec![1, 2], &[1.0, 2.0]).unwrap();
        let rows = HostTensor::from_f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let columns = HostTensor::from_f32(vec![2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]).unwrap();
        let residual = HostTensor::from_f32(vec![1, 3], &[0.5, 0.0, -1.0]).unwrap();
        let of = |matrix, transposed| {
            let op = Linear::new(WeightFormat::F32, transposed);
            op.reference(&[Some(&x), Some(matrix), Some(&residual)]).unwrap()[0].to_f32s()
        };
        assert_eq!(of(&rows, false), [5.5, 11.0, 16.0]);
        assert_eq!(of(&columns, true), of(&rows, false));
    }

    /// `|sum w x' - sum w x| <= sum |w| step / 2`, the step being a span's largest magnitude by 127.
    #[test]
    fn sums_in_bytes_are_off_by_half_a_step_of_each_weight_at_most() {
        let (n, k) = (9, 80);
        let format = WeightFormat::M0e4 { group: GroupSize::G32 };
        let (x, matrix) = (sample::floats(&[1, k], 1), sample::floats_in(&[n, k], 2, -0.5, 0.5));
        let weights = packed(&matrix, format, false).unwrap();
        let op = Linear::new(format, false);
        let inputs = [Some(&x), Some(&matrix)];
        let exact = op.reference(&inputs).unwrap()[0].to_f64s();
        let rounded = op.reference_in_bytes(&inputs).unwrap()[0].to_f64s();
        assert_ne!(exact, rounded);
        for (row, (a, b)) in exact.iter().zip(&rounded).enumerate() {
            let weights = weights.unpack_row(row).unwrap();
            let spans = x.to_f64s().chunks(SPAN).zip(weights.chunks(SPAN)).fold(0.0, |sum, (x, w)| {
                let most = x.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
                sum + most / 127.0 / 2.0 * w.iter().map(|w| f64::from(w.abs())).sum::<f64>()
            });
            assert!((a - b).abs() <= spans + 1e-6, "row {row}: {a} and {b} differ by more than {spans}");
        }
    }
}
