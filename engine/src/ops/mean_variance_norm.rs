//! MeanVarianceNormalization: the distance from the mean over the deviation, by axes.

use std::sync::Arc;

use super::{
    binary::Binary,
    reduce::{Reduce, Reduction},
    unary::Unary,
};
use crate::{
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanVarianceNorm {
    /// The axes.
    pub axes: Vec<i64>,
}

/// What [`standardised`] finds.
#[derive(Clone, Copy, Debug)]
pub struct Standardised {
    /// `(x - mean) * inverse`.
    pub x: ValueId,
    /// The mean; reduced axes stay, with size 1.
    pub mean: ValueId,
    /// 1 over the deviation, likewise.
    pub inverse: ValueId,
}

/// Adds `(x - mean) / sqrt(variance + epsilon)`, both taken over `axes`.
///
/// # Errors
/// When there are no such axes.
pub fn standardised(
    parts: &mut Parts<'_, '_>,
    x: ValueId,
    axes: &[i64],
    epsilon: f32,
) -> Result<Standardised, OpError> {
    let dtype = parts.fact(x)?.dtype;
    let reduction = Reduction::Mean;
    let average = Reduce { reduction, keep: true, noop_without_axes: false, axes: Some(axes.to_vec()) };
    let mean = parts.add(average.clone(), &[x])?;
    let centred = parts.add(Binary::Sub, &[x, mean])?;
    let squares = parts.add(Binary::Mul, &[centred, centred])?;
    let variance = parts.add(average, &[squares])?;
    let epsilon = parts.number(epsilon.into(), dtype)?;
    let sum = parts.add(Binary::Add, &[variance, epsilon])?;
    let deviation = parts.add(Unary::Sqrt, &[sum])?;
    let inverse = parts.add(Unary::Reciprocal, &[deviation])?;
    Ok(Standardised { x: parts.add(Binary::Mul, &[centred, inverse])?, mean, inverse })
}

impl Composite for MeanVarianceNorm {
    fn name(&self) -> &'static str {
        "MeanVarianceNormalization"
    }

    /// ONNX adds 1e-9 to the deviation; this adds the least that f32 can make a root of to the variance, for a
    /// deviation of 0 to give 0.
    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        Ok(vec![standardised(parts, x, &self.axes, 1e-18)?.x])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(MeanVarianceNorm { axes: node.ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec() }))
}

fn cases() -> Vec<Case> {
    let case = |axes: &[i64], shape: &[usize]| {
        let op = MeanVarianceNorm { axes: axes.to_vec() };
        Case::composite(format!("{axes:?} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))])
    };
    vec![case(&[0, 2, 3], &[2, 3, 4, 5]), case(&[-1], &[3, 7]), case(&[1], &[2, 5, 3])]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("MeanVarianceNormalization", 9..=27)], decode, cases };
