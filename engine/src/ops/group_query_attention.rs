//! GroupQueryAttention of ONNX Runtime: heads split off, normalised and turned, the cache written, then masked attention.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    masked_attention::{MaskedAttention, Scores},
    onnx_attention::{appended, counted_from, join_heads, positions_of, split_heads},
    rms_norm::RmsNorm,
    rotary_embedding::RotaryEmbedding,
    split::Split,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

#[path = "group_query_attention/ragged.rs"]
mod ragged;

use ragged::Ragged;

/// Inputs: queries `[batch, seq, heads * width]`, or queries, keys and values in one; keys and values `[batch, seq,
/// kv_heads * width]`; past keys and values `[batch, kv_heads, past, width]`; the position of the last new key, `[batch]`;
/// the length of the longest sequence, its new positions included; cosines and sines `[positions, rotary_dim / 2]`;
/// positions `[batch, seq]`; a bias of the scores that broadcasts to `[batch, heads, seq, length]`; weights `[width]` by
/// which queries and keys are normalised. Outputs: the result, present keys and values.
///
/// A sequence of ONNX Runtime stands at the front of the cache: its new keys are written behind the `seqlens_k + 1 - seq`
/// that are in use, what is behind them is padding. Where all sequences fill the past, that is a Concat; so it is taken to
/// be for a batch of one whose sizes are symbols, as language models have it. (The runtime gives no meaning to prompts
/// padded on the left: the mask of such a model only counts positions.) Any other batch must be known in numbers.
///
/// A cache may keep a window only (`sliding_window_cache`): the runtime then moves what is still seen to its front. That
/// changes no result, so a language model keeps all positions, as in the other caches; at sizes known in numbers, a
/// caller sees which are kept, and the node is refused.
///
/// Of given positions, the runtime reads only the first of a prompt and counts from there; here all are read.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupQueryAttention {
    /// Heads of the queries.
    pub heads: i64,
    /// Heads of keys and values.
    pub kv_heads: i64,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// How many keys, its own included, a query sees backwards.
    pub window: Option<i64>,
    /// Whether the cache that is given and returned keeps the window only.
    pub windowed_cache: bool,
    /// Factor of the scores; 1 / sqrt(width) when left out.
    pub scale: Option<f32>,
    /// Scores become `softcap * tanh(score / softcap)` before the bias; 0 for none.
    pub softcap: f32,
    /// Whether queries and keys are turned; the pairs are then neighbours, or one of each half.
    pub rotary: Option<Interleaved>,
    /// Added to the mean of squares where queries and keys are normalised.
    pub epsilon: f32,
}

/// Whether neighbours are a pair that is turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interleaved(pub bool);

const PAST: [usize; 2] = [3, 4];
const SEQLENS: usize = 5;
const LENGTH: usize = 6;
const TABLES: [usize; 2] = [7, 8];
const POSITIONS: usize = 9;
const SCORES_BIAS: usize = 10;
const NORMS: [usize; 2] = [14, 15];

/// How the cache grows.
enum Growth {
    /// All sequences fill the past, and `first` positions, `[1]`, are in front of the new ones.
    Appended { first: Option<ValueId> },
    /// Sequences of different lengths, or a buffer with room.
    Ragged(Ragged),
}

