//! Upsample, which Resize has taken the place of: each element repeated a whole number of times.

use std::sync::Arc;

use super::{
    binary::Binary, concat::Concat, expand::Expand, identity::Identity, reshape::Reshape, shape::Shape,
    squeeze::Squeeze,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// How often along each dimension: an attribute in opset 7, then input 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample {
    /// The attribute.
    pub scales: Option<Vec<f32>>,
}

/// Adds `x` with each position of an axis repeated `count` times.
///
/// # Errors
/// When it has no such axis.
pub fn repeated(parts: &mut Parts<'_, '_>, x: ValueId, axis: usize, count: i64) -> Result<ValueId, OpError> {
    let rank = parts.fact(x)?.rank() as i64;
    let axis = axis as i64;
    let at = parts.integers(&[axis + 1])?;
    let spread = parts.add(Squeeze { insert: true, axes: None }, &[x, at])?;
    let mut sizes = |start, end| parts.add(Shape { start, end: Some(end), total: false }, &[x]);
    let (before, size, behind) = (sizes(0, axis)?, sizes(axis, axis + 1)?, sizes(axis + 1, rank)?);
    let count = parts.integers(&[count])?;
    let shape = parts.add(Concat { axis: 0 }, &[before, size, count, behind])?;
    let spread = parts.add(Expand, &[spread, shape])?;
    let all = parts.add(Binary::Mul, &[size, count])?;
    let shape = parts.add(Concat { axis: 0 }, &[before, all, behind])?;
    parts.add(Reshape { allow_zero: true }, &[spread, shape])
}

impl Composite for Upsample {
    fn name(&self) -> &'static str {
        "Upsample"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut x = parts.input(0)?;
        let scales: Vec<f64> = match &self.scales {
            Some(list) => list.iter().copied().map(f64::from).collect(),
            None => parts.host(parts.input(1)?).ok_or(OpError::NotConstant { index: 1 })?.to_f64s(),
        };
        let fact = parts.fact(x)?;
        if scales.len() != fact.rank() {
            return Err(invalid(format!("{} scales for {fact}", scales.len())));
        }
        for (axis, scale) in scales.into_iter().enumerate() {
            if scale < 1.0 || scale.fract() != 0.0 {
                return Err(OpError::Unsupported(format!("Upsample by {scale}")));
            }
            if scale > 1.0 {
                x = repeated(parts, x, axis, scale as i64)?;
            }
        }
        Ok(vec![parts.add(Identity, &[x])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    match node.string("mode")?.unwrap_or("nearest") {
        "nearest" => {}
        other => return Err(OpError::Unsupported(format!("Upsample in mode {other:?}"))),
    }
    let scales = if node.version() < 9 { node.floats("scales")?.map(<[f32]>::to_vec) } else { None };
    Ok(composite(Upsample { scales }))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], scales: &[f64]| {
        let list = sample::of(crate::dtype::DType::F32, &[scales.len()], scales);
        let inputs = vec![Some(sample::floats(shape, 1)), Some(list)];
        let case = Case::composite(format!("{shape:?} by {scales:?}"), Upsample { scales: None }, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let attribute = Upsample { scales: Some(vec![2.0, 1.0]) };
    vec![
        case(&[1, 2, 2, 3], &[1.0, 1.0, 2.0, 3.0]),
        case(&[4], &[1.0]),
        Case::composite("an attribute", attribute, vec![Some(sample::floats(&[3, 2], 1))]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Upsample", 7..=9)], decode, cases };
