//! A node and its attributes.

use std::collections::BTreeMap;

use crate::{Graph, ImportError, Operator, Tensor, ValueId};

/// One application of an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Name in the file; may be empty or shared.
    pub name: String,
    /// Domain of the operator; ONNX's own, also written `ai.onnx`, is `""`.
    pub domain: String,
    /// Name of the operator.
    pub op_type: String,
    /// Version of the domain's operator set where the node stands.
    pub version: i64,
    /// Values read; `None` where an optional input is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Values written; `None` where an optional output is not wanted.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Bytes, UTF-8 by convention.
    String(Vec<u8>),
    /// A tensor.
    Tensor(Tensor),
    /// A subgraph.
    Graph(Graph),
    /// Numbers.
    Floats(Vec<f32>),
    /// Integers.
    Ints(Vec<i64>),
    /// Byte strings.
    Strings(Vec<Vec<u8>>),
    /// Tensors.
    Tensors(Vec<Tensor>),
    /// Subgraphs.
    Graphs(Vec<Graph>),
    /// A type in words, such as `tensor(f32)`; the sequence and optional operators have it.
    Type(String),
    /// Types in words.
    Types(Vec<String>),
}

impl Attribute {
    /// What kind of value it is, in words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) => "a float",
            Self::Int(_) => "an integer",
            Self::String(_) => "a string",
            Self::Tensor(_) => "a tensor",
            Self::Graph(_) => "a graph",
            Self::Floats(_) => "a list of floats",
            Self::Ints(_) => "a list of integers",
            Self::Strings(_) => "a list of strings",
            Self::Tensors(_) => "a list of tensors",
            Self::Graphs(_) => "a list of graphs",
            Self::Type(_) => "a type",
            Self::Types(_) => "a list of types",
        }
    }

    fn graphs(&self) -> &[Graph] {
        match self {
            Self::Graph(graph) => std::slice::from_ref(graph),
            Self::Graphs(graphs) => graphs,
            _ => &[],
        }
    }
}

/// The typed getters return `Ok(None)` for an attribute that the node lacks, and an error that names node and
/// attribute for one of another type.
impl Node {
    /// The input at `index`; `None` when it is left out.
    #[must_use]
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// The output at `index`; `None` when it is not wanted.
    #[must_use]
    pub fn output(&self, index: usize) -> Option<ValueId> {
        self.outputs.get(index).copied().flatten()
    }

    /// The operator, as [`Model::operators`](crate::Model::operators) counts it.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator { domain: self.domain.clone(), op_type: self.op_type.clone(), version: self.version }
    }

    /// Every subgraph among the attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.values().flat_map(Attribute::graphs)
    }

    /// How errors name the node: `node "name" (Op)`, or `node (Op)` when it has no name.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            return format!("node ({})", self.op_type);
        }
        format!("node {:?} ({})", self.name, self.op_type)
    }

    /// An integer.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn int(&self, name: &str) -> Result<Option<i64>, ImportError> {
        self.typed(name, "an integer", |a| if let Attribute::Int(v) = a { Some(*v) } else { None })
    }

    /// A float.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn float(&self, name: &str) -> Result<Option<f32>, ImportError> {
        self.typed(name, "a float", |a| if let Attribute::Float(v) = a { Some(*v) } else { None })
    }

    /// A string.
    ///
    /// # Errors
    /// When the attribute has another type or is not UTF-8.
    pub fn string(&self, name: &str) -> Result<Option<&str>, ImportError> {
        self.typed(name, "a UTF-8 string", |a| match a {
            Attribute::String(v) => std::str::from_utf8(v).ok(),
            _ => None,
        })
    }

    /// A list of integers.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, ImportError> {
        self.typed(name, "a list of integers", |a| match a {
            Attribute::Ints(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// A list of floats.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, ImportError> {
        self.typed(name, "a list of floats", |a| match a {
            Attribute::Floats(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// A list of byte strings.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn strings(&self, name: &str) -> Result<Option<&[Vec<u8>]>, ImportError> {
        self.typed(name, "a list of strings", |a| match a {
            Attribute::Strings(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// A tensor.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn tensor(&self, name: &str) -> Result<Option<&Tensor>, ImportError> {
        self.typed(name, "a tensor", |a| if let Attribute::Tensor(v) = a { Some(v) } else { None })
    }

    /// A subgraph.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn graph(&self, name: &str) -> Result<Option<&Graph>, ImportError> {
        self.typed(name, "a graph", |a| if let Attribute::Graph(v) = a { Some(v) } else { None })
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &'static str,
        get: impl FnOnce(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(attribute) = self.attributes.get(name) else { return Ok(None) };
        let wrong = || {
            ImportError::AttributeKind { expected, found: attribute.kind() }
                .within(format!("attribute {name:?}"))
                .within(self.label())
        };
        get(attribute).map(Some).ok_or_else(wrong)
    }
}
