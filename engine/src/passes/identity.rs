//! Nodes that change nothing: Identity, a Concat of one, a Cast to the same type, an Expand to the same shape.

use std::collections::HashMap;

use crate::{
    error::EngineError,
    graph::{Graph, Node, ValueId},
    ops::concat,
};

/// Has the readers of such nodes read their input instead; an output of the graph is computed under its own name.
pub(super) fn run(graph: &mut Graph) -> Result<(), EngineError> {
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    for node in &graph.nodes {
        if let Some((output, input)) = unchanged(graph, node) {
            let input = same.get(&input).copied().unwrap_or(input);
            same.insert(output, input);
        }
    }
    for input in graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten()) {
        if let Some(first) = same.get(input) {
            *input = *first;
        }
    }
    for index in 0..graph.outputs.len() {
        let output = graph.outputs[index];
        if let Some(first) = same.get(&output).copied()
            && graph.nodes.iter().any(|n| n.outputs.contains(&first))
            && !graph.outputs.contains(&first)
        {
            graph.outputs[index] = first;
            let name = std::mem::take(&mut graph.value_mut(output).name);
            graph.value_mut(output).name = std::mem::replace(&mut graph.value_mut(first).name, name);
        }
    }
    graph.tidy()
}

fn unchanged(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId)> {
    let (input, output) = (node.input(0)?, *node.outputs.first()?);
    let same_type = graph.fact(input)?.dtype == graph.fact(output)?.dtype;
    let same_shape = graph.fact(input)?.shape == graph.fact(output)?.shape;
    let nothing = match node.op.name() {
        "Identity" => true,
        "Cast" => same_type,
        "Expand" => same_shape,
        _ => node.op_as::<concat::Concat>().is_some() && node.inputs.len() == 1,
    };
    nothing.then_some((output, input))
}
