//! Rotary embedding as exporters spell it: `x * cos + concat(-x[half..], x[..half]) * sin`.

use std::sync::Arc;

use symbolic::Expr;

use super::pattern::{Cx, Pattern, Rewrite};
use crate::{
    graph::{Node, ValueId},
    ops::rope,
};

pub(super) struct Rope;

impl Pattern for Rope {
    fn name(&self) -> &'static str {
        "RoPE"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        node.op.name() == "Concat" && node.input(0).is_some_and(|v| cx.made_by(v, "Neg").is_some())
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, String> {
        let (x, width) = rotated(cx, node)?;
        let turned = node.outputs[0];
        let by_sin =
            cx.only_reader(turned, "Mul").ok_or("the turned half goes elsewhere than into one product")?;
        let sin = other(by_sin, turned).ok_or("the turned half is squared")?;
        let sum = cx
            .only_reader(by_sin.outputs[0], "Add")
            .ok_or("the product with the sine goes elsewhere than into one sum")?;
        let straight = other(sum, by_sin.outputs[0]).ok_or("the product with the sine is doubled")?;
        let cos = cx
            .operands(straight, "Mul")
            .into_iter()
            .find_map(|(a, b)| (a == x).then_some(b))
            .ok_or("the other half of the sum is not the same input times a cosine")?;
        let (cos, sin) = (table(cx, cos, &width)?, table(cx, sin, &width)?);
        let rotary_dim = width.constant().and_then(|w| usize::try_from(w).ok());
        let rotary_dim = rotary_dim.ok_or("the width is not a number")?;
        let op = rope::Rope { interleaved: false, rotary_dim, full_table: true };
        Ok(Rewrite {
            replaces: sum.outputs[0],
            op: Arc::new(op),
            inputs: vec![Some(x), Some(cos), Some(sin)],
        })
    }
}

fn other(node: &Node, one: ValueId) -> Option<ValueId> {
    match (node.input(0)?, node.input(1)?) {
        (a, b) if a == one && b != one => Some(b),
        (a, b) if b == one && a != one => Some(a),
        _ => None,
    }
}

/// The `x [batch, heads, seq, width]` of `concat(-x[.., half..], x[.., ..half])`, and its width.
fn rotated(cx: &Cx<'_>, concat: &Node) -> Result<(ValueId, Expr), String> {
    let halves = (concat.input(0), concat.input(1), concat.inputs.len());
    let (Some(high), Some(low), 2) = halves else { return Err("the concat has not two inputs".into()) };
    let high = cx.made_by(high, "Neg").and_then(|n| n.input(0)).ok_or("the first half is not negated")?;
    let (x, start, high_width) =
        last_slice(cx, high).ok_or("the negated half is not a slice of the last axis")?;
    let (same, zero, low_width) =
        last_slice(cx, low).ok_or("the other half is not a slice of the last axis")?;
    let fact = cx.graph.fact(x).ok_or("the input has no type")?;
    let width = fact.shape.last().ok_or("the input is a scalar")?;
    let halved = same == x && high_width == low_width && start == low_width && zero == Expr::from(0);
    if !halved || &low_width + &high_width != *width {
        return Err("the two slices are not the two halves of one value".into());
    }
    if fact.rank() != 4 {
        return Err(format!("the input has {} dimensions, not [batch, heads, seq, head_dim]", fact.rank()));
    }
    Ok((x, width.clone()))
}

/// Source, start and width of a slice of the last axis.
fn last_slice(cx: &Cx<'_>, value: ValueId) -> Option<(ValueId, Expr, Expr)> {
    if let Some(node) = cx.made_by(value, "Split") {
        let source = node.input(0)?;
        let at = node.outputs.iter().position(|o| *o == value)?;
        let widths: Option<Vec<&Expr>> =
            node.outputs.iter().map(|o| cx.graph.fact(*o)?.shape.last()).collect();
        let widths = widths?;
        let start = widths[..at].iter().fold(Expr::from(0), |sum, w| &sum + *w);
        let total = widths.iter().fold(Expr::from(0), |sum, w| &sum + *w);
        let whole = cx.graph.fact(source)?.shape.last()? == &total;
        return whole.then(|| (source, start, widths[at].clone()));
    }
    let node = cx.made_by(value, "Slice")?;
    let source = node.input(0)?;
    let (from, to) = (cx.graph.fact(source)?, cx.graph.fact(value)?);
    let last = from.rank().checked_sub(1)?;
    if from.shape[..last] != to.shape[..last] {
        return None;
    }
    let known = |index: usize| cx.graph.fact(node.input(index)?)?.content.clone();
    let one = |index: usize| known(index).filter(|c| c.len() == 1).map(|c| c[0].clone());
    let axis = one(3)?.constant()?;
    let step = if node.input(4).is_some() { one(4)?.constant()? } else { 1 };
    let start = one(1)?;
    let start = if start.constant()? < 0 { &start + &from.shape[last] } else { start };
    let fits = (axis == -1 || axis == last as i64) && step == 1;
    fits.then(|| (source, start, to.shape[last].clone()))
}

/// The `[batch, seq, width]` behind a cosine or sine that is broadcast over heads.
fn table(cx: &Cx<'_>, value: ValueId, width: &Expr) -> Result<ValueId, String> {
    let name = &cx.graph.value(value).name;
    let fact = cx.graph.fact(value).ok_or("a table has no type")?;
    if fact.rank() == 4 && fact.shape[1].constant() == Some(1) && fact.shape[3] == *width {
        let node = cx.producer(value).filter(|n| matches!(n.op.name(), "Unsqueeze" | "Reshape"));
        let source = node.and_then(|n| n.input(0));
        let flat = source.filter(|s| {
            let shape = cx.graph.fact(*s).map(|f| f.shape.as_slice());
            shape.is_some_and(|s| {
                s.len() == 3 && s[0] == fact.shape[0] && s[1] == fact.shape[2] && s[2] == *width
            })
        });
        return flat.ok_or_else(|| format!("the table {name:?} is not an unsqueezed [batch, seq, width]"));
    }
    Err(format!("the table {name:?} is not [batch, 1, seq, width]"))
}
