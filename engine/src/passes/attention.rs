//! Attention: `softmax(q k^T * scale + mask) v`, with repeated key heads and the mask folded away.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    element::{coordinates, moved_element},
    formula::Element,
    mask::{self, Mask},
    pattern::{Cx, Misfit, Pattern, Rewrite},
    scores::{Peeled, beside_masks, check_bias, merge, peel},
};
use crate::{
    dtype::DType,
    graph::{Node, ValueId},
    ops::{
        attention,
        masked_attention::{self, MaskedAttention},
        softmax,
    },
};

pub(super) struct Attention;

/// What is to become one node.
struct Found {
    replaces: ValueId,
    /// Value and constant factor.
    q: (ValueId, f64),
    k: Source,
    v: Source,
    scale: f64,
    softcap: f32,
    mask: Mask,
    /// What is added to the scores that is no mask.
    bias: Option<ValueId>,
}

/// Keys or values.
struct Source {
    value: ValueId,
    /// What they are multiplied by.
    factor: f64,
    /// Whether they are `[batch, keys, heads, width]`, heads behind keys.
    turned: bool,
}

impl Source {
    /// Heads and positions.
    fn sizes<'a>(&self, cx: &Cx<'a>) -> Option<[&'a Expr; 2]> {
        let [_, a, b, _] = cx.graph.fact(self.value)?.shape.as_slice() else { return None };
        Some(if self.turned { [b, a] } else { [a, b] })
    }
}

/// Brings heads before positions, or the other way round.
const TURN: [usize; 4] = [0, 2, 1, 3];

impl Pattern for Attention {
    fn name(&self) -> &'static str {
        "Attention"
    }

    /// A softmax of a matrix is none: it chooses the experts of a mixture.
    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        let scores = node.outputs.first().and_then(|o| cx.graph.fact(*o)).is_none_or(|f| f.rank() > 2);
        (node.op.name() == "Softmax" && scores) || node.op_as::<MaskedAttention>().is_some()
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let found = match node.op_as::<MaskedAttention>() {
            Some(op) => from_operator(cx, node, op)?,
            None => from_softmax(cx, node)?,
        };
        let (k, v) = (found.k.sizes(cx), found.v.sizes(cx));
        let (Some([heads, room]), Some([others, _])) = (k, v) else { return Err("keys have no type".into()) };
        if heads != others {
            return Err("keys and values have different numbers of heads".into());
        }
        let shape = |value: ValueId| cx.graph.fact(value).map(|f| f.shape.as_slice()).unwrap_or_default();
        let queries = &shape(found.q.0)[2];
        let keys = in_use(&found.mask, queries, room)?;
        if let Some(padding) = found.mask.padding {
            let (name, size) = (&cx.graph.value(padding).name, &shape(padding)[1]);
            if !(*size == keys || size == room || size.min(room) == keys) {
                let text = format!("the mask {name:?} is for {size} keys, {keys} are in use");
                return Err(Misfit::at(padding)(text));
            }
        }
        let op = attention::Attention {
            scale: (found.scale * found.q.1 * found.k.factor) as f32,
            softcap: found.softcap,
            causal: found.mask.causal,
            window: found.mask.window,
            keys: (keys != *room).then_some(keys),
        };
        let mut inputs = vec![Some(found.q.0), Some(found.k.value), Some(found.v.value)];
        match (found.mask.padding, found.bias) {
            (padding, Some(bias)) => inputs.extend([padding, Some(bias)]),
            (Some(padding), None) => inputs.push(Some(padding)),
            (None, None) => {}
        }
        let sources = [(1, &found.k), (2, &found.v)].into_iter().filter(|(_, source)| source.turned);
        let transposed = sources.map(|(index, _)| (index, TURN.to_vec())).collect();
        Ok(Rewrite { transposed, ..Rewrite::new(found.replaces, Arc::new(op), inputs) })
    }
}

