//! What an import yields: a plain graph of values and nodes, named by ids instead of strings.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use symbolic::Expr;

use crate::{DataType, Node, Tensor};

/// An imported ONNX model: one graph without functions, its nodes in an order in which they can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Version of the file format.
    pub ir_version: i64,
    /// Operator set version by domain; ONNX's own domain is `""`.
    pub opsets: BTreeMap<String, i64>,
    /// Program that wrote the file, with its version.
    pub producer: String,
    /// What the producer noted, by key.
    pub metadata: BTreeMap<String, String>,
    /// The main graph.
    pub graph: Graph,
}

/// An operator as a node names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operator {
    /// Domain; ONNX's own is `""`.
    pub domain: String,
    /// Name of the operator in its domain.
    pub op_type: String,
    /// Version of the operator set.
    pub version: i64,
}

impl Model {
    /// The operators that the model uses, subgraphs included, with the number of nodes that do.
    #[must_use]
    pub fn operators(&self) -> BTreeMap<Operator, usize> {
        let mut counts = BTreeMap::new();
        self.graph.count_operators(&mut counts);
        counts
    }
}

/// A position in [`Graph::values`] of the graph that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Values and the nodes that make them from each other.
///
/// Ids are of this graph alone. A subgraph (a branch of `If`, a body of `Loop`) that reads a value of the graph around
/// it has a value of its own for it, listed in [`captures`](Self::captures).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The graph's name in the file.
    pub name: String,
    /// Every value: inputs, initializers, outputs of nodes, captures. Names are unique within the graph.
    pub values: Vec<Value>,
    /// The nodes, each after those whose outputs it reads.
    pub nodes: Vec<Node>,
    /// Values that the caller gives. An input with an initializer is a constant instead.
    pub inputs: Vec<ValueId>,
    /// Values that the caller gets.
    pub outputs: Vec<ValueId>,
    /// Values that a subgraph reads from the graph around it; empty in the main graph.
    pub captures: Vec<Capture>,
}

/// A value of a subgraph that stands for one of the graph around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Id in the graph that the node with the subgraph belongs to.
    pub outer: ValueId,
    /// Id in the subgraph.
    pub inner: ValueId,
}

/// A tensor in the graph: given, constant or computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Name in the file, or a fresh one for what an inlined function computes.
    pub name: String,
    /// Element type and shape, where the file tells them.
    pub info: Option<TensorType>,
    /// For a value whose declared type is no tensor: that type, such as `sequence(tensor(f32))`.
    pub other_type: Option<String>,
    /// The constant, for initializers.
    pub data: Option<Tensor>,
}

/// Element type and shape of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DataType,
    /// One expression for each axis; `None` when even the rank is open.
    pub shape: Option<Vec<Expr>>,
}

/// As `f32 [batch, 3]`, or `f32 [..]` when the rank is open.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shape) = &self.shape else { return write!(f, "{} [..]", self.dtype) };
        let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
        write!(f, "{} [{}]", self.dtype, sizes.join(", "))
    }
}

impl Index<ValueId> for Graph {
    type Output = Value;

    fn index(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }
}

impl Graph {
    /// The id of the value with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ValueId> {
        let index = self.values.iter().position(|value| value.name == name)?;
        u32::try_from(index).ok().map(ValueId)
    }

    fn count_operators(&self, counts: &mut BTreeMap<Operator, usize>) {
        for node in &self.nodes {
            *counts.entry(node.operator()).or_default() += 1;
            node.subgraphs().for_each(|graph| graph.count_operators(counts));
        }
    }
}