impl Composite for GroupQueryAttention {
    fn name(&self) -> &'static str {
        "GroupQueryAttention"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let [mut q, mut k, v] = self.headed(parts)?;
        if let [Some(a), Some(b)] = NORMS.map(|index| parts.optional(index)) {
            let norm = RmsNorm { axis: -1, epsilon: self.epsilon };
            (q, k) = (parts.add(norm, &[q, a])?, parts.add(norm, &[k, b])?);
        }
        let growth = self.growth(parts, q)?;
        if let Some(Interleaved(interleaved)) = self.rotary {
            let (cos, sin) = (parts.input(TABLES[0])?, parts.input(TABLES[1])?);
            let half = parts.fact(cos)?.shape.last().and_then(Expr::constant);
            let half = half.and_then(|n| usize::try_from(n).ok());
            let rotary_dim =
                2 * half.ok_or_else(|| invalid("the width of the rotary tables is not known"))?;
            let ids = match (parts.optional(POSITIONS), &growth) {
                (Some(ids), _) => ids,
                (None, Growth::Appended { first }) => counted_from(parts, *first, q)?,
                (None, Growth::Ragged(ragged)) => ragged.positions(parts)?,
            };
            let op = RotaryEmbedding { interleaved, heads: 0, rotary_dim };
            (q, k) = (parts.add(op, &[q, cos, sin, ids])?, parts.add(op, &[k, cos, sin, ids])?);
        }
        let past = PAST.map(|index| parts.optional(index));
        let bias = parts.optional(SCORES_BIAS);
        let mut op = MaskedAttention {
            causal: self.causal,
            window: self.window,
            scale: self.scale,
            softcap: self.softcap,
            scores: Scores::Bare,
        };
        let (present, mask, first) = match growth {
            Growth::Appended { first } => {
                ([appended(parts, past[0], k)?, appended(parts, past[1], v)?], bias, first)
            }
            Growth::Ragged(ragged) => {
                let mask = ragged.mask(parts, self, bias)?;
                (op.causal, op.window) = (false, None);
                let present = [ragged.written(parts, past[0], k)?, ragged.written(parts, past[1], v)?];
                (present, Some(mask), None)
            }
        };
        let inputs = [Some(q), Some(present[0]), Some(present[1]), mask, None, first];
        let found = parts.add_all(op, &inputs, 1)?[0];
        Ok(vec![join_heads(parts, found)?, present[0], present[1]])
    }
}

