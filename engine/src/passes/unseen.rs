//! Rows of attention that see nothing: exporters write zeros for them, `where(sum(mask) < 1, 0, attention)`, and the
//! fused operator gives zeros by itself.

use symbolic::Expr;

use super::{
    mask,
    pattern::{Cx, Misfit, Pattern, Rewrite},
};
use crate::{
    graph::{Node, ValueId},
    ops::attention::Attention,
};

pub(super) struct UnseenRows;

impl Pattern for UnseenRows {
    fn name(&self) -> &'static str {
        "Unseen rows"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        node.op.name() == "Where" && attention(cx, node).is_some()
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let fused = attention(cx, node).ok_or("it does not choose between zeros and attention")?;
        let op = fused.op_as::<Attention>().ok_or("the attention is of another kind")?;
        let condition = node.input(0).ok_or("the condition is missing")?;
        let shape = |value: Option<ValueId>| Some(&cx.graph.fact(value?)?.shape);
        if shape(Some(node.outputs[0])) != shape(Some(fused.outputs[0])) {
            return Err("the condition is larger than what it chooses from".into());
        }
        let counted =
            none_seen(cx, condition).ok_or("the condition is not that a row of a mask is all zeros")?;
        let (q, k) = (shape(fused.input(0)), shape(fused.input(1)));
        let (Some([batch, heads, queries, _]), Some([_, _, room, _])) =
            (q.map(Vec::as_slice), k.map(Vec::as_slice))
        else {
            return Err("the attention has no type".into());
        };
        // A mask may end where the keys in use do.
        let counts = shape(Some(counted)).and_then(|s| s.last());
        let keys = op.keys.as_ref().filter(|used| counts == Some(used)).unwrap_or(room);
        let scores = [batch, heads, queries, keys].map(Clone::clone);
        // What hides a key from the guard's mask must hide it from the attention too.
        let guard = mask::read(cx, counted, &scores, false)?;
        let implied = |guard: &Option<Expr>, own: &Option<Expr>| guard.is_none() || guard == own;
        let all = implied(&guard.causal, &op.causal)
            && implied(&guard.window, &op.window)
            && implied(&guard.keys, &op.keys)
            && (guard.padding.is_none() || guard.padding == fused.input(3));
        if !all {
            return Err("the rows are those of another mask".into());
        }
        Ok(Rewrite::new(node.outputs[0], fused.op.clone(), fused.inputs.clone()))
    }
}

/// The attention of `where(…, 0, attention)`.
fn attention<'a>(cx: &Cx<'a>, node: &Node) -> Option<&'a Node> {
    let zero = cx.scalar(node.input(1)?)? == 0.0;
    cx.made_by(node.input(2)?, "Attention").filter(|_| zero)
}

/// The mask of `sum(mask, last axis) < 1`.
fn none_seen(cx: &Cx<'_>, condition: ValueId) -> Option<ValueId> {
    let less = cx.made_by(condition, "Less")?;
    let limit = cx.scalar(less.input(1)?)?;
    let sum = cx.made_by(less.input(0)?, "ReduceSum").filter(|_| limit > 0.0 && limit <= 1.0)?;
    let number = sum.input(0)?;
    let mut kept = cx.graph.fact(number)?.shape.clone();
    *kept.last_mut()? = Expr::ONE;
    let rows = cx.graph.fact(sum.outputs[0])?.shape == kept;
    rows.then(|| cx.made_by(number, "Cast")?.input(0))?
}
