//! STFT, the short-time Fourier transform: overlapping parts of a signal, each under a window, transformed.

use std::sync::Arc;

use super::{
    binary::Binary, dft::Dft, gather::Gather, range::Range, reshape::Reshape, shape::Shape, squeeze::Squeeze,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Inputs: the signal `[batch, time]`, or with a last dimension of 1 or 2 for real and imaginary parts; the step from one
/// part to the next; the window, or nothing; the length of a part, that of the window when left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stft {
    /// Whether only the first half of the frequencies is wanted, which tells the others of a real signal.
    pub onesided: bool,
}

impl Composite for Stft {
    fn name(&self) -> &'static str {
        "STFT"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (mut x, window) = (parts.input(0)?, parts.optional(2));
        if parts.fact(x)?.rank() == 2 {
            x = parts.add(Squeeze { insert: true, axes: Some(vec![2]) }, &[x])?;
        }
        let step = parts.known(parts.input(1)?)?.ok_or(OpError::NotConstant { index: 1 })?;
        let length = match (parts.optional(3), window) {
            (Some(length), _) => parts.known(length)?.ok_or(OpError::NotConstant { index: 3 })?,
            (None, Some(window)) => {
                parts.fact(window)?.len().constant().ok_or(OpError::NotConstant { index: 2 })?
            }
            (None, None) => return Err(invalid("neither a window nor the length of a part is given")),
        };
        if step < 1 || length < 1 || parts.fact(x)?.rank() != 3 {
            let text = format!("parts of {length}, {step} apart, of {}", parts.fact(x)?);
            return Err(invalid(text));
        }
        // Places [parts, length] in the signal.
        let number = |parts: &mut Parts<'_, '_>, n: i64| parts.number(n as f64, DType::I64);
        let (zero, one) = (number(parts, 0)?, number(parts, 1)?);
        let (step, count) = (number(parts, step)?, number(parts, length)?);
        let time = parts.add(Shape { start: 1, end: Some(2), total: false }, &[x])?;
        let time = parts.add(Squeeze { insert: false, axes: Some(vec![0]) }, &[time])?;
        let last = parts.add(Binary::Sub, &[time, count])?;
        let last = parts.add(Binary::Add, &[last, one])?;
        let starts = parts.add(Range, &[zero, last, step])?;
        let starts = parts.add(Squeeze { insert: true, axes: Some(vec![1]) }, &[starts])?;
        let inside = parts.add(Range, &[zero, count, one])?;
        let places = parts.add(Binary::Add, &[starts, inside])?;
        let mut taken = parts.add(Gather { axis: 1 }, &[x, places])?;
        if let Some(window) = window {
            let column = parts.integers(&[-1, 1])?;
            let window = parts.add(Reshape { allow_zero: false }, &[window, column])?;
            taken = parts.add(Binary::Mul, &[taken, window])?;
        }
        let dft = composite(Dft { axis: 2, inverse: false, onesided: self.onesided });
        parts.add_op("DFT", dft, &[Some(taken)], 1)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(Stft { onesided: node.int_or("onesided", 1)? != 0 }))
}

fn cases() -> Vec<Case> {
    let case =
        |name: &str, onesided, shape: &[usize], step: f64, window: Option<usize>, length: Option<f64>| {
            let scalar = |n| sample::scalar(DType::I64, n);
            let inputs = vec![
                Some(sample::floats(shape, 1)),
                Some(scalar(step)),
                window.map(|n| sample::floats(&[n], 2)),
                length.map(scalar),
            ];
            Case::composite(name, Stft { onesided }, inputs).constants(&[1, 3])
        };
    vec![
        case("a length", true, &[2, 19, 1], 3.0, None, Some(8.0)),
        case("a window", true, &[1, 20], 4.0, Some(6), None),
        case("a complex signal", false, &[2, 12, 2], 5.0, Some(7), Some(7.0)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("STFT", 17..=27)], decode, cases };