/// How many of the keys that there is room for are in use, by the mask: causal attention never looks behind the last
/// query.
fn in_use(mask: &Mask, queries: &Expr, room: &Expr) -> Result<Expr, String> {
    let seen = mask.causal.as_ref().map(|past| past + queries);
    match (&mask.keys, seen) {
        (Some(keys), Some(seen)) if *keys != seen => {
            Err(format!("{keys} keys are in use, but the last query sees {seen}"))
        }
        (Some(keys), _) => Ok(keys.clone()),
        (None, Some(seen)) => Ok(seen.min(room)),
        (None, None) => Ok(room.clone()),
    }
}

fn from_softmax(cx: &Cx<'_>, softmax: &Node) -> Result<Found, Misfit> {
    let weights = softmax.outputs[0];
    let fact = cx.graph.fact(weights).ok_or("the softmax has no type")?;
    if fact.rank() != 4 {
        let text = format!("the scores have {} dimensions, not [batch, heads, queries, keys]", fact.rank());
        return Err(text.into());
    }
    let scores = fact.shape.clone();
    let op = softmax.op_as::<softmax::Softmax>().ok_or("the softmax is of another kind")?;
    if !matches!(op.axis, -1 | 3) {
        return Err(format!("the softmax is along axis {}, not along the keys", op.axis).into());
    }
    let Peeled { product, scale, softcap, masks } =
        peel(cx, softmax.input(0).ok_or("the softmax has no input")?)?;
    let (q, k) = (product.input(0).ok_or("no query")?, product.input(1).ok_or("no key")?);
    let after = after_nan_guard(cx, cx.after_casts(weights));
    let after = cx.after_casts(after);
    let sum = cx.only_reader(after, "MatMul").ok_or("the weights go elsewhere than into one product")?;
    if sum.input(0) != Some(after) {
        return Err("the weights are the right operand of their product".into());
    }
    let v = sum.input(1).ok_or("no values")?;
    let (mut mask, mut bias) = (Mask::default(), None);
    for added in masks {
        let more = beside_masks(cx, added, &scores, &mut mask);
        if bias.is_some() && more.is_some() {
            return Err(Misfit::at(added)("two tables are added to the scores one by one"));
        }
        bias = bias.or(more);
    }
    bias.map_or(Ok(()), |bias| check_bias(cx, bias, &scores))?;
    Ok(Found {
        replaces: sum.outputs[0],
        q: query(cx, q, &scores).map_err(Misfit::at(q))?,
        k: heads(cx, k, &scores, Side::Keys { transposed: true }).map_err(Misfit::at(k))?,
        v: heads(cx, v, &scores, Side::Values).map_err(Misfit::at(v))?,
        scale,
        softcap,
        mask,
        bias,
    })
}

