//! Queries and keys that meet nothing but each other are left in the order in which a product's threads have them: attention
//! sums over the elements of a head in any order, and a thread then has neighbours, which it can write as one word.

use std::sync::Arc;

use super::pattern::Cx;
use crate::{
    graph::{Graph, Node, ValueId},
    ops::{attention::Attention, concat::Concat, heads_linear::HeadsLinear, tensor_scatter::TensorScatter},
};

/// A KV cache, as it comes in and as it goes out.
pub(crate) type Ports = (ValueId, ValueId);

/// Leaves queries and keys so wherever nothing else sees them, and returns the caches of these keys.
pub(crate) fn run(graph: &mut Graph, caches: &[Ports]) -> Vec<Ports> {
    let cx = Cx::new(graph);
    let found = |node: &Node| alone(&cx, node, caches);
    let found: Vec<Option<Ports>> = graph.nodes.iter().map(found).collect();
    for (node, _) in graph.nodes.iter_mut().zip(&found).filter(|(_, found)| found.is_some()) {
        if let Some(op) = node.op_as::<HeadsLinear>() {
            node.op = Arc::new(HeadsLinear { in_rows: true, ..op.clone() });
        }
    }
    found.into_iter().flatten().collect()
}

/// The cache of the keys of a product whose queries and keys, both turned, only one attention reads.
fn alone(cx: &Cx<'_>, node: &Node, caches: &[Ports]) -> Option<Ports> {
    let (rope, turned) = node.op_as::<HeadsLinear>()?.turn.as_ref()?;
    let [q, k, _] = *node.outputs.as_slice() else { return None };
    let (writer, attention) = (cx.only_reader_of_any(k)?, cx.only_reader_of_any(q)?);
    let (past, present) = (writer.input(0)?, *writer.outputs.first()?);
    let appends = writer.op_as::<Concat>().is_some() || writer.op_as::<TensorScatter>().is_some();
    let once = |value: ValueId| cx.links.consumers(value).len() == 1;
    let fits = *turned == 2
        && !rope.interleaved
        && appends
        && writer.input(1) == Some(k)
        && once(past)
        && once(present)
        && attention.op_as::<Attention>().is_some()
        && attention.inputs[..2] == [Some(q), Some(present)];
    (fits && caches.contains(&(past, present))).then_some((past, present))
}
