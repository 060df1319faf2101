//! What an operator is: the trait its file implements, its row in the table, and its test cases.

mod attributes;
mod body;
mod choice;
mod composite;
mod destination;
mod elementwise;
pub mod f8_copy;
pub mod fill;
mod infer;
mod known;
pub(crate) mod lower;
mod matrix;
pub mod nd;
mod onnx;
pub mod rows;
pub mod sample;
mod step;
mod target;
mod typing;
mod view;
pub mod window;

use std::{any::Any, fmt::Debug, ops::RangeInclusive, sync::Arc};

pub use attributes::with_constants;
pub use body::{Body, Placed};
pub use choice::{Choice, Choices, Problem};
pub use composite::{Composite, composite};
pub use destination::Destination;
pub(crate) use elementwise::padded;
pub use elementwise::{converted, elementwise, low_bits, narrowed, stretched, truth};
pub(crate) use infer::TRACKED;
pub use infer::{Infer, broadcast, fact_of};
pub use known::{OnConstants, on_constants};
pub use lower::{LowerOptions, Lowering};
pub use matrix::Matrix;
pub use onnx::OnnxNode;
pub use step::{
    Dispatch, Grid, Param, Root, RootId, RootKind, Slot, Step, WeightId, WeightPacking, WeightPart, WeightUse,
};
pub use target::Target;
pub(crate) use typing::FOLDED;
pub use typing::{Parts, Typing};
pub use view::{Dim, Elem, View, collapse};

use crate::{error::OpError, graph::Fact, host::HostTensor};

/// An operator with its attributes: meaning, types and kernels of one kind of node.
pub trait Op: Any + Debug + Send + Sync {
    /// The field's name for it, such as `MatMul`.
    fn name(&self) -> &'static str;

    /// Types, shapes and known contents of the outputs.
    ///
    /// # Errors
    /// When the inputs break the operator's definition, or a shape depends on data.
    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError>;

    /// Computes the outputs on the CPU, in f64 where the arithmetic is floating: the oracle for the kernels.
    ///
    /// # Errors
    /// When the inputs break the operator's definition.
    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError>;

    /// The reference where products round what they multiply to 8 bits, as kernels do where a device's
    /// [`Target::integer_products`] allows; of operators without such kernels the same as ever.
    ///
    /// # Errors
    /// As [`Op::reference`].
    fn reference_in_bytes(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.reference(inputs)
    }

    /// Says how the outputs come to be on the GPU: as views of an input, or by dispatches.
    ///
    /// # Errors
    /// When no kernel can do it on this device.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError>;

    /// The operator as one that stands for several others, which inference puts in its place.
    fn composite(&self) -> Option<&dyn Composite> {
        None
    }

    /// Whether it reads inputs and writes outputs whose floats are held otherwise than activations are, as a KV cache's may be.
    /// Others are given them converted.
    fn converts(&self) -> bool {
        false
    }

    /// The input that the result is but for what others write over it. They have their place in the result only where that
    /// input lies there already: where it is copied there, that comes last.
    fn rewrites(&self) -> Option<usize> {
        None
    }

    /// Whether its kernels read the codes of a packed matrix from a texture too.
    fn reads_textures(&self) -> bool {
        false
    }

    /// Where input `index`, of the given fact, would have to be stored for the operator to have nothing to do
    /// for it, if its output lies in `output`. Reshape and Transpose undo themselves; Concat names a sub-tensor.
    fn place(&self, index: usize, input: &Fact, inputs: &[Option<&Fact>], output: &View) -> Option<View> {
        let _ = (index, input, inputs, output);
        None
    }
}

/// How far a GPU result may be from the reference: `|got - want| <= absolute + relative * |want|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Allowed whatever the value.
    pub absolute: f64,
    /// Allowed for each unit of the wanted value.
    pub relative: f64,
}

impl Tolerance {
    /// For results that must be the same number.
    pub const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };
    /// For f32 arithmetic in another order.
    pub const F32: Self = Self { absolute: 1e-5, relative: 1e-4 };
    /// For values stored as f16.
    pub const F16: Self = Self { absolute: 2e-3, relative: 4e-3 };

    /// Allows what either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (absolute, relative) = (self.absolute.max(other.absolute), self.relative.max(other.relative));
        Self { absolute, relative }
    }
}

/// A test case of an operator: run on the GPU as a graph of one node and compared with the reference.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about, unique in its file.
    pub name: String,
    /// The operator with its attributes.
    pub op: Arc<dyn Op>,
    /// Inputs by position.
    pub inputs: Vec<Option<HostTensor>>,
    /// Positions of inputs that the model carries as constants: axes, shapes, weights.
    pub constants: Vec<usize>,
    /// How close the GPU has to come.
    pub tolerance: Tolerance,
}

impl Case {
    /// A case with f32 tolerance and no constant inputs.
    pub fn new(name: impl Into<String>, op: impl Op, inputs: Vec<Option<HostTensor>>) -> Self {
        Self { name: name.into(), op: Arc::new(op), inputs, constants: Vec::new(), tolerance: Tolerance::F32 }
    }

    /// [`Case::new`] of an operator that is run in parts.
    pub fn composite(name: impl Into<String>, op: impl Composite, inputs: Vec<Option<HostTensor>>) -> Self {
        let (op, constants) = (composite(op), Vec::new());
        Self { name: name.into(), op, inputs, constants, tolerance: Tolerance::F32 }
    }

    /// Marks inputs as constants of the model.
    #[must_use]
    pub fn constants(mut self, positions: &[usize]) -> Self {
        self.constants = positions.to_vec();
        self
    }

    /// Sets the tolerance.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }
}

/// An ONNX name that an operator file decodes.
#[derive(Clone, Debug)]
pub struct OnnxName {
    /// `""` for the default domain.
    pub domain: &'static str,
    /// The `op_type`.
    pub op_type: &'static str,
    /// Opset versions of the domain that the file understands.
    pub versions: RangeInclusive<i64>,
}

/// A row of the operator table: one file of `ops/`.
#[derive(Debug)]
pub struct Operator {
    /// The ONNX operators it reads; empty for operators that only passes make.
    pub onnx: &'static [OnnxName],
    /// Makes the operator from a node's attributes.
    pub decode: fn(&OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError>,
    /// Its test cases, seeded and small.
    pub cases: fn() -> Vec<Case>,
}

/// Default-domain names, for `Operator::onnx`.
#[must_use]
pub const fn standard(op_type: &'static str, versions: RangeInclusive<i64>) -> OnnxName {
    OnnxName { domain: "", op_type, versions }
}

/// Names in ONNX Runtime's own domain, for `Operator::onnx`.
#[must_use]
pub const fn microsoft(op_type: &'static str) -> OnnxName {
    OnnxName { domain: "com.microsoft", op_type, versions: 1..=1 }
}

/// The decoder of operators that no ONNX node names: passes make them.
///
/// # Errors
/// Always.
pub fn made_by_passes(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Err(OpError::Unsupported(format!("{} is not an ONNX operator", node.op_type())))
}