fn from_operator(cx: &Cx<'_>, node: &Node, op: &MaskedAttention) -> Result<Found, Misfit> {
    let input = |i: usize| node.input(i).ok_or("an input is missing");
    let (q, k, v) = (input(0)?, input(1)?, input(2)?);
    let facts = (cx.graph.fact(q).ok_or("no type")?, cx.graph.fact(k).ok_or("no type")?);
    if node.outputs.get(1).is_some_and(|o| !cx.links.consumers(*o).is_empty() || cx.graph.outputs.contains(o))
    {
        return Err("the scores are read too".into());
    }
    let mut scores = facts.0.shape[..3].to_vec();
    scores.push(facts.1.shape[2].clone());
    let (mut found_mask, mut bias) = (Mask::default(), None);
    if let Some(mask) = node.input(3) {
        if cx.graph.fact(mask).is_some_and(|f| f.dtype == DType::Bool) {
            let read = mask::read(cx, mask, &scores, false).map_err(Misfit::at(mask))?;
            merge(&mut found_mask, read).map_err(Misfit::at(mask))?;
        } else {
            bias = beside_masks(cx, mask, &scores, &mut found_mask);
            bias.map_or(Ok(()), |bias| check_bias(cx, bias, &scores))?;
        }
    }
    if op.causal {
        let first = node.input(masked_attention::FIRST).map(|v| cx.graph.fact(v)?.content.clone());
        let first = match first {
            Some(known) => known.and_then(|c| c.first().cloned()).ok_or("the first position is not known")?,
            None => Expr::from(0),
        };
        let window = op.window.map(Expr::from);
        merge(&mut found_mask, Mask { causal: Some(first), window, ..Mask::default() })?;
    }
    if let Some(used) = node.input(masked_attention::IN_USE) {
        let known = cx.graph.fact(used).and_then(|f| f.content.as_deref());
        let one = known.and_then(|all| all.first().filter(|one| all.iter().all(|n| n == *one)));
        let keys = one.ok_or("the number of keys in use is computed from data")?.clone();
        merge(&mut found_mask, Mask { keys: Some(keys), ..Mask::default() })?;
    }
    Ok(Found {
        replaces: node.outputs[0],
        q: query(cx, q, &scores)?,
        k: heads(cx, k, &scores, Side::Keys { transposed: false })?,
        v: heads(cx, v, &scores, Side::Values)?,
        scale: f64::from(op.scale(&facts.0.shape[3]).map_err(|e| e.to_string())?),
        softcap: op.softcap,
        mask: found_mask,
        bias,
    })
}

/// Past `where(isnan(p), 0, p)`: rows that see nothing are zeros in the fused operator too.
fn after_nan_guard(cx: &Cx<'_>, weights: ValueId) -> ValueId {
    let guarded = cx.readers(weights).find(|n| {
        n.op.name() == "Where"
            && n.input(2) == Some(weights)
            && n.input(1).and_then(|v| cx.scalar(v)) == Some(0.0)
            && n.input(0).and_then(|v| cx.made_by(v, "IsNaN")).is_some_and(|i| i.input(0) == Some(weights))
    });
    match guarded {
        Some(node) if cx.readers(weights).all(|n| n.op.name() == "IsNaN" || std::ptr::eq(n, node)) => {
            node.outputs[0]
        }
        _ => weights,
    }
}

/// Most nodes that move a value on its way into a product.
const MOVES: usize = 32;

/// The values that `value` comes from by movement and by products with constants alone: the furthest first, itself last.
fn origins(cx: &Cx<'_>, value: ValueId) -> Vec<ValueId> {
    let before = |value: &ValueId| {
        let node = cx.producer(*value)?;
        match node.op.name() {
            "Identity" | "Cast" | "Expand" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten"
            | "Transpose" | "Slice" => node.input(0),
            "Mul" | "Div" => node.inputs.iter().flatten().copied().find(|v| cx.scalar(*v).is_none()),
            _ => None,
        }
    };
    let mut all: Vec<ValueId> = std::iter::successors(Some(value), before).take(MOVES).collect();
    all.reverse();
    all
}

/// The value furthest back that is moved to the queries without leaving `[batch, heads, queries, width]`, and the factor
/// between.
fn query(cx: &Cx<'_>, value: ValueId, scores: &[Expr]) -> Result<(ValueId, f64), String> {
    let shape = &cx.graph.fact(value).ok_or("the queries have no type")?.shape;
    if shape.len() != 4 || shape[..3] != scores[..3] {
        return Err(format!("the queries are {shape:?}, not [batch, heads, queries, width] of the scores"));
    }
    let at = with_width(scores[..3].to_vec(), shape[3].clone());
    let straight = |origin: ValueId| {
        let (source, factor, found) = load(moved_element(cx, value, &at, Some(origin)))?;
        (source == origin && found == at).then_some((source, factor))
    };
    origins(cx, value)
        .into_iter()
        .find_map(straight)
        .ok_or_else(|| "the queries are computed oddly".to_owned())
}

/// The operand of the first or of the second product.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Keys { transposed: bool },
    Values,
}