impl GroupQueryAttention {
    /// Queries, keys and values `[batch, heads, seq, width]`.
    fn headed(&self, parts: &mut Parts<'_, '_>) -> Result<[ValueId; 3], OpError> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let [q, k, v] = match (parts.input(0)?, parts.optional(1), parts.optional(2)) {
            (q, Some(k), Some(v)) => [q, k, v],
            (packed, None, None) => {
                let fact = parts.fact(packed)?.clone();
                let all = fact.shape.get(2).and_then(Expr::constant);
                let fits = all.filter(|n| fact.rank() == 3 && n % (heads + 2 * kv_heads) == 0);
                let all = fits.ok_or_else(|| {
                    invalid(format!("{fact} does not hold {heads} heads of queries and {kv_heads} of keys"))
                })?;
                let width = all / (heads + 2 * kv_heads);
                let sizes = Some(vec![heads * width, kv_heads * width, kv_heads * width]);
                let three = parts.add_all(Split { axis: -1, parts: 3, sizes }, &[Some(packed)], 3)?;
                [three[0], three[1], three[2]]
            }
            _ => return Err(invalid("only one of keys and values is given")),
        };
        Ok([
            split_heads(parts, q, heads)?,
            split_heads(parts, k, kv_heads)?,
            split_heads(parts, v, kv_heads)?,
        ])
    }

    fn growth(&self, parts: &mut Parts<'_, '_>, q: ValueId) -> Result<Growth, OpError> {
        let shape = parts.fact(q)?.shape.clone();
        let (batch, seq) = (&shape[0], &shape[2]);
        let past = match parts.optional(PAST[0]) {
            Some(past) => {
                let fact = parts.fact(past)?;
                fact.shape.get(2).cloned().ok_or_else(|| invalid(format!("the past is {fact}")))?
            }
            None => Expr::ZERO,
        };
        let whole = &past + seq;
        let seqlens = parts.fact(parts.input(SEQLENS)?)?.content.clone();
        let length = parts.fact(parts.input(LENGTH)?)?.content.as_ref().and_then(|c| c.first().cloned());
        let fills = |length: &Expr| (length - &whole).constant().is_none_or(|n| n == 0);
        let symbols = whole.constant().is_none();
        if self.windowed_cache && !symbols {
            let text = "a cache that keeps a window only (sliding_window_cache), where sizes are known";
            return Err(OpError::Unsupported(format!("GroupQueryAttention with {text}")));
        }
        let appended = match &seqlens {
            Some(last) => last.iter().all(|n| n + &Expr::ONE == whole),
            None => *batch == Expr::ONE && symbols && length.as_ref().is_none_or(fills),
        };
        if appended {
            let first = parts.optional(PAST[0]).map(|past| positions_of(parts, past)).transpose()?;
            return Ok(Growth::Appended { first });
        }
        let length = length.ok_or(OpError::NotConstant { index: LENGTH })?;
        let numbers = [batch, seq, &past, &length].map(Expr::constant);
        let [Some(batch), Some(seq), Some(past), Some(length)] = numbers else {
            return Err(OpError::NotConstant { index: SEQLENS });
        };
        let last = parts.input(SEQLENS)?;
        Ok(Growth::Ragged(Ragged::new(parts, last, [batch, seq, past, length])?))
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let quantised = |name| Ok::<_, OpError>(!matches!(node.string(name)?, None | Some("NONE" | "")));
    let refused = [
        (
            node.int_or("smooth_softmax", -1)? == 1 || node.has_input(11),
            "attention sinks (smooth_softmax, head_sink)",
        ),
        (
            node.has_input(12)
                || node.has_input(13)
                || quantised("k_quant_type")?
                || quantised("v_quant_type")?,
            "a quantised cache",
        ),
        (node.has_output(3), "the scores as an output (qk_output)"),
    ];
    let causal = node.int_or("causal", 1)? != 0;
    let window = node.int("local_window_size")?.filter(|n| *n > 0);
    let windowed_cache = node.int_or("sliding_window_cache", 0)? != 0;
    if windowed_cache && (window.is_none() || !causal) {
        return Err(invalid("the cache keeps a window only (sliding_window_cache), but queries see more"));
    }
    if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
        return Err(OpError::Unsupported(format!("GroupQueryAttention with {what}")));
    }
    for pair in [PAST, TABLES, NORMS] {
        if node.has_input(pair[0]) != node.has_input(pair[1]) {
            return Err(invalid(format!("only one of inputs {} and {} is given", pair[0], pair[1])));
        }
    }
    let heads = |name: &str| {
        let given = node.int(name)?.filter(|n| (1..=1 << 16).contains(n));
        given.ok_or_else(|| invalid(format!("attribute {name:?} is missing or no number of heads")))
    };
    let interleaved = Interleaved(node.int_or("rotary_interleaved", 0)? != 0);
    Ok(composite(GroupQueryAttention {
        heads: heads("num_heads")?,
        kv_heads: heads("kv_num_heads")?,
        causal,
        window,
        windowed_cache,
        scale: node.float("scale")?.filter(|scale| *scale != 0.0),
        softcap: node.float_or("softcap", 0.0)?,
        rotary: (node.int_or("do_rotary", 0)? != 0).then_some(interleaved),
        epsilon: node.float_or("qk_norm_epsilon", 1e-6)?,
    }))
}

