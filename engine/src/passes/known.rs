//! What is known without running anything depends on nothing: a table of positions that has its size from a product's result
//! can then be read by that product.

use std::sync::Arc;

use crate::{graph::Graph, ops::known::Known};

/// Cuts nodes whose one result is known off from what they read.
pub(super) fn run(graph: &mut Graph) {
    let Graph { nodes, values, .. } = graph;
    for node in nodes.iter_mut().filter(|node| !node.inputs.is_empty()) {
        let [output] = node.outputs.as_slice() else { continue };
        let known = values[output.index()].fact.as_ref().filter(|fact| fact.content.is_some());
        if let Some(fact) = known {
            node.op = Arc::new(Known { fact: fact.clone() });
            node.inputs.clear();
        }
    }
}
