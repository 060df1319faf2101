//! Puts the nodes of a graph in an order in which they can run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Graph, ImportError, Node, ValueId};

/// Sorts the nodes so that each follows those whose outputs it reads, itself or in a subgraph; otherwise the order of the
/// file is kept.
///
/// # Errors
/// [`ImportError::Cycle`] at a node that needs its own output.
pub(super) fn sort(graph: &mut Graph) -> Result<(), ImportError> {
    let producers = producers(graph);
    let needs =
        |node: &Node| -> Vec<usize> { reads(node).filter_map(|id| producers[id.0 as usize]).collect() };
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    let mut open: Vec<usize> = graph.nodes.iter().map(|node| needs(node).len()).collect();
    for (reader, node) in graph.nodes.iter().enumerate() {
        needs(node).into_iter().for_each(|producer| readers[producer].push(reader));
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..open.len()).filter(|&node| open[node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(open.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &reader in &readers[node] {
            open[reader] -= 1;
            if open[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    match open.iter().position(|&count| count > 0) {
        Some(stuck) => Err(cycle(graph, &producers, &open, stuck)),
        None => {
            let mut nodes: Vec<Option<Node>> =
                std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
            graph.nodes = order.into_iter().filter_map(|index| nodes[index].take()).collect();
            Ok(())
        }
    }
}

/// The node that writes each value.
fn producers(graph: &Graph) -> Vec<Option<usize>> {
    let mut producers = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.outputs.iter().flatten().for_each(|id| producers[id.0 as usize] = Some(index));
    }
    producers
}

/// What the node reads, captures of its subgraphs included.
fn reads(node: &Node) -> impl Iterator<Item = ValueId> {
    let captured = node.subgraphs().flat_map(|graph| graph.captures.iter().map(|capture| capture.outer));
    node.inputs.iter().flatten().copied().chain(captured)
}

/// From a node that never became ready, goes back along unfinished producers until one comes up again.
fn cycle(graph: &Graph, producers: &[Option<usize>], open: &[usize], stuck: usize) -> ImportError {
    let mut seen = vec![false; graph.nodes.len()];
    let mut node = stuck;
    loop {
        seen[node] = true;
        let unfinished = |id: ValueId| producers[id.0 as usize].filter(|&p| open[p] > 0).map(|p| (id, p));
        let Some((id, producer)) = reads(&graph.nodes[node]).find_map(unfinished) else { break };
        if seen[producer] {
            let error = ImportError::Cycle { value: graph[id].name.clone() };
            return error.within(graph.nodes[producer].label());
        }
        node = producer;
    }
    ImportError::Cycle { value: String::new() }.within(graph.nodes[stuck].label())
}
