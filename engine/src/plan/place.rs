//! Placement: values that a later operator wants inside another tensor are put there from the start, so that
//! Concat, and with it the KV cache, has nothing to copy.

use super::PlanOptions;
use crate::{
    graph::{Fact, Graph, Links, Node, ValueId},
    op::{Elem, Root, RootKind, View, lower::Lowered},
};

/// Walks the nodes from the last to the first and hands each output's place down to the inputs that can have it.
pub(super) fn assign(graph: &Graph, options: &PlanOptions, lowered: &mut Lowered) {
    let links = graph.links();
    for node in graph.nodes.iter().rev() {
        let [output] = node.outputs.as_slice() else { continue };
        let Some(fact) = graph.fact(*output).filter(|f| f.content.is_none()) else { continue };
        if !lowered.placements.contains_key(output) && gathers(graph, &links, node) {
            let elem = Elem::of(fact.dtype, options.lower.activations);
            let name = graph.value(*output).name.clone();
            let root = lowered.root(Root { kind: RootKind::Arena, elem, len: fact.len(), name });
            lowered.placements.insert(*output, View::contiguous(root, elem, &fact.shape));
        }
        let Some(place) = lowered.placements.get(output).cloned() else { continue };
        let lies_there = |input: Option<ValueId>| {
            input.and_then(|id| lowered.views.get(&id)).is_some_and(|view| view.is_same(&place))
        };
        if node.op.rewrites().is_some_and(|input| !lies_there(node.input(input))) {
            continue;
        }
        let facts: Vec<Option<&Fact>> = node.inputs.iter().map(|i| i.and_then(|i| graph.fact(i))).collect();
        for (index, input) in node.inputs.iter().enumerate() {
            let (Some(input), Some(Some(fact))) = (*input, facts.get(index)) else { continue };
            let elem = Elem::of(fact.dtype, options.lower.activations);
            let writes = |at: usize| place.elem == elem || graph.nodes[at].op.converts();
            if !movable(graph, lowered, &links, input) || !links.producer(input).is_some_and(writes) {
                continue;
            }
            if let Some(view) = node.op.place(index, fact, &facts, &place) {
                lowered.placements.insert(input, view);
            }
        }
    }
}

/// Whether the inputs of a node should be written where its output lies: the pieces of a Concat, and what a
/// Reshape behind a Transpose would otherwise have to copy.
fn gathers(graph: &Graph, links: &Links, node: &Node) -> bool {
    match node.op.name() {
        "Concat" => true,
        "Reshape" => {
            let producer = node.input(0).and_then(|i| links.producer(i));
            producer.is_some_and(|p| graph.nodes[p].op.name() == "Transpose")
        }
        _ => false,
    }
}

/// Whether a value is computed by a node, has no place yet, and is not an output that must lie by itself.
fn movable(graph: &Graph, lowered: &Lowered, links: &Links, value: ValueId) -> bool {
    let known = graph.fact(value).is_some_and(|f| f.content.is_some());
    let elsewhere = lowered.placements.contains_key(&value) || graph.outputs.contains(&value);
    links.producer(value).is_some() && !known && !elsewhere
}
