//! LRN, local response normalization: elements over a power of the squares in neighbouring channels.

use std::sync::Arc;

use super::{
    binary::Binary,
    pad::{Mode, Pad},
    shape::Shape,
    slice::Slice,
    variadic::Variadic,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// `x / (bias + alpha / size * squares) ^ beta`, the squares summed over `size` channels (axis 1) around each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Number of channels.
    pub size: i64,
    /// Factor of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Added before the power is taken.
    pub bias: f32,
}

impl Composite for Lrn {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let dtype = parts.fact(x)?.dtype;
        let squares = parts.add(Binary::Mul, &[x, x])?;
        let (before, behind) = ((self.size - 1) / 2, self.size / 2);
        let (pads, zero, axis) =
            (parts.integers(&[before, behind])?, parts.number(0.0, dtype)?, parts.integers(&[1])?);
        let padded = parts.add(Pad { mode: Mode::Constant }, &[squares, pads, zero, axis])?;
        let channels = parts.add(Shape { start: 1, end: Some(2), total: false }, &[x])?;
        let mut shifted = Vec::new();
        for start in 0..self.size {
            let start = parts.integers(&[start])?;
            let end = parts.add(Binary::Add, &[start, channels])?;
            shifted.push(parts.add(Slice, &[padded, start, end, axis])?);
        }
        let sum = parts.add(Variadic::Sum, &shifted)?;
        let factor = parts.number(f64::from(self.alpha) / self.size as f64, dtype)?;
        let scaled = parts.add(Binary::Mul, &[sum, factor])?;
        let bias = parts.number(self.bias.into(), dtype)?;
        let base = parts.add(Binary::Add, &[scaled, bias])?;
        let beta = parts.number(self.beta.into(), dtype)?;
        let power = parts.add(Binary::Pow, &[base, beta])?;
        Ok(vec![parts.add(Binary::Div, &[x, power])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let size = node.int("size")?.ok_or_else(|| invalid("attribute \"size\" is missing"))?;
    if !(1..=1024).contains(&size) {
        return Err(OpError::Unsupported(format!("LRN over {size} channels")));
    }
    Ok(composite(Lrn {
        size,
        alpha: node.float_or("alpha", 1e-4)?,
        beta: node.float_or("beta", 0.75)?,
        bias: node.float_or("bias", 1.0)?,
    }))
}

fn cases() -> Vec<Case> {
    let case = |size, shape: &[usize]| {
        let op = Lrn { size, alpha: 0.5, beta: 0.75, bias: 1.0 };
        Case::composite(format!("{size} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))])
    };
    vec![case(3, &[2, 5, 3, 2]), case(4, &[1, 6, 4]), case(1, &[2, 3])]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("LRN", 1..=27)], decode, cases };
