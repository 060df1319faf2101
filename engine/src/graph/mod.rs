//! The graph: values and the nodes that compute them, as plain data that prints.

mod edit;
mod text;

pub use edit::Links;

use std::{any::Any, sync::Arc};

use symbolic::{Equality, Expr};

use crate::{
    dtype::DType,
    host::{BlockMatrix, HostTensor, RowOf},
    op::Op,
};

/// Names a value of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// Position in [`Graph::values`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a value before the model runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Element type, as the model declares it.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<Expr>,
    /// The elements themselves, row-major, where they are integers known as expressions: shape arithmetic.
    pub content: Option<Arc<[Expr]>>,
}

impl Fact {
    /// A value of which only type and shape are known.
    #[must_use]
    pub fn new(dtype: DType, shape: Vec<Expr>) -> Self {
        Self { dtype, shape, content: None }
    }

    /// A value whose elements are known; `content` holds one expression an element, row-major.
    #[must_use]
    pub fn known(dtype: DType, shape: Vec<Expr>, content: Vec<Expr>) -> Self {
        Self { dtype, shape, content: Some(content.into()) }
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> Expr {
        self.shape.iter().fold(Expr::from(1), |n, d| &n * d)
    }

    /// Whether the shape holds no element, whatever its symbols are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len().constant() == Some(0)
    }
}

/// Data that the model carries.
#[derive(Clone, Debug)]
pub enum Constant {
    /// Elements in host memory, usually a range of the mapped file.
    Host(HostTensor),
    /// Codes of a quantised matrix `[n, k]`, which is decoded where it is read.
    Blocks {
        /// The matrix.
        matrix: Arc<BlockMatrix>,
        /// Names of the constants whose data it is.
        sources: Arc<[String]>,
    },
    /// Rows of several matrices, of floats or codes.
    Merged(Arc<Merged>),
    /// Elements kept elsewhere (a packed file holds them under the value's name), or not at hand at all.
    Absent,
}

/// A matrix `[n, k]` of the rows of others: what one product reads where the model has several.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The others.
    pub parts: Vec<MergedPart>,
    /// The rows, in order.
    pub rows: Vec<RowOf>,
    /// Weights in a row.
    pub k: usize,
}

/// A matrix that others are merged with.
#[derive(Clone, Debug)]
pub struct MergedPart {
    /// The model's name for it.
    pub name: String,
    /// Its data.
    pub constant: Constant,
    /// Whether the model stores it `[k, n]`.
    pub transposed: bool,
    /// Rows.
    pub n: usize,
}

/// One tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// The model's name for it; unique.
    pub name: String,
    /// Type and shape; `None` until inference reached it.
    pub fact: Option<Fact>,
    /// Its data, when it is a constant.
    pub constant: Option<Constant>,
}

/// One use of an operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// The model's name for it, for messages.
    pub name: String,
    /// What it computes.
    pub op: Arc<dyn Op>,
    /// Inputs by position; `None` where an optional one is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs by position.
    pub outputs: Vec<ValueId>,
}

impl Node {
    /// The operator as `T`, if it is one.
    #[must_use]
    pub fn op_as<T: Op>(&self) -> Option<&T> {
        let any: &dyn Any = self.op.as_ref();
        any.downcast_ref()
    }

    /// Input `index`, if it is given.
    #[must_use]
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }
}

/// Values, and nodes in an order in which every node follows those it reads from.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All values; [`ValueId`] is the position.
    pub values: Vec<Value>,
    /// Nodes in execution order.
    pub nodes: Vec<Node>,
    /// Values that a run must be given.
    pub inputs: Vec<ValueId>,
    /// Values that a run returns.
    pub outputs: Vec<ValueId>,
    /// Inputs that hold nothing but 0 and 1, whatever their type, such as a mask of which positions are padding.
    pub flags: Vec<ValueId>,
    /// Sizes that must be equal and are not known to be: inference could not solve them for a symbol, so that each
    /// binding is checked.
    pub pending: Vec<Equality>,
}

impl Graph {
    /// The value behind an id.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The value behind an id, to change it.
    #[must_use]
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.index()]
    }

    /// Type and shape of a value that inference has reached.
    #[must_use]
    pub fn fact(&self, id: ValueId) -> Option<&Fact> {
        self.value(id).fact.as_ref()
    }

    /// The host data of a constant.
    #[must_use]
    pub fn host(&self, id: ValueId) -> Option<&HostTensor> {
        match &self.value(id).constant {
            Some(Constant::Host(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// The codes of a constant that is a quantised matrix.
    #[must_use]
    pub fn blocks(&self, id: ValueId) -> Option<&BlockMatrix> {
        match &self.value(id).constant {
            Some(Constant::Blocks { matrix, .. }) => Some(matrix),
            _ => None,
        }
    }

    /// Whether a value is a constant of the model.
    #[must_use]
    pub fn is_constant(&self, id: ValueId) -> bool {
        self.value(id).constant.is_some()
    }

    /// Finds a value by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name).map(|i| ValueId(i as u32))
    }
}
