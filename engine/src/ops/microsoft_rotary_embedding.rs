//! RotaryEmbedding of ONNX Runtime: that of ONNX 23 with its inputs in another order, and positions that may be one offset.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    onnx_attention::{counted_from, join_heads, split_heads},
    rotary_embedding::RotaryEmbedding,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: x `[batch, heads, seq, head_dim]` or `[batch, seq, hidden]`; positions `[batch, seq]`, or `[1]`: that of the
/// first element; cosines and sines `[positions, rotary_dim / 2]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MicrosoftRotaryEmbedding {
    /// Whether neighbours are a pair.
    pub interleaved: bool,
    /// Heads of a 3-dimensional input; 0 where the tables turn whole heads and so tell their width.
    pub heads: i64,
    /// How many elements of a head are turned; 0 for all.
    pub rotary_dim: usize,
}

impl Composite for MicrosoftRotaryEmbedding {
    fn name(&self) -> &'static str {
        "RotaryEmbedding"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, mut ids, cos, sin) = (parts.input(0)?, parts.input(1)?, parts.input(2)?, parts.input(3)?);
        let fact = parts.fact(x)?;
        let (flat, mut heads) = (fact.rank() == 3, self.heads);
        if flat && heads == 0 {
            let twice = parts.fact(cos)?.shape.last().map(|w| w * &Expr::from(2));
            let all = twice.and_then(|width| fact.shape[2].exact_div(&width)?.constant());
            let unknown = || invalid(format!("how many heads {fact} has is not known"));
            heads = all.ok_or_else(unknown)?;
        }
        let x = if flat { split_heads(parts, x, heads)? } else { x };
        if parts.fact(ids)?.rank() < 2 {
            ids = counted_from(parts, Some(ids), x)?;
        }
        let op = RotaryEmbedding { interleaved: self.interleaved, heads: 0, rotary_dim: self.rotary_dim };
        let turned = parts.add(op, &[x, cos, sin, ids])?;
        Ok(vec![if flat { join_heads(parts, turned)? } else { turned }])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.int_or("is_packed_batching", 0)? != 0 {
        return Err(OpError::Unsupported("RotaryEmbedding of sequences packed into one batch".into()));
    }
    if node.float_or("scale", 1.0)? != 1.0 {
        let text = "attribute \"scale\" of RotaryEmbedding, which ONNX Runtime's kernels do not agree about";
        return Err(OpError::Unsupported(text.into()));
    }
    let negative = |name: &str| invalid(format!("attribute {name:?} is negative"));
    let heads = node.int_or("num_heads", 0)?;
    if heads < 0 {
        return Err(negative("num_heads"));
    }
    let rotary_dim = usize::try_from(node.int_or("rotary_embedding_dim", 0)?);
    Ok(composite(MicrosoftRotaryEmbedding {
        interleaved: node.int_or("interleaved", 0)? != 0,
        heads,
        rotary_dim: rotary_dim.map_err(|_| negative("rotary_embedding_dim"))?,
    }))
}

fn cases() -> Vec<Case> {
    let case = |op: MicrosoftRotaryEmbedding, shape: &[usize], ids: HostTensor, width| {
        let name = format!("{op:?} of {shape:?}, ids {:?}", ids.shape());
        let tables = [3, 4].map(|seed| sample::floats_in(&[50, width], seed, -1.0, 1.0));
        let [cos, sin] = tables;
        Case::composite(name, op, [sample::floats(shape, 1), ids, cos, sin].map(Some).to_vec())
    };
    let plain = MicrosoftRotaryEmbedding { interleaved: false, heads: 0, rotary_dim: 0 };
    let partial = MicrosoftRotaryEmbedding { heads: 4, rotary_dim: 4, ..plain.clone() };
    let ids = || sample::integers_in(&[2, 3], 2, 0, 50);
    vec![
        case(plain.clone(), &[2, 4, 3, 8], ids(), 4),
        case(plain.clone(), &[2, 4, 3, 8], sample::list(&[7]), 4),
        case(plain.clone(), &[2, 3, 32], sample::list(&[7]), 4),
        case(MicrosoftRotaryEmbedding { interleaved: true, ..plain }, &[2, 3, 32], ids(), 4),
        case(partial, &[2, 3, 32], ids(), 2),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[microsoft("RotaryEmbedding")], decode, cases };
