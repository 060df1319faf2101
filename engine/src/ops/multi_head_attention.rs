//! MultiHeadAttention of ONNX Runtime: biases added, heads split off, the cache in front, then masked attention.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    binary::Binary,
    cast::Cast,
    masked_attention::{MaskedAttention, Scores},
    onnx_attention::{appended, join_heads, positions_of, split_heads},
    select::Where,
    slice::Slice,
    squeeze::Squeeze,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: queries `[batch, seq, hidden]`; keys and values like them or with heads split off, `[batch, heads, keys,
/// width]`; bias `[3 * hidden]`; keys in use `[batch]`, or which of them are not padding, `[batch, keys]` or `[batch, seq,
/// keys]`; a bias of the scores that broadcasts to `[batch, heads, seq, keys]`; past keys and values. Outputs: the result
/// `[batch, seq, hidden]`, present keys and values, the weights.
///
/// ONNX Runtime lowers the scores of padding by a number instead of hiding them: a query that sees nothing else has the
/// mean of what it was to ignore there, and zeros here, unless the number is too small to hide anything.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiHeadAttention {
    /// Heads.
    pub heads: i64,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// Factor of the scores; 1 / sqrt(width) when left out.
    pub scale: Option<f32>,
    /// Added to the scores of padding.
    pub hidden: f32,
}

const BIAS: usize = 3;
const PADDING: usize = 4;
const SCORES_BIAS: usize = 5;
const PAST: [usize; 2] = [6, 7];

/// Scores lowered by this are as good as hidden.
const HIDDEN: f32 = -1e4;

impl Composite for MultiHeadAttention {
    fn name(&self) -> &'static str {
        "MultiHeadAttention"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut q = parts.input(0)?;
        let packed = || OpError::Unsupported("MultiHeadAttention of packed queries, keys and values".into());
        let (mut k, mut v) = parts.optional(1).zip(parts.optional(2)).ok_or_else(packed)?;
        if parts.fact(q)?.rank() != 3 || !matches!(parts.fact(k)?.rank(), 3 | 4) {
            return Err(packed());
        }
        let split = parts.fact(k)?.rank() == 4;
        if let Some(bias) = parts.optional(BIAS) {
            let at = Expr::ZERO;
            q = biased(parts, q, bias, &at)?;
            if !split {
                let width = |value| parts.fact(value).map(|f| f.shape[2].clone());
                let (second, third) = (width(q)?, width(q)? + width(k)?);
                k = biased(parts, k, bias, &second)?;
                v = biased(parts, v, bias, &third)?;
            }
        }
        let mut headed = |x| if split { Ok(x) } else { split_heads(parts, x, self.heads) };
        (k, v) = (headed(k)?, headed(v)?);
        q = split_heads(parts, q, self.heads)?;
        let past = PAST.map(|index| parts.optional(index));
        if past[0].is_none() {
            self.check_causal(parts, q, k)?;
        }
        let first = past[0].map(|past| positions_of(parts, past)).transpose()?;
        (k, v) = (appended(parts, past[0], k)?, appended(parts, past[1], v)?);
        let (mask, in_use) = self.mask(parts, q)?;
        let op = MaskedAttention {
            causal: self.causal,
            window: None,
            scale: self.scale,
            softcap: 0.0,
            scores: Scores::Normal,
        };
        let found = parts.add_all(op, &[Some(q), Some(k), Some(v), mask, in_use, first], 2)?;
        Ok(vec![join_heads(parts, found[0])?, k, v, found[1]])
    }
}

impl MultiHeadAttention {
    /// Where queries stand among keys of another number is not defined.
    fn check_causal(&self, parts: &Parts<'_, '_>, q: ValueId, k: ValueId) -> Result<(), OpError> {
        let (queries, keys) = (&parts.fact(q)?.shape[2], &parts.fact(k)?.shape[2]);
        let differ = queries.constant().zip(keys.constant()).is_some_and(|(a, b)| a != b);
        if self.causal && differ {
            return Err(invalid(format!("{queries} unidirectional queries have {keys} keys and no past")));
        }
        Ok(())
    }

