//! What lowering makes: kernel calls with symbolic sizes, the memory they touch, and the constants they need.

use std::sync::Arc;

use devices::WeightMemory;
use shaders::KernelSpec;
use symbolic::{Bindings, EvalError, Expr};

use super::{Elem, View};
use crate::{graph::ValueId, host::WeightFormat};

/// Names a buffer, or a part of the arena, that views point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub u32);

/// Names a constant of the model in one form on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub u32);

/// What memory a root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A part of the arena; its place is found by the memory plan.
    Arena,
    /// One tensor of the KV cache, by position in the model's list of caches.
    Cache(usize),
    /// A constant held plainly.
    Constant(WeightId),
}

/// Memory that views point into.
#[derive(Clone, Debug)]
pub struct Root {
    /// What memory it is.
    pub kind: RootKind,
    /// Its element.
    pub elem: Elem,
    /// How many elements it holds.
    pub len: Expr,
    /// The value it was made for.
    pub name: String,
}

/// The form in which a constant lies on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightPacking {
    /// Row-major elements.
    Plain(Elem),
    /// A matrix `[n, k]` packed for the linear kernels; `transposed` when the model stores `[k, n]`.
    Matrix {
        /// Element coding.
        format: WeightFormat,
        /// Whether the model stores it as `[k, n]`.
        transposed: bool,
        /// What its codes or elements lie in; scales lie in a buffer.
        memory: WeightMemory,
    },
}

/// A constant that the plan needs on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightUse {
    /// The constant.
    pub value: ValueId,
    /// Its form.
    pub packing: WeightPacking,
    /// Output features of a matrix; 1 for plain data.
    pub n: usize,
    /// Input features of a matrix; the element count of plain data.
    pub k: usize,
}

/// Which part of a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightPart {
    /// Codes or elements.
    Weight,
    /// Group scales and biases.
    Scales,
}

/// What a kernel's slot is bound to.
#[derive(Clone, Debug, PartialEq)]
pub enum Slot {
    /// Elements of a root. The kernel's parameter `<slot>_offset` is filled with the first element's position.
    View(View),
    /// Rows `first..first + count` of a packed matrix; `first` is a multiple of 4.
    Weight {
        /// The matrix.
        weight: WeightId,
        /// Which of its parts.
        part: WeightPart,
        /// First row.
        first: usize,
        /// Number of rows.
        count: usize,
    },
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// A count or index.
    Int(Expr),
    /// A number.
    Float(f32),
    /// A list of sizes or strides, as many as the kernel declares, innermost last.
    Ints(Vec<Expr>),
}

/// How many workgroups to start.
#[derive(Clone, Debug, PartialEq)]
pub enum Grid {
    /// This many, spread over x and y where one dimension cannot hold them.
    Linear(Expr),
    /// By dimension.
    Xyz([Expr; 3]),
}

impl Grid {
    /// Whether there are no workgroups for a binding.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn is_empty(&self, bindings: &Bindings) -> Result<bool, EvalError> {
        let counts = match self {
            Self::Linear(count) => std::slice::from_ref(count),
            Self::Xyz(counts) => counts,
        };
        counts.iter().try_fold(false, |empty, count| Ok(empty || count.eval(bindings)? <= 0))
    }
}

/// One kernel call with symbolic sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The kernel.
    pub spec: KernelSpec,
    /// What its slots are bound to, by the shader's names.
    pub slots: Vec<(&'static str, Slot)>,
    /// Parameters by the shader's names; offsets of slots are filled in by themselves.
    pub params: Vec<(&'static str, Param)>,
    /// Workgroups.
    pub grid: Grid,
}

/// One thing that happens in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A kernel call.
    Dispatch {
        /// The node it is for.
        node: String,
        /// The call.
        call: Box<Dispatch>,
    },
    /// Elements known as expressions, written by the CPU before the run.
    Fill {
        /// Where to.
        view: View,
        /// One expression an element.
        content: Arc<[Expr]>,
    },
}

impl WeightUse {
    /// Width and height of the texture that a part lies in, in texels; `None` where it lies in a buffer.
    #[must_use]
    pub fn texels(&self, part: WeightPart) -> Option<[usize; 2]> {
        match (self.packing, part) {
            (WeightPacking::Matrix { format, memory: WeightMemory::Texture, .. }, WeightPart::Weight) => {
                Some(format.texels(self.n, self.k))
            }
            _ => None,
        }
    }

    /// Bytes of the first `rows` rows of one part, padded to whole blocks of four rows; of plain data, all of it.
    #[must_use]
    pub fn bytes(&self, part: WeightPart, rows: usize) -> u64 {
        let bytes = match (self.packing, part) {
            (WeightPacking::Plain(elem), _) => Some(self.k.saturating_mul(elem.size() as usize)),
            (WeightPacking::Matrix { format, .. }, WeightPart::Weight) => format.weight_bytes(rows, self.k),
            (WeightPacking::Matrix { format, .. }, WeightPart::Scales) => format.scales_bytes(rows, self.k),
        };
        bytes.map_or(u64::MAX, |b| b as u64)
    }
}
