//! What is around products with packed matrices goes into their kernels: a bias, a residual, the gate of a feed-forward
//! layer, the heads of attention and their rotary embedding, the normalisation of what is multiplied.

use std::{collections::HashSet, sync::Arc};

use super::{
    Report, cse, merge,
    norm::Normed,
    pattern::{Cx, Rewrite, apply_all},
};
use crate::{
    error::EngineError,
    graph::{Graph, Node, ValueId},
    op::Op,
    ops::{
        gated_linear::GatedLinear,
        heads_linear::HeadsLinear,
        linear::{CHUNK, Linear},
        rms_norm::RmsNorm,
    },
};

/// What a node becomes, if it is of one kind.
type Find = fn(&Cx<'_>, &Node) -> Option<Rewrite>;

/// Takes in, one after the other, what is behind products, several products of one input, and what is before them.
pub(super) fn run(graph: &mut Graph, report: &mut Report) -> Result<(), EngineError> {
    let kinds: [(&str, Find); 5] = [
        ("Bias", bias),
        ("Gated product", merge::gate),
        ("Product of heads", merge::heads),
        ("Residual", residual),
        ("Norm of a product", norm),
    ];
    for (name, find) in kinds {
        let cx = Cx::new(graph);
        let mut taken = HashSet::new();
        let found: Vec<Rewrite> = cx
            .graph
            .nodes
            .iter()
            .filter_map(|node| find(&cx, node))
            .filter(|found| found.replaces.iter().all(|value| taken.insert(*value)))
            .collect();
        *report.applied.entry(name).or_default() += found.len();
        apply_all(graph, found)?;
        cse::run(graph)?;
    }
    Ok(())
}

/// The inputs of a node, `value` in place of input `index`.
fn with_input(node: &Node, index: usize, value: ValueId) -> Vec<Option<ValueId>> {
    let mut inputs = node.inputs.clone();
    inputs.resize(inputs.len().max(index + 1), None);
    inputs[index] = Some(value);
    inputs
}

/// What a sum adds to the value that a node alone feeds into it, where the sum has the value's shape.
fn added(cx: &Cx<'_>, node: &Node) -> Option<(ValueId, ValueId)> {
    let out = node.outputs[0];
    let sum = cx.only_reader(out, "Add")?;
    let other = sum.inputs.iter().flatten().find(|v| **v != out)?;
    let shape = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
    (shape(sum.outputs[0]) == shape(out)).then_some((sum.outputs[0], *other))
}

/// The width of a matrix's rows.
fn width(cx: &Cx<'_>, node: &Node, op: &Linear) -> Option<i64> {
    cx.graph.fact(node.input(1)?)?.shape[usize::from(!op.transposed)].constant()
}

/// Whether the packed kernels take a product.
fn in_chunks(cx: &Cx<'_>, node: &Node, op: &Linear) -> bool {
    width(cx, node, op).is_some_and(|k| k % CHUNK as i64 == 0)
}

fn bias(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let op = node.op_as::<Linear>().filter(|op| in_chunks(cx, node, op))?;
    let (sum, bias) = added(cx, node)?;
    let rows = cx.graph.fact(node.outputs[0])?.shape.last()?;
    let vector = cx.graph.fact(bias).is_some_and(|f| f.shape == [rows.clone()]);
    let plain = vector && cx.graph.is_constant(bias) && cx.graph.blocks(bias).is_none();
    plain.then(|| Rewrite::new(sum, Arc::new(op.clone()), with_input(node, Linear::BIAS, bias)))
}

fn residual(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let (op, at): (Arc<dyn Op>, usize) = if let Some(op) = node.op_as::<Linear>() {
        (Arc::new(op.clone()), Linear::RESIDUAL)
    } else {
        let norm = node.op_as::<RmsNorm>().filter(|_| Normed::of(cx, node).is_some())?;
        (Arc::new(*norm), RmsNorm::RESIDUAL)
    };
    let (sum, other) = added(cx, node)?;
    let shape = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
    let fits = shape(other) == shape(sum) && !cx.graph.is_constant(other);
    fits.then(|| Rewrite::new(sum, op, with_input(node, at, other)))
}

/// The input that holds the gain of a product that has none.
fn gain_of(node: &Node) -> Option<usize> {
    if let Some(op) = node.op_as::<Linear>() {
        return (op.epsilon.is_none() && node.input(Linear::RESIDUAL).is_none()).then_some(Linear::GAIN);
    }
    let gated = node.op_as::<GatedLinear>().map(|_| GatedLinear::GAIN);
    gated.or_else(|| node.op_as::<HeadsLinear>().map(|_| HeadsLinear::GAIN))
}

fn norm(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let gain_at = gain_of(node)?;
    let normal = node.input(0)?;
    let Normed { x, gain, epsilon } = Normed::of(cx, cx.producer(normal)?)?;
    if cx.only_reader_of_any(normal)?.outputs != node.outputs {
        return None;
    }
    let epsilon = Some(epsilon);
    let op: Arc<dyn Op> = if let Some(op) = node.op_as::<Linear>().filter(|op| in_chunks(cx, node, op)) {
        Arc::new(Linear { epsilon, ..op.clone() })
    } else if let Some(op) = node.op_as::<GatedLinear>() {
        Arc::new(GatedLinear { epsilon, ..op.clone() })
    } else {
        Arc::new(HeadsLinear { epsilon, ..node.op_as::<HeadsLinear>()?.clone() })
    };
    let mut inputs = with_input(node, gain_at, gain);
    inputs[0] = Some(x);
    Some(Rewrite::of_several(node.outputs.clone(), op, inputs))
}
