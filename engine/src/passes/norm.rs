//! Normalisations as exporters spell them: RMSNorm, `x * rsqrt(mean(x^2) + eps) * weight`, in five to seven nodes, and
//! LayerNorm, which is that of `x - mean(x)`, and a bias.

use std::sync::Arc;

use symbolic::Expr;

use super::pattern::{Cx, Misfit, Pattern, Rewrite};
use crate::{
    graph::{Node, ValueId},
    ops::{layer_norm, rms_norm},
};

pub(super) struct RmsNorm;

pub(super) struct LayerNorm;

/// RMSNorm of the last dimension by a constant gain of its width, with nothing added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Normed {
    pub x: ValueId,
    pub gain: ValueId,
    pub epsilon: f32,
}

impl Normed {
    /// Of a node that is one.
    pub fn of(cx: &Cx<'_>, node: &Node) -> Option<Self> {
        let rms_norm::RmsNorm { axis, epsilon } = *node.op_as()?;
        let (x, gain) = (node.input(0)?, node.input(1)?);
        let fact = cx.graph.fact(x)?;
        let last = axis == -1 || axis == fact.rank() as i64 - 1;
        let vector = cx.graph.fact(gain)?.shape.as_slice() == fact.shape.last().map(std::slice::from_ref)?;
        let alone = node.input(rms_norm::RmsNorm::RESIDUAL).is_none();
        (last && vector && alone && cx.graph.is_constant(gain)).then_some(Self { x, gain, epsilon })
    }
}

impl Pattern for RmsNorm {
    fn name(&self) -> &'static str {
        "RMSNorm"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        mean_of_square(cx, node).is_some_and(|x| centred(cx, x).is_none())
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let Scaled { x, epsilon, weight, result } = scaled(cx, node)?;
        let op = rms_norm::RmsNorm { axis: -1, epsilon };
        let inputs = vec![Some(cx.through_casts(x)), Some(weight)];
        Ok(Rewrite::new(result, Arc::new(op), inputs))
    }
}

impl Pattern for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNorm"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        mean_of_square(cx, node).is_some_and(|x| centred(cx, x).is_some())
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let scaled = scaled(cx, node)?;
        let x = centred(cx, scaled.x).ok_or("the mean is not subtracted")?;
        let mut inputs = vec![None, Some(scaled.weight)];
        let mut replaces = scaled.result;
        if let Some((sum, bias)) = with_vector(cx, scaled.result, "Add", &last(cx, x)?) {
            inputs.push(Some(bias));
            replaces = sum;
        }
        inputs[0] = Some(cx.through_casts(x));
        let op = layer_norm::LayerNorm { axis: -1, epsilon: scaled.epsilon };
        Ok(Rewrite::new(replaces, Arc::new(op), inputs))
    }
}

/// `result = x / sqrt(mean(x^2) + epsilon) * weight`, the mean being over the last axis.
struct Scaled {
    x: ValueId,
    epsilon: f32,
    weight: ValueId,
    result: ValueId,
}

/// What is made of the mean of a square.
fn scaled(cx: &Cx<'_>, node: &Node) -> Result<Scaled, String> {
    let x = mean_of_square(cx, node).ok_or("it is not the mean of a square")?;
    let mean = node.outputs[0];
    if !over_last(cx, x, mean) {
        return Err("the mean is not over the last axis alone, with the axis kept".into());
    }
    let (sum, epsilon) = plus_constant(cx, mean).ok_or("no constant is added to the mean")?;
    let normal = over_root(cx, sum, x).ok_or("the input is not divided by the square root")?;
    let width = last(cx, x)?;
    let weighted = with_vector(cx, cx.after_casts(normal), "Mul", &width);
    let (result, weight) = weighted.ok_or("the result is not multiplied by one vector of the last axis")?;
    let shape = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
    if shape(result) != shape(x) {
        return Err("a constant changes the shape".into());
    }
    Ok(Scaled { x, epsilon: epsilon as f32, weight, result })
}

fn mean_of_square(cx: &Cx<'_>, node: &Node) -> Option<ValueId> {
    (node.op.name() == "ReduceMean").then(|| squared(cx, node.input(0)?))?
}

