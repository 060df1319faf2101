//! Attention of ONNX 23 and 24, in all its forms: heads split off, the cache in front, then masked attention.

use std::sync::Arc;

use super::{
    binary::Binary,
    concat::Concat,
    identity::Identity,
    masked_attention::{MaskedAttention, Scores},
    range::Range,
    reshape::Reshape,
    shape::Shape,
    squeeze::Squeeze,
    transpose::Transpose,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Inputs: queries, keys and values, `[batch, heads, positions, width]` or `[batch, positions, heads * width]`; mask,
/// boolean or added, that broadcasts to `[batch, heads, queries, keys]`; past keys and values `[batch, kv_heads, past,
/// width]`; keys in use `[batch]`. Outputs: the result in the form of the queries, present keys and values, scores.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxAttention {
    /// Whether key `j` is visible to query `i` only if `j <= i + past`.
    pub is_causal: bool,
    /// Factor of the scores; 1 / sqrt(width) when left out.
    pub scale: Option<f32>,
    /// Scores become `softcap * tanh(score / softcap)` before the mask; 0 for none.
    pub softcap: f32,
    /// Heads of 3-dimensional queries.
    pub heads: i64,
    /// Heads of 3-dimensional keys and values.
    pub kv_heads: i64,
    /// What the scores of output 3 are.
    pub scores: Scores,
}

/// Number of keys in use.
pub const IN_USE: usize = 6;

/// `[batch, positions, heads * width]` as `[batch, heads, positions, width]`.
///
/// # Errors
/// When the last dimension cannot be split so.
pub fn split_heads(parts: &mut Parts<'_, '_>, x: ValueId, heads: i64) -> Result<ValueId, OpError> {
    let fact = parts.fact(x)?;
    if fact.rank() != 3 || heads < 1 {
        return Err(invalid(format!("{fact} is not [batch, positions, width] of {heads} heads")));
    }
    let shape = parts.integers(&[0, 0, heads, -1])?;
    let split = parts.add(Reshape { allow_zero: false }, &[x, shape])?;
    parts.add(Transpose { perm: Some(vec![0, 2, 1, 3]) }, &[split])
}

/// `[batch, heads, positions, width]` as `[batch, positions, heads * width]`.
///
/// # Errors
/// When the value has not four dimensions.
pub fn join_heads(parts: &mut Parts<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
    let swapped = parts.add(Transpose { perm: Some(vec![0, 2, 1, 3]) }, &[x])?;
    let shape = parts.integers(&[0, 0, -1])?;
    parts.add(Reshape { allow_zero: false }, &[swapped, shape])
}

/// `[1]`: how many positions there are in `[batch, heads, positions, width]`.
///
/// # Errors
/// When the value has fewer than three dimensions.
pub fn positions_of(parts: &mut Parts<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
    parts.add(Shape { start: 2, end: Some(3), total: false }, &[x])
}

/// `[1, positions]`: `first`, or 0, and those after it, one for each position of `x [batch, heads, positions, width]`.
///
/// # Errors
/// When `first` is not one number.
pub fn counted_from(
    parts: &mut Parts<'_, '_>,
    first: Option<ValueId>,
    x: ValueId,
) -> Result<ValueId, OpError> {
    let (zero, one) = (parts.integers(&[0])?, parts.integers(&[1])?);
    let size = positions_of(parts, x)?;
    let mut ids = parts.add(Range, &[zero, size, one])?;
    if let Some(first) = first {
        ids = parts.add(Binary::Add, &[ids, first])?;
    }
    parts.add(Squeeze { insert: true, axes: Some(vec![0]) }, &[ids])
}

/// New keys or values behind those of the past, `[batch, heads, positions, width]`.
///
/// # Errors
/// When their other dimensions differ.
pub fn appended(parts: &mut Parts<'_, '_>, past: Option<ValueId>, new: ValueId) -> Result<ValueId, OpError> {
    match past {
        Some(past) => parts.add(Concat { axis: 2 }, &[past, new]),
        None => parts.add(Identity, &[new]),
    }
}

impl Composite for OnnxAttention {
    fn name(&self) -> &'static str {
        "OnnxAttention"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (q, k, v) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
        let flat = parts.fact(q)?.rank() == 3;
        let mut headed = |x, heads| if flat { split_heads(parts, x, heads) } else { Ok(x) };
        let (q, mut k, mut v) =
            (headed(q, self.heads)?, headed(k, self.kv_heads)?, headed(v, self.kv_heads)?);
        let (mask, in_use) = (parts.optional(3), parts.optional(IN_USE));
        let (past_key, past_value) = parts.optional(4).zip(parts.optional(5)).unzip();
        let first = past_key.map(|past| positions_of(parts, past)).transpose()?;
        (k, v) = (appended(parts, past_key, k)?, appended(parts, past_value, v)?);
        let op = MaskedAttention {
            causal: self.is_causal,
            window: None,
            scale: self.scale,
            softcap: self.softcap,
            scores: self.scores,
        };
        let found = parts.add_all(op, &[Some(q), Some(k), Some(v), mask, in_use, first], 2)?;
        let out = if flat { join_heads(parts, found[0])? } else { found[0] };
        Ok(vec![out, k, v, found[1]])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    for name in ["left_window_size", "right_window_size"] {
        if node.int(name)?.is_some_and(|n| n >= 0) {
            return Err(OpError::Unsupported(format!("attribute {name:?} of Attention")));
        }
    }
    let scores = match node.int_or("qk_matmul_output_mode", 0)? {
        0 | 1 => Scores::Bare,
        2 => Scores::Masked,
        3 => Scores::Normal,
        other => return Err(invalid(format!("qk_matmul_output_mode = {other} is not known"))),
    };
    Ok(composite(OnnxAttention {
        is_causal: node.int_or("is_causal", 0)? != 0,
        scale: node.float("scale")?,
        softcap: node.float_or("softcap", 0.0)?,
        heads: node.int_or("q_num_heads", 0)?,
        kv_heads: node.int_or("kv_num_heads", 0)?,
        scores,
    }))
}

fn cases() -> Vec<Case> {
    let plain = OnnxAttention {
        is_causal: true,
        scale: None,
        softcap: 0.0,
        heads: 4,
        kv_heads: 2,
        scores: Scores::Bare,
    };
    let case = |name: &str, shapes: [&[usize]; 3], past: Option<&[usize]>| {
        let mut inputs: Vec<Option<HostTensor>> =
            shapes.iter().zip(1..).map(|(s, seed)| Some(sample::floats(s, seed))).collect();
        inputs.push(None);
        inputs.extend([7, 8].map(|seed| past.map(|shape| sample::floats(shape, seed))));
        Case::composite(name, plain.clone(), inputs)
    };
    let four: [&[usize]; 3] = [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 8]];
    let three: [&[usize]; 3] = [&[2, 3, 32], &[2, 5, 16], &[2, 5, 16]];
    vec![
        case("four dimensions", four, None),
        case("past positions", four, Some(&[1, 2, 4, 8])),
        case("flat inputs", three, None),
        case("flat inputs with past positions", three, Some(&[2, 2, 4, 8])),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Attention", 23..=24)], decode, cases };