fn cases() -> Vec<Case> {
    let plain = GroupQueryAttention {
        heads: 4,
        kv_heads: 2,
        causal: true,
        window: None,
        windowed_cache: false,
        scale: None,
        softcap: 0.0,
        rotary: None,
        epsilon: 1e-6,
    };
    let turned = GroupQueryAttention { rotary: Some(Interleaved(false)), ..plain.clone() };
    let windowed = GroupQueryAttention { window: Some(3), softcap: 0.7, ..turned.clone() };
    let inner = |op: &GroupQueryAttention, seq: usize, past: usize, last: &[f64], length: f64| {
        let batch = last.len();
        let shapes = [64, 32, 32].map(|width| vec![batch, seq, width]);
        let mut inputs: Vec<_> = shapes.iter().zip(1..).map(|(s, n)| Some(sample::floats(s, n))).collect();
        inputs.extend([4, 5].map(|n| (past > 0).then(|| sample::floats(&[batch, 2, past, 16], n))));
        inputs.push(Some(sample::of(DType::I32, &[batch], last)));
        inputs.push(Some(sample::scalar(DType::I32, length)));
        inputs.extend([6, 7].map(|n| op.rotary.map(|_| sample::floats_in(&[32, 8], n, -1.0, 1.0))));
        inputs
    };
    let case = |name: &str, op: &GroupQueryAttention, inputs: Vec<Option<HostTensor>>| {
        Case::composite(name, op.clone(), inputs).constants(&[LENGTH])
    };
    let mut packed = inner(&turned, 3, 4, &[6.0], 7.0);
    (packed[0], packed[1], packed[2]) = (Some(sample::floats(&[1, 3, 128], 1)), None, None);
    let mut normal = inner(&turned, 3, 4, &[6.0], 7.0);
    normal.resize(NORMS[0], None);
    normal.extend([8, 9].map(|n| Some(sample::floats_in(&[16], n, 0.5, 1.5))));
    let mut biased = inner(&windowed, 1, 8, &[6.0, 3.0], 7.0);
    biased.extend([None, Some(sample::floats(&[2, 1, 1, 7], 8))]);
    let mut placed = inner(&turned, 1, 6, &[6.0, 3.0], 7.0);
    placed.push(Some(sample::of(DType::I64, &[2, 1], &[9.0, 2.0])));
    let both = GroupQueryAttention { causal: false, ..plain.clone() };
    vec![
        case("a prompt", &plain, inner(&plain, 5, 0, &[4.0, 4.0], 5.0)).constants(&[SEQLENS, LENGTH]),
        case("behind a past", &turned, inner(&turned, 3, 4, &[6.0], 7.0)).constants(&[SEQLENS, LENGTH]),
        case("behind a past, by data", &turned, inner(&turned, 3, 4, &[6.0], 7.0)),
        case("sequences of different lengths", &turned, inner(&turned, 1, 6, &[6.0, 3.0], 7.0)),
        case("a buffer with room", &windowed, inner(&windowed, 3, 12, &[8.0], 9.0)),
        case("a bias and a window", &windowed, biased),
        case("given positions", &turned, placed),
        case("all in one", &turned, packed).constants(&[SEQLENS, LENGTH]),
        case("normalised", &turned, normal).constants(&[SEQLENS, LENGTH, NORMS[0], NORMS[1]]),
        case("in both directions", &both, inner(&both, 3, 12, &[8.0], 9.0)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[microsoft("GroupQueryAttention")], decode, cases };

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onnx_import::{Attribute, Node, ValueId};

    use super::decode;
    use crate::op::OnnxNode;

    /// What decoding says of a node with these inputs beside the required ones, this attribute, and all four outputs.
    fn refusal(given: &[usize], attribute: (&str, Attribute)) -> String {
        let heads = [("num_heads", 4), ("kv_num_heads", 2)].map(|(n, v)| (n.to_owned(), Attribute::Int(v)));
        let node = Node {
            name: "attention".into(),
            domain: "com.microsoft".into(),
            op_type: "GroupQueryAttention".into(),
            version: 1,
            inputs: (0..16).map(|i| (i < 7 || given.contains(&i)).then_some(ValueId(i as u32))).collect(),
            outputs: vec![Some(ValueId(20)); 4],
            attributes: heads.into_iter().chain([(attribute.0.to_owned(), attribute.1)]).collect(),
        };
        decode(&OnnxNode::new(&node, &BTreeMap::new())).map_or_else(|e| e.to_string(), |op| format!("{op:?}"))
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let none = || ("scale", Attribute::Float(0.5));
        for (given, attribute, text) in [
            (&[11][..], none(), "attention sinks"),
            (&[], ("smooth_softmax", Attribute::Int(1)), "attention sinks"),
            (&[12, 13], none(), "a quantised cache"),
            (&[], ("k_quant_type", Attribute::String(b"PER_TENSOR".to_vec())), "a quantised cache"),
            (&[], ("sliding_window_cache", Attribute::Int(1)), "queries see more"),
            (&[], none(), "the scores as an output"),
        ] {
            let got = refusal(given, attribute);
            assert!(got.contains(text), "{given:?}: {got}");
        }
    }
}
