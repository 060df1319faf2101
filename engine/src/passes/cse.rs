//! Common subexpressions: nodes of equal operator and equal inputs are one node. Exporters write the same cosine
//! once a layer.

use std::collections::HashMap;

use crate::{
    error::EngineError,
    graph::{Graph, ValueId},
};

/// Joins equal nodes and tidies the graph.
pub(super) fn run(graph: &mut Graph) -> Result<(), EngineError> {
    let mut seen: HashMap<(String, Vec<Option<ValueId>>), Vec<ValueId>> = HashMap::new();
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    for node in &mut graph.nodes {
        for input in node.inputs.iter_mut().flatten() {
            if let Some(first) = same.get(input) {
                *input = *first;
            }
        }
        let key = (format!("{:?}", node.op), node.inputs.clone());
        let is_output = node.outputs.iter().any(|o| graph.outputs.contains(o));
        match seen.get(&key) {
            Some(first) if !is_output && first.len() == node.outputs.len() => {
                same.extend(node.outputs.iter().copied().zip(first.iter().copied()));
            }
            Some(_) => {}
            None => {
                seen.insert(key, node.outputs.clone());
            }
        }
    }
    graph.tidy()
}