/// The keys or values `[batch, kv_heads, keys, width]` furthest back, behind repeated heads and a transpose, and the
/// factor between; that of values is 1. Where there are none, those with heads behind keys.
fn heads(cx: &Cx<'_>, value: ValueId, scores: &[Expr], side: Side) -> Result<Source, String> {
    let what = if side == Side::Values { "values" } else { "keys" };
    let transposed = side == (Side::Keys { transposed: true });
    let fact = cx.graph.fact(value).ok_or("keys or values have no type")?;
    if fact.rank() != 4 {
        return Err(format!("the {what} have {} dimensions, not 4", fact.rank()));
    }
    let width = fact.shape[if transposed { 2 } else { 3 }].clone();
    let own = vec![scores[0].clone(), fact.shape[1].clone(), scores[3].clone()];
    let straight = with_width(own, width);
    let mut at = straight.clone();
    if transposed {
        at.swap(2, 3);
    }
    let loads: Vec<_> = origins(cx, value)
        .into_iter()
        .filter_map(|origin| load(moved_element(cx, value, &at, Some(origin))))
        .collect();
    let mut reason = None;
    for turned in [false, true] {
        for (value, factor, found) in &loads {
            let source = Source { value: *value, factor: *factor, turned };
            let wanted = match grouped(cx, &source, &scores[1], &fact.shape[1], &straight) {
                Ok(wanted) => wanted,
                Err(text) => {
                    reason.get_or_insert(format!("the {what} are {text}"));
                    continue;
                }
            };
            if *found == wanted && (side != Side::Values || *factor == 1.0) {
                return Ok(source);
            }
            let text = format!("the {what} are read at {found:?}, not with whole groups of heads repeated");
            reason.get_or_insert(text);
        }
    }
    Err(reason.unwrap_or_else(|| format!("the {what} are computed oddly")))
}

/// Where each of `all` heads finds its own among the fewer ones of `source`, of which the product has `given`.
fn grouped(
    cx: &Cx<'_>,
    source: &Source,
    all: &Expr,
    given: &Expr,
    straight: &[Expr],
) -> Result<Vec<Expr>, String> {
    let Some([own_heads, _]) = source.sizes(cx) else {
        let shape = cx.graph.fact(source.value).map(|f| f.shape.as_slice()).unwrap_or_default();
        return Err(format!("from {shape:?}, which has no heads"));
    };
    let (Some(all), Some(own)) = (all.constant(), own_heads.constant()) else {
        return Err("of a number of heads that is not known".into());
    };
    if own < 1 || all % own != 0 {
        return Err(format!("{own} heads, which {all} query heads cannot share"));
    }
    let mut wanted = straight.to_vec();
    if given != own_heads {
        wanted[1] = if own == 1 { Expr::from(0) } else { wanted[1].floor_div(all / own) };
    }
    if source.turned {
        wanted.swap(1, 2);
    }
    Ok(wanted)
}

/// Coordinates of queries, heads or keys, and a last one for the width.
fn with_width(mut shape: Vec<Expr>, width: Expr) -> Vec<Expr> {
    shape.push(width.clone());
    let mut at = coordinates(&shape);
    at[3] = match width.constant() {
        Some(1) => Expr::from(0),
        Some(n) => Expr::from(&symbolic::Symbol::new("#width").with_range(0, (n - 1).max(0))),
        None => Expr::from(&symbolic::Symbol::new("#width")),
    };
    at
}

fn load(e: Element) -> Option<(ValueId, f64, Vec<Expr>)> {
    match e {
        Element::Load(value, at) => Some((value, 1.0, at)),
        Element::Product(a, b) => match (*a, *b) {
            (Element::Float(f), rest) | (rest, Element::Float(f)) => {
                load(rest).map(|(value, factor, at)| (value, factor * f, at))
            }
            _ => None,
        },
        _ => None,
    }
}
