//! HannWindow, HammingWindow and BlackmanWindow: weights of samples in a Fourier transform.

use std::sync::Arc;

use super::{binary::Binary, cast::Cast, range::Range, reshape::Reshape, unary::Unary};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxName, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// `a - b * cos(t) + c * cos(2 t)`, where `t` goes once around in as many steps as input 0 says, or, unless periodic, in one
/// less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// `a`, `b` and `c`.
    pub factors: [f64; 3],
    /// Whether the step after the last is the first.
    pub periodic: bool,
    /// The result's type.
    pub to: DType,
}

const HANN: [f64; 3] = [0.5, 0.5, 0.0];
const HAMMING: [f64; 3] = [25.0 / 46.0, 21.0 / 46.0, 0.0];
const BLACKMAN: [f64; 3] = [0.42, 0.5, 0.08];

impl Composite for Window {
    fn name(&self) -> &'static str {
        match self.factors {
            HANN => "HannWindow",
            HAMMING => "HammingWindow",
            _ => "BlackmanWindow",
        }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (size, scalar) = (parts.input(0)?, parts.integers(&[])?);
        let size = parts.add(Cast { to: DType::I64 }, &[size])?;
        let size = parts.add(Reshape { allow_zero: false }, &[size, scalar])?;
        let number = |parts: &mut Parts<'_, '_>, value| parts.number(value, DType::F32);
        let (zero, one) = (parts.number(0.0, DType::I64)?, parts.number(1.0, DType::I64)?);
        let steps = parts.add(Range, &[zero, size, one])?;
        let steps = parts.add(Cast { to: DType::F32 }, &[steps])?;
        let round = if self.periodic { size } else { parts.add(Binary::Sub, &[size, one])? };
        let round = parts.add(Cast { to: DType::F32 }, &[round])?;
        let whole = number(parts, std::f64::consts::TAU)?;
        let around = parts.add(Binary::Mul, &[steps, whole])?;
        let angle = parts.add(Binary::Div, &[around, round])?;
        let [a, b, c] = self.factors;
        let mut out = number(parts, a)?;
        for (turns, factor) in [(1.0, -b), (2.0, c)] {
            let (turns, factor) = (number(parts, turns)?, number(parts, factor)?);
            let angle = parts.add(Binary::Mul, &[angle, turns])?;
            let cosine = parts.add(Unary::Cos, &[angle])?;
            let term = parts.add(Binary::Mul, &[cosine, factor])?;
            out = parts.add(Binary::Add, &[out, term])?;
        }
        Ok(vec![parts.add(Cast { to: self.to }, &[out])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let factors = match node.op_type() {
        "HannWindow" => HANN,
        "HammingWindow" => HAMMING,
        _ => BLACKMAN,
    };
    let to = node.dtype("output_datatype")?.unwrap_or(DType::F32);
    Ok(composite(Window { factors, periodic: node.int_or("periodic", 1)? != 0, to }))
}

const NAMES: &[OnnxName] = &[
    standard("BlackmanWindow", 17..=27),
    standard("HammingWindow", 17..=27),
    standard("HannWindow", 17..=27),
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for factors in [HANN, HAMMING, BLACKMAN] {
        for periodic in [true, false] {
            let op = Window { factors, periodic, to: DType::F32 };
            let size = vec![Some(sample::scalar(DType::I64, 10.0))];
            cases.push(Case::composite(format!("periodic {periodic}"), op, size).constants(&[0]));
        }
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };
