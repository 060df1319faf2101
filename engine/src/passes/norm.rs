//! RMS normalisation as exporters spell it: `x * rsqrt(mean(x^2) + eps) * weight` in five to seven nodes.

use std::sync::Arc;

use super::pattern::{Cx, Pattern, Rewrite};
use crate::{
    graph::{Node, ValueId},
    ops::rms_norm,
};

pub(super) struct RmsNorm;

impl Pattern for RmsNorm {
    fn name(&self) -> &'static str {
        "RMSNorm"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        node.op.name() == "ReduceMean" && node.input(0).is_some_and(|v| squared(cx, v).is_some())
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, String> {
        let square = node.input(0).ok_or("the mean has no input")?;
        let x = squared(cx, square).ok_or("the mean is not of a square")?;
        let (mean, fact) = (node.outputs[0], cx.graph.fact(square).ok_or("the square has no type")?);
        let reduced = cx.graph.fact(mean).ok_or("the mean has no type")?;
        let last = fact.rank().checked_sub(1).ok_or("the input is a scalar")?;
        let mut kept = fact.shape.clone();
        kept[last] = symbolic::Expr::from(1);
        if reduced.shape != kept {
            return Err("the mean is not over the last axis alone, with the axis kept".into());
        }
        let (sum, epsilon) = plus_constant(cx, mean).ok_or("no constant is added to the mean")?;
        let root =
            cx.only_reader(sum, "Sqrt").ok_or("the sum goes elsewhere than into one square root")?.outputs[0];
        let normal = scaled(cx, root, x).ok_or("the input is not divided by the square root")?;
        let normal = cx.after_casts(normal);
        let (weighted, weight) = weighted(cx, normal, &fact.shape[last])?;
        let op = rms_norm::RmsNorm { axis: -1, epsilon: epsilon as f32 };
        let input = cx.through_casts(x);
        Ok(Rewrite { replaces: weighted, op: Arc::new(op), inputs: vec![Some(input), Some(weight)] })
    }
}

/// `x` of `x * x` or `x ^ 2`.
fn squared(cx: &Cx<'_>, value: ValueId) -> Option<ValueId> {
    if let Some(node) = cx.made_by(value, "Pow") {
        let (x, power) = (node.input(0)?, node.input(1)?);
        return (cx.scalar(power)? == 2.0).then_some(x);
    }
    let (a, b) = cx.operands(value, "Mul").first().copied()?;
    (a == b).then_some(a)
}

fn plus_constant(cx: &Cx<'_>, value: ValueId) -> Option<(ValueId, f64)> {
    let node = cx.only_reader(value, "Add")?;
    let other = node.inputs.iter().flatten().find(|v| **v != value)?;
    Some((node.outputs[0], cx.scalar(*other)?))
}

/// The value that is `x / root`, however it is written.
fn scaled(cx: &Cx<'_>, root: ValueId, x: ValueId) -> Option<ValueId> {
    if let Some(node) = cx.only_reader(root, "Div") {
        let (top, bottom) = (node.input(0)?, node.input(1)?);
        if bottom != root {
            return None;
        }
        if top == x {
            return Some(node.outputs[0]);
        }
        return (cx.scalar(top)? == 1.0).then(|| times(cx, node.outputs[0], x)).flatten();
    }
    let inverse = cx.only_reader(root, "Reciprocal")?.outputs[0];
    times(cx, inverse, x)
}

fn times(cx: &Cx<'_>, factor: ValueId, x: ValueId) -> Option<ValueId> {
    let node = cx.only_reader(factor, "Mul")?;
    node.inputs.iter().flatten().any(|v| *v == x).then(|| node.outputs[0])
}

fn weighted(cx: &Cx<'_>, normal: ValueId, width: &symbolic::Expr) -> Result<(ValueId, ValueId), String> {
    let node = cx.only_reader(normal, "Mul").ok_or("the result is not multiplied by one weight")?;
    let other = node.inputs.iter().flatten().find(|v| **v != normal).ok_or("the result is squared")?;
    let fact = cx.graph.fact(*other).ok_or("the weight has no type")?;
    if fact.rank() != 1 || fact.shape[0] != *width {
        return Err(format!("the weight {:?} is not a vector of the last axis", cx.graph.value(*other).name));
    }
    Ok((node.outputs[0], *other))
}
