//! KV caches of a fixed length: what exporters write as a ScatterND between transposes is a TensorScatter.

use std::sync::Arc;

use symbolic::{Expr, Substitution};

use super::{
    Report,
    element::{coordinates, element},
    formula::Element,
    pattern::{Cx, Misfit, Rewrite, apply_all},
};
use crate::{
    error::EngineError,
    graph::{Graph, Node, ValueId},
    ops::{scatter_nd::ScatterNd, tensor_scatter::TensorScatter, transpose},
};

const NAME: &str = "cache write";

/// What is to become one node.
struct Found {
    replaces: ValueId,
    cache: ValueId,
    /// The new positions, in front of the other dimensions.
    updates: ValueId,
    axis: usize,
    start: Expr,
}

/// Rewrites every such ScatterND into an input of the graph.
pub(super) fn run(graph: &mut Graph, report: &mut Report) -> Result<(), EngineError> {
    let cx = Cx::new(graph);
    let mut all = Vec::new();
    for node in graph.nodes.iter().filter(|n| into_input(&cx, n)) {
        match find(&cx, node) {
            Ok(found) => all.push(found),
            Err(reason) => report.refused.push(Misfit::from(reason).into_refusal(NAME, graph, node)),
        }
    }
    if !all.is_empty() {
        report.applied.insert(NAME, all.len());
    }
    let rewrite = |Found { replaces, cache, updates, axis, start }| {
        let op = TensorScatter { axis: axis as i64, circular: false, start: Some(start) };
        let transposed = vec![(1, behind(axis))];
        Rewrite { transposed, ..Rewrite::new(replaces, Arc::new(op), vec![Some(cache), Some(updates)]) }
    };
    apply_all(graph, all.into_iter().map(rewrite).collect())
}

/// Whether a node is a ScatterND into an input of the graph that may be a cache.
fn into_input(cx: &Cx<'_>, node: &Node) -> bool {
    let cache = node.op_as::<ScatterNd>().and_then(|_| node.input(0)).map(|v| untransposed(cx, v));
    cache.is_some_and(|v| cx.graph.inputs.contains(&v) && cx.graph.fact(v).is_some_and(|f| f.rank() == 4))
}

fn find(cx: &Cx<'_>, node: &Node) -> Result<Found, String> {
    let (Some(data), Some(indices), Some(updates)) = (node.input(0), node.input(1), node.input(2)) else {
        return Err("an input is missing".into());
    };
    if node.op_as::<ScatterNd>().is_none_or(|op| op.reduction.is_some()) {
        return Err("what is there is combined with the new".into());
    }
    let axis = scattered_axis(cx, data).ok_or("positions are not brought to the front by a transpose")?;
    let replaces = restored(cx, node, axis).ok_or("positions are not brought back by a transpose")?;
    let tuple = cx.graph.fact(indices).filter(|f| f.rank() == 2).map(|f| f.shape.clone());
    let tuple = tuple.filter(|s| s[1] == Expr::ONE).ok_or("an index names more than a position")?;
    // Index i must be start + i.
    let row = coordinates(&[Expr::ONE, Expr::ONE, tuple[0].clone(), Expr::ONE])[2].clone();
    let Element::Int(index) = element(cx, indices, &[row.clone(), Expr::ZERO]) else {
        return Err("the positions are computed from data".into());
    };
    let start = row.as_symbol().map_or(index.clone(), |row| {
        let mut first = Substitution::new();
        first.set(row, 0);
        index.substitute(&first)
    });
    if index != &start + &row {
        return Err(format!("position i is {index}, not one behind the other"));
    }
    Ok(Found { replaces, cache: untransposed(cx, data), updates, axis, start })
}

/// The order that brings the first of four dimensions to `axis`.
fn behind(axis: usize) -> Vec<usize> {
    let mut perm: Vec<usize> = (1..4).collect();
    perm.insert(axis, 0);
    perm
}

fn untransposed(cx: &Cx<'_>, value: ValueId) -> ValueId {
    cx.made_by(value, "Transpose").and_then(|n| n.input(0)).unwrap_or(value)
}

/// The axis that the producer of `value` transposes to the front.
fn scattered_axis(cx: &Cx<'_>, value: ValueId) -> Option<usize> {
    let node = cx.made_by(value, "Transpose")?;
    let perm = node.op_as::<transpose::Transpose>()?.perm_of(4);
    let (axis, rest) = perm.split_first()?;
    rest.is_sorted().then_some(*axis)
}

/// The value behind the scatter in which positions are at `axis` again.
fn restored(cx: &Cx<'_>, scatter: &Node, axis: usize) -> Option<ValueId> {
    let back = cx.only_reader(scatter.outputs[0], "Transpose")?;
    (back.op_as::<transpose::Transpose>()?.perm_of(4) == behind(axis)).then_some(back.outputs[0])
}

/// The axis along which a graph's output is one of its inputs with new positions written into it, if it is.
pub(crate) fn written_axis(cx: &Cx<'_>, past: ValueId, present: ValueId) -> Option<usize> {
    let node = cx.producer(present)?;
    let rank = cx.graph.fact(past)?.rank();
    if let Some(op) = node.op_as::<TensorScatter>() {
        let axis = crate::op::Infer::axis(op.axis, rank).ok()?;
        return (node.input(0) == Some(past) && axis > 0).then_some(axis);
    }
    let scatter = cx.made_by(untransposed(cx, present), "ScatterND")?;
    let data = scatter.input(0)?;
    let axis = scattered_axis(cx, data).filter(|axis| *axis > 0)?;
    (untransposed(cx, data) == past && restored(cx, scatter, axis) == Some(present)).then_some(axis)
}