    /// Mask and keys in use, as masked attention takes them.
    fn mask(
        &self,
        parts: &mut Parts<'_, '_>,
        q: ValueId,
    ) -> Result<(Option<ValueId>, Option<ValueId>), OpError> {
        let bias = parts.optional(SCORES_BIAS);
        let Some(padding) = parts.optional(PADDING) else { return Ok((bias, None)) };
        let fact = parts.fact(padding)?.clone();
        let axes = match fact.rank() {
            1 => {
                let batch = &parts.fact(q)?.shape[0];
                let known = fact.shape[0].constant().zip(batch.constant());
                if known.is_some_and(|(a, b)| a != b) {
                    let text = format!("a key padding mask {fact} for a batch of {batch}");
                    return Err(OpError::Unsupported(text));
                }
                return Ok((bias, Some(padding)));
            }
            2 => vec![1, 2],
            3 => vec![1],
            _ => return Err(invalid(format!("the key padding mask is {fact}"))),
        };
        let seen = parts.add(Cast { to: DType::Bool }, &[padding])?;
        let seen = parts.add(Squeeze { insert: true, axes: Some(axes) }, &[seen])?;
        if bias.is_none() && self.hidden <= HIDDEN {
            return Ok((Some(seen), None));
        }
        let dtype = parts.fact(q)?.dtype;
        let (zero, hidden) = (parts.number(0.0, dtype)?, parts.number(self.hidden.into(), dtype)?);
        let added = parts.add(Where, &[seen, zero, hidden])?;
        let mask = bias.map_or(Ok(added), |bias| parts.add(Binary::Add, &[added, bias]))?;
        Ok((Some(mask), None))
    }
}

/// `x [.., width]` plus the part of a vector that begins at `start`.
fn biased(parts: &mut Parts<'_, '_>, x: ValueId, bias: ValueId, start: &Expr) -> Result<ValueId, OpError> {
    let end = start + &parts.fact(x)?.shape[2];
    let known = |e: &Expr| e.constant().ok_or_else(|| invalid(format!("a bias of {e} elements")));
    let (start, end) = (known(start)?, known(&end)?);
    let bounds = [parts.integers(&[start])?, parts.integers(&[end])?, parts.integers(&[0])?];
    let part = parts.add(Slice, &[bias, bounds[0], bounds[1], bounds[2]])?;
    parts.add(Binary::Add, &[x, part])
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.has_input(8) || node.has_input(9) {
        let text = "MultiHeadAttention with a shared cache buffer (past_sequence_length, cache_indirection)";
        return Err(OpError::Unsupported(text.into()));
    }
    if node.has_input(PAST[0]) != node.has_input(PAST[1]) {
        return Err(invalid("only one of past_key and past_value is given"));
    }
    Ok(composite(MultiHeadAttention {
        heads: node.int("num_heads")?.ok_or_else(|| invalid("attribute \"num_heads\" is missing"))?,
        causal: node.int_or("unidirectional", 0)? != 0,
        scale: node.float("scale")?.filter(|scale| *scale != 0.0),
        hidden: node.float_or("mask_filter_value", HIDDEN)?,
    }))
}

fn cases() -> Vec<Case> {
    let plain = MultiHeadAttention { heads: 4, causal: false, scale: None, hidden: HIDDEN };
    let case = |name: &str, op: &MultiHeadAttention, keys: usize, more: Vec<Option<HostTensor>>| {
        let shapes = [[2, 3, 32], [2, keys, 32], [2, keys, 32]];
        let mut inputs: Vec<_> =
            shapes.iter().zip(1..).map(|(s, seed)| Some(sample::floats(s, seed))).collect();
        inputs.extend(more);
        Case::composite(name, op.clone(), inputs)
    };
    let mask = |shape: &[usize], values: &[f64]| Some(sample::of(DType::I32, shape, values));
    let ten = [1., 1., 0., 1., 1., 0., 0., 1., 1., 1.];
    let past = |seed| Some(sample::floats(&[2, 4, 4, 8], seed));
    let scores = || Some(sample::floats(&[1, 4, 3, 5], 5));
    let causal = MultiHeadAttention { causal: true, ..plain.clone() };
    let soft = MultiHeadAttention { hidden: -5.0, ..plain.clone() };
    let flags = sample::integers_in(&[2, 3, 5], 7, 0, 2).cast(DType::I32);
    let mut split = case("heads split off", &plain, 5, vec![Some(sample::floats(&[96], 4))]);
    split.inputs[1] = Some(sample::floats(&[2, 4, 5, 8], 2));
    split.inputs[2] = Some(sample::floats(&[2, 4, 5, 8], 3));
    vec![
        case("cross", &plain, 5, vec![Some(sample::floats(&[96], 4))]),
        case("padding", &plain, 5, vec![None, mask(&[2, 5], &ten)]),
        case("padding for each query", &plain, 5, vec![None, Some(flags)]),
        case("padding that is only lowered", &soft, 5, vec![None, mask(&[2, 5], &ten)]),
        case("keys in use", &plain, 5, vec![None, mask(&[2], &[3.0, 5.0])]),
        case("padding and a bias of the scores", &plain, 5, vec![None, mask(&[2, 5], &ten), scores()]),
        case("causal with past", &causal, 3, vec![None, None, None, past(8), past(9)]),
        case("causal without past", &causal, 3, vec![]),
        split,
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[microsoft("MultiHeadAttention")], decode, cases };
