//! GatedLinear: both products of a gated feed-forward layer at once, `activation(x G^T) * (x U^T)`, as passes find it.

use super::{
    gated::Activation,
    linear::input::{Input, Norm},
    linear::product::{CHUNK, Epilogue, Product},
    linear::{self, finish, product_shape, result_rows, sums},
};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{HostTensor, WeightFormat},
    op::{
        Case, Elem, Infer, Lowering, Op, Operator, made_by_passes,
        nd::{floats, given, optional},
        sample,
    },
};

/// Inputs: `x [.., k]`, a constant matrix `[2 * n, k]` whose rows are by turns a gate's and what it lets through, and, on
/// demand, constants: a bias `[2 * n]`, and a gain `[k]` by which `x` is normalised first. The result is `[.., n]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GatedLinear {
    /// How the matrix is held on the device.
    pub format: WeightFormat,
    /// What is done to the gate.
    pub activation: Activation,
    /// Added to the mean of squares where the gain is given: RMSNorm, `x / sqrt(mean(x^2) + epsilon) * gain`.
    pub epsilon: Option<f32>,
}

impl GatedLinear {
    /// The bias's input.
    pub const BIAS: usize = 2;
    /// The gain's input.
    pub const GAIN: usize = 3;

    fn computed(&self, inputs: &[Option<&HostTensor>], in_bytes: bool) -> Result<Vec<HostTensor>, OpError> {
        let (x, matrix) = (given(inputs, 0)?, linear::packed(given(inputs, 1)?, self.format, false)?);
        let norm = optional(inputs, Self::GAIN).zip(self.epsilon);
        let (sums, mut shape) = sums(x, &matrix, optional(inputs, Self::BIAS), norm, in_bytes)?;
        if let Some(both) = shape.last_mut() {
            *both /= 2;
        }
        let pairs = sums.as_chunks::<2>().0;
        let all: Vec<f64> = pairs.iter().map(|[gate, up]| self.activation.of_pair(*gate, *up)).collect();
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }
}

impl Op for GatedLinear {
    fn name(&self) -> &'static str {
        "GatedLinear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let mut shape = product_shape(cx, false)?;
        if let Some(both) = shape.last_mut() {
            *both = both.exact_div(&2.into()).ok_or_else(|| invalid(format!("{both} rows are not pairs")))?;
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
        let matrix = cx.matrix(1, self.format, false)?;
        if matrix.k % CHUNK != 0 {
            return Err(invalid(format!("rows of {} weights are no multiple of {CHUNK}", matrix.k)));
        }
        let slots = 4 + u32::from(cx.has_input(Self::BIAS));
        let norm = self.epsilon.map(|epsilon| Norm { gain: Self::GAIN, epsilon });
        let x = Input::of(cx, norm, slots)?;
        let bias = if cx.has_input(Self::BIAS) { Some(cx.constant(Self::BIAS, Elem::F32)?) } else { None };
        let (y, beside) = result_rows(cx, matrix.n / 2)?;
        let epilogue = Epilogue::Gate { y, activation: self.activation };
        Product { matrix, x, bias, epilogue }.dispatch(cx)?;
        finish(cx, beside)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, format) in WeightFormat::ALL.into_iter().enumerate() {
        for (shape, n, [bias, norm]) in [
            (&[1, 64][..], 12, [false, true]),
            (&[1, 1, 96], 34, [true, false]),
            (&[1, 2, 96], 34, [true, true]),
            (&[1, 70, 64], 66, [false, false]),
            (&[2, 3, 64], 48, [true, true]),
        ] {
            let k = shape[shape.len() - 1];
            let matrix = sample::floats_in(&[n, k], 2, -0.5, 0.5);
            let with = |wanted: bool, shape: &[usize], seed| wanted.then(|| sample::floats(shape, seed));
            let (added, gain) = (with(bias, &[n], 3), with(norm, &[k], 4));
            let activation = Activation::ALL[index % Activation::ALL.len()];
            let name = format!("{activation:?}, {format} {shape:?} to {n} rows, bias {bias}, norm {norm}");
            let inputs = vec![Some(sample::floats(shape, 1)), Some(matrix), added, gain];
            let op = GatedLinear { format, activation, epsilon: norm.then_some(1e-5) };
            cases.push(Case::new(name, op, inputs).constants(&[1, 2, 3]));
        }
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::{Activation, GatedLinear};
    use crate::{
        host::{HostTensor, WeightFormat},
        op::Op,
    };

    #[test]
    fn one_gate_by_hand() {
        let x = HostTensor::from_f32(vec![1, 2], &[3.0, -4.0]).unwrap();
        let matrix = HostTensor::from_f32(vec![2, 2], &[1.0, 0.5, 2.0, 1.0]).unwrap();
        let bias = HostTensor::from_f32(vec![2], &[0.25, 1.0]).unwrap();
        let op = GatedLinear { format: WeightFormat::F32, activation: Activation::Silu, epsilon: None };
        let out = op.reference(&[Some(&x), Some(&matrix), Some(&bias)]).unwrap();
        let gate = 1.25f32;
        assert_eq!(out[0].to_f32s(), [gate / (1.0 + (-gate).exp()) * 3.0]);
    }
}
