//! Scores of attention: what stands between the product of queries and keys and the softmax.

use symbolic::Expr;

use super::{
    mask::{self, Mask},
    pattern::{Cx, Misfit},
};
use crate::graph::{Fact, Node, ValueId};

/// What lies between the product of queries and keys and the softmax.
pub(super) struct Peeled<'a> {
    pub product: &'a Node,
    pub scale: f64,
    /// The scores become `softcap * tanh(score / softcap)` before the masks; 0 for none.
    pub softcap: f32,
    pub masks: Vec<ValueId>,
}

pub(super) fn peel<'a>(cx: &Cx<'a>, value: ValueId) -> Result<Peeled<'a>, Misfit> {
    let (mut value, mut scale, mut softcap, mut masks) = (cx.through_casts(value), 1.0, None, Vec::new());
    loop {
        let here = |reason: &str| Misfit::at(value)(reason);
        let node = cx.producer(value).ok_or_else(|| here("the scores are an input of the graph"))?;
        let operands = (node.input(0), node.input(1));
        match (node.op.name(), operands) {
            ("MatMul", _) => {
                return Ok(Peeled { product: node, scale, softcap: softcap.unwrap_or(0.0), masks });
            }
            ("Add", (Some(a), Some(b))) => {
                let of_product = [a, b].map(|v| leads_to_product(cx, v, SCALINGS));
                let (inner, mask) = match of_product {
                    [true, _] => (a, b),
                    [false, true] => (b, a),
                    [false, false] => return Err(here("a sum has no product of queries and keys in it")),
                };
                if scale != 1.0 || softcap.is_some() {
                    return Err(here("the mask is scaled together with the scores"));
                }
                masks.push(mask);
                value = inner;
            }
            ("Mul", (Some(a), Some(b))) => {
                let (inner, factor) = if cx.scalar(b).is_some() { (a, b) } else { (b, a) };
                scale *= cx
                    .scalar(factor)
                    .ok_or_else(|| here("the scores are multiplied by something computed"))?;
                value = inner;
            }
            ("Div", (Some(a), Some(b))) => {
                scale /= cx.scalar(b).ok_or_else(|| here("the scores are divided by something computed"))?;
                value = a;
            }
            // The factor outside is the cap; inside, the scores are divided by it.
            ("Tanh", (Some(a), _)) if softcap.is_none() && scale > 0.0 => {
                softcap = Some(scale as f32);
                value = a;
            }
            (other, _) => return Err(here(&format!("between the product and the softmax stands {other}"))),
        }
        value = cx.through_casts(value);
    }
}

/// Most nodes between a product and a mask that is added to it.
const SCALINGS: usize = 6;

fn leads_to_product(cx: &Cx<'_>, value: ValueId, depth: usize) -> bool {
    let value = cx.through_casts(value);
    match cx.producer(value).map(|n| (n.op.name(), n)) {
        Some(("MatMul", _)) => true,
        Some(("Mul" | "Div" | "Add" | "Tanh", node)) if depth > 0 => {
            node.inputs.iter().flatten().any(|v| leads_to_product(cx, *v, depth - 1))
        }
        _ => false,
    }
}

/// What of a value that is added to the scores is no mask, once the masks in it are merged into `mask`.
pub(super) fn beside_masks(cx: &Cx<'_>, added: ValueId, scores: &[Expr], mask: &mut Mask) -> Option<ValueId> {
    let before = mask.clone();
    if mask::read(cx, added, scores, true).and_then(|read| merge(mask, read)).is_ok() {
        return None;
    }
    *mask = before.clone();
    let sum = cx.made_by(cx.through_casts(added), "Add").and_then(|n| n.input(0).zip(n.input(1)));
    let (a, b) = match sum {
        Some((a, b)) => (beside_masks(cx, a, scores, mask), beside_masks(cx, b, scores, mask)),
        None => return Some(added),
    };
    if a.is_some() && b.is_some() {
        *mask = before;
        return Some(added);
    }
    a.or(b)
}

/// Whether a bias broadcasts to the scores `[batch, heads, queries, keys]`.
pub(super) fn check_bias(cx: &Cx<'_>, bias: ValueId, scores: &[Expr]) -> Result<(), Misfit> {
    let fact = cx.graph.fact(bias).filter(|f| f.rank() <= scores.len() && f.dtype.is_float());
    let own = |f: &&Fact| {
        let own = &scores[scores.len() - f.rank()..];
        f.shape.iter().zip(own).all(|(size, own)| size == own || *size == Expr::ONE)
    };
    let text = "what is added to the scores does not broadcast to [batch, heads, queries, keys]";
    fact.filter(own).map(|_| ()).ok_or_else(|| Misfit::at(bias)(text))
}

/// Both masks at once.
pub(super) fn merge(into: &mut Mask, other: Mask) -> Result<(), String> {
    let Mask { causal, window, padding, keys } = other;
    let clash = (into.keys.is_some() && keys.is_some() && into.keys != keys)
        || (into.causal.is_some() && causal.is_some() && into.causal != causal)
        || (into.window.is_some() && window.is_some() && into.window != window)
        || (into.padding.is_some() && padding.is_some() && into.padding != padding);
    if clash {
        return Err("two masks contradict each other".into());
    }
    into.causal = into.causal.take().or(causal);
    into.window = into.window.take().or(window);
    into.padding = into.padding.or(padding);
    into.keys = into.keys.take().or(keys);
    Ok(())
}
