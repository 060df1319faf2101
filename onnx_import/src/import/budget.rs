//! Keeps what inlining copies in proportion to the file.

use crate::ImportError;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// What inlining may copy for each byte of the file. Sixty layers that call a function which holds the whole model pass.
const BYTES_PER_BYTE: usize = 64;
/// What it may copy from the smallest file.
const LEAST: usize = 1 << 20;
/// Taken for each node, value and the like beside its text.
const PIECE: usize = 64;

/// Bytes that inlining may still copy. Shared weights are not counted, names, attributes and typed data are.
pub(super) struct Budget {
    file: usize,
    limit: usize,
    left: usize,
}

impl Budget {
    pub fn for_file(file: usize) -> Self {
        let limit = file.saturating_mul(BYTES_PER_BYTE).saturating_add(LEAST);
        Self { file, limit, left: limit }
    }

    /// Takes the cost of one more thing with `bytes` of text.
    pub fn spend(&mut self, bytes: usize) -> Result<(), ImportError> {
        let cost = bytes.saturating_add(PIECE);
        let error = ImportError::TooMuchInlining { limit: self.limit, file: self.file };
        self.left = self.left.checked_sub(cost).ok_or(error)?;
        Ok(())
    }
}

/// What one copy of a function takes.
pub(super) fn function_cost(function: &FunctionProto) -> usize {
    let pieces = function.input.len() + function.output.len() + function.attribute_proto.len();
    let infos = function.value_info.iter().map(info_cost).sum::<usize>();
    pieces * PIECE + infos + nodes_cost(&function.node)
}

fn nodes_cost(nodes: &[NodeProto]) -> usize {
    nodes.iter().map(node_cost).sum()
}

fn node_cost(node: &NodeProto) -> usize {
    let names = node.input.iter().chain(&node.output).map(|name| name.len() + PIECE).sum::<usize>();
    let own = node.name().len() + node.op_type().len() + node.domain().len() + PIECE;
    own + names + node.attribute.iter().map(attribute_cost).sum::<usize>()
}

pub(super) fn attribute_cost(attribute: &AttributeProto) -> usize {
    let strings = attribute.strings.iter().chain(&attribute.s).map(|s| s.len() + PIECE).sum::<usize>();
    let numbers = attribute.ints.len() * 8 + attribute.floats.len() * 4;
    let tensors = attribute.tensors.iter().chain(attribute.t.as_deref()).map(tensor_cost).sum::<usize>();
    let graphs = attribute.graphs.iter().chain(attribute.g.as_deref()).map(graph_cost).sum::<usize>();
    attribute.name().len() + PIECE + strings + numbers + tensors + graphs
}

fn tensor_cost(tensor: &TensorProto) -> usize {
    let words =
        tensor.int64_data.len() + tensor.uint64_data.len() + tensor.double_data.len() + tensor.dims.len();
    let halves = tensor.float_data.len() + tensor.int32_data.len();
    PIECE + tensor.name().len() + words * 8 + halves * 4 + tensor.string_data.len() * PIECE
}

fn graph_cost(graph: &GraphProto) -> usize {
    let infos =
        graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(info_cost).sum::<usize>();
    infos + graph.initializer.iter().map(tensor_cost).sum::<usize>() + nodes_cost(&graph.node)
}

/// A shape's sizes, each an expression when imported.
fn info_cost(info: &ValueInfoProto) -> usize {
    info.name().len() + PIECE + prost::Message::encoded_len(info) * 8
}
