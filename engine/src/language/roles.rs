//! The roles of a language model's inputs, found by what the graph does with them.

use symbolic::Symbol;

use crate::{
    graph::{Graph, Links, Node, ValueId},
    op::Infer,
    ops::{binary, concat, gather, masked_attention, onnx_attention, tensor_scatter, transpose},
    passes::{self, Cx},
};

/// One tensor of the cache: the input it comes in by, and the position of the output it leaves by.
#[derive(Clone, Debug)]
pub(super) struct CachePort {
    pub past: ValueId,
    pub present: usize,
    pub axis: usize,
    /// Whether the input already has room for all positions; otherwise the output is longer than the input.
    pub roomy: bool,
    /// Whether positions behind its last begin again at the first.
    pub circular: bool,
}

/// An integer input that says how far generation has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub input: ValueId,
    /// Whether new positions count too.
    pub total: bool,
}

impl Cursor {
    /// Stands for its value until a phase is planned.
    pub fn symbol(self) -> Symbol {
        Symbol::new(if self.total { "#total" } else { "#past" })
    }
}

/// The input that is looked up in a constant table; learned positions are looked up too, but bear their name.
pub(super) fn find_tokens(graph: &Graph) -> Option<ValueId> {
    let links = graph.links();
    let looks_up = |node: &Node| {
        let table = node.op_as::<gather::Gather>().and_then(|_| node.input(0))?;
        let float = graph.fact(table).is_some_and(|f| f.dtype.is_float() && f.rank() == 2);
        let indices = moved_from(graph, &links, node.input(1)?);
        let known = graph.is_constant(table) || is_turned_constant(graph, &links, table);
        (float && known && graph.inputs.contains(&indices)).then_some(indices)
    };
    let mut found: Vec<ValueId> = graph.nodes.iter().filter_map(looks_up).collect();
    found.sort_by_key(|i| graph.value(*i).name.contains("position"));
    found.first().copied()
}

/// Whether a value is a constant transposed: where embeddings and output head are one matrix, it is stored the head's way.
fn is_turned_constant(graph: &Graph, links: &Links, value: ValueId) -> bool {
    let node = links.producer(value).map(|at| &graph.nodes[at]);
    let node = node.filter(|n| n.op_as::<transpose::Transpose>().is_some());
    node.and_then(|n| n.input(0)).is_some_and(|stored| graph.is_constant(stored))
}

/// An input is a cache when an output is that input with new positions: behind it by `Concat`, or written into it.
pub(super) fn find_cache(cx: &Cx<'_>, past: ValueId) -> Option<CachePort> {
    let fact = cx.graph.fact(past).filter(|f| f.dtype.is_float() && f.rank() == 4)?;
    let grown = |present: ValueId| {
        let node = cx.producer(present)?;
        let op = node.op_as::<concat::Concat>()?;
        let axis = Infer::axis(op.axis, fact.rank()).ok()?;
        (node.inputs.len() == 2 && node.input(0) == Some(past) && axis > 0).then_some(axis)
    };
    cx.graph.outputs.iter().enumerate().find_map(|(present, output)| {
        let (axis, roomy) = match grown(*output) {
            Some(axis) => (axis, false),
            None => (passes::written_axis(cx, past, *output)?, true),
        };
        let circular = cx
            .producer(*output)
            .and_then(|n| n.op_as::<tensor_scatter::TensorScatter>())
            .is_some_and(|op| op.circular);
        Some(CachePort { past, present, axis, roomy, circular })
    })
}

/// Integer inputs with one element, or one a batch, that an output counts on, that say where a cache is written, or
/// how many keys attention may use.
pub(super) fn find_cursors(graph: &Graph) -> Vec<Cursor> {
    let links = graph.links();
    let small = |i: &&ValueId| graph.fact(**i).is_some_and(|f| f.dtype.is_int() && f.rank() <= 1);
    let cursor = |input: &ValueId| {
        let readers = moved_to(graph, &links, *input);
        let reads = |at: usize, node: &Node| node.input(at).is_some_and(|v| readers.contains(&v));
        let total = graph.nodes.iter().any(|node| {
            let typed = node.op_as::<masked_attention::MaskedAttention>().is_some();
            (typed && reads(masked_attention::IN_USE, node))
                || (node.op.name() == "OnnxAttention" && reads(onnx_attention::IN_USE, node))
        });
        let past = graph.nodes.iter().any(|node| {
            let written = node.op_as::<tensor_scatter::TensorScatter>().is_some() && reads(2, node);
            written || counts_on(graph, node, *input)
        });
        (total || past).then_some(Cursor { input: *input, total })
    };
    graph.inputs.iter().filter(small).filter_map(cursor).collect()
}

/// Whether a node computes an output of the graph by adding to the input.
fn counts_on(graph: &Graph, node: &Node, input: ValueId) -> bool {
    let adds = node.op_as::<binary::Binary>() == Some(&binary::Binary::Add);
    adds && node.inputs.contains(&Some(input)) && graph.outputs.contains(&node.outputs[0])
}

/// The outputs that count on: the session keeps count itself.
pub(super) fn counts(graph: &Graph, cursors: &[Cursor]) -> Vec<ValueId> {
    let counts = |node: &&Node| cursors.iter().any(|c| counts_on(graph, node, c.input));
    graph.nodes.iter().filter(counts).map(|node| node.outputs[0]).collect()
}

/// Whether a node only converts its first input or writes its shape anew.
fn moves(node: &Node) -> bool {
    matches!(node.op.name(), "Identity" | "Cast" | "Reshape" | "Unsqueeze" | "Squeeze")
}

/// What a value is before it is only converted or reshaped.
fn moved_from(graph: &Graph, links: &Links, mut value: ValueId) -> ValueId {
    while let Some(node) = links.producer(value).map(|at| &graph.nodes[at])
        && (moves(node) || node.op.name() == "Flatten")
        && let Some(input) = node.input(0)
    {
        value = input;
    }
    value
}

/// A value and what only converts, reshapes or repeats it.
fn moved_to(graph: &Graph, links: &Links, value: ValueId) -> Vec<ValueId> {
    let mut all = vec![value];
    let mut next = 0;
    while let Some(value) = all.get(next).copied() {
        next += 1;
        for node in links.consumers(value).iter().map(|at| &graph.nodes[*at]) {
            let repeats = moves(node) || node.op.name() == "Expand";
            if repeats && node.input(0) == Some(value) && !all.contains(&node.outputs[0]) {
                all.push(node.outputs[0]);
            }
        }
    }
    all
}
