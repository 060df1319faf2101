//! What can be wrong with data in host memory or in a packed file.

use crate::dtype::DType;

/// Why host data cannot be used, where the fault is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Bytes do not match the type and shape.
    #[error("a {dtype} tensor of shape {shape:?} takes {expected} bytes, but {actual} were given")]
    ByteCount {
        /// Element type.
        dtype: DType,
        /// Shape.
        shape: Vec<usize>,
        /// Bytes that type and shape ask for.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// Values do not match the shape.
    #[error("shape {shape:?} holds {expected} elements, but {actual} were given")]
    ElementCount {
        /// Shape.
        shape: Vec<usize>,
        /// Elements that the shape holds.
        expected: usize,
        /// Elements that were given.
        actual: usize,
    },
    /// A shape is beyond what memory can hold.
    #[error("a {dtype} tensor of shape {shape:?} is larger than memory can address")]
    TooLarge {
        /// Element type.
        dtype: DType,
        /// Shape.
        shape: Vec<usize>,
    },
    /// Text that names no weight format.
    #[error(
        "{text:?} is no weight format; use one of f32, f16, m0e4-g32, m0e4-g64, m0e4-g128, affine8-g32, affine8-g64, affine8-g128"
    )]
    UnknownFormat {
        /// The text.
        text: String,
    },
}