/// `x` of `x * x` or `x ^ 2`.
fn squared(cx: &Cx<'_>, value: ValueId) -> Option<ValueId> {
    let value = cx.through_casts(value);
    if let Some(node) = cx.made_by(value, "Pow") {
        let (x, power) = (node.input(0)?, node.input(1)?);
        return (cx.scalar(power)? == 2.0).then_some(x);
    }
    let (a, b) = cx.operands(value, "Mul").first().copied()?;
    (a == b).then_some(a)
}

/// `x` of `x - mean(x)`.
fn centred(cx: &Cx<'_>, value: ValueId) -> Option<ValueId> {
    let node = cx.made_by(cx.through_casts(value), "Sub")?;
    let (x, mean) = (node.input(0)?, cx.through_casts(node.input(1)?));
    let averaged = cx.made_by(mean, "ReduceMean")?.input(0)?;
    (same(cx, averaged, x) && over_last(cx, x, mean)).then_some(x)
}

fn same(cx: &Cx<'_>, a: ValueId, b: ValueId) -> bool {
    cx.through_casts(a) == cx.through_casts(b)
}

/// Whether a mean of something shaped like `x` is over the last axis alone, with the axis kept.
fn over_last(cx: &Cx<'_>, x: ValueId, mean: ValueId) -> bool {
    let (Some(x), Some(mean)) = (cx.graph.fact(x), cx.graph.fact(mean)) else { return false };
    let mut kept = x.shape.clone();
    match kept.last_mut() {
        Some(last) => *last = Expr::ONE,
        None => return false,
    }
    mean.shape == kept
}

fn last(cx: &Cx<'_>, x: ValueId) -> Result<Expr, String> {
    cx.graph.fact(x).and_then(|f| f.shape.last().cloned()).ok_or_else(|| "the input is a scalar".to_owned())
}

fn plus_constant(cx: &Cx<'_>, value: ValueId) -> Option<(ValueId, f64)> {
    let value = cx.after_casts(value);
    let node = cx.only_reader(value, "Add")?;
    let other = node.inputs.iter().flatten().find(|v| **v != value)?;
    Some((node.outputs[0], cx.scalar(*other)?))
}

/// The value that is `x / sqrt(sum)`, however it is written.
fn over_root(cx: &Cx<'_>, sum: ValueId, x: ValueId) -> Option<ValueId> {
    if let Some(power) = cx.only_reader(sum, "Pow") {
        let inverse = power.input(0) == Some(sum) && cx.scalar(power.input(1)?)? == -0.5;
        return inverse.then(|| times(cx, power.outputs[0], x))?;
    }
    let root = cx.after_casts(cx.only_reader(sum, "Sqrt")?.outputs[0]);
    if let Some(node) = cx.only_reader(root, "Div") {
        let (top, bottom) = (node.input(0)?, node.input(1)?);
        if bottom != root {
            return None;
        }
        if same(cx, top, x) {
            return Some(node.outputs[0]);
        }
        return (cx.scalar(top)? == 1.0).then(|| times(cx, node.outputs[0], x)).flatten();
    }
    let inverse = cx.only_reader(root, "Reciprocal")?.outputs[0];
    times(cx, inverse, x)
}

fn times(cx: &Cx<'_>, factor: ValueId, x: ValueId) -> Option<ValueId> {
    let factor = cx.after_casts(factor);
    let node = cx.only_reader(factor, "Mul")?;
    node.inputs.iter().flatten().any(|v| same(cx, *v, x)).then(|| node.outputs[0])
}

/// The value that is `value * vector`, or `value + vector`, and the vector of this width.
fn with_vector(cx: &Cx<'_>, value: ValueId, op: &str, width: &Expr) -> Option<(ValueId, ValueId)> {
    let node = cx.only_reader(value, op)?;
    let vector = *node.inputs.iter().flatten().find(|v| **v != value)?;
    let fact = cx.graph.fact(vector)?;
    (fact.shape == [width.clone()]).then(|| (node.outputs[0], vector))
}
