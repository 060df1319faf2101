//! What can be wrong with data in host memory or in a packed file.

use super::WeightFormat;
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
    /// A weight that no quantised format holds.
    #[error(
        "row {row}, column {column}: the weight is {value}; only finite weights can be quantised, so mend the model or keep this matrix in f32"
    )]
    NotFinite {
        /// Row of the matrix `[n, k]`.
        row: usize,
        /// Column.
        column: usize,
        /// The weight.
        value: String,
    },
    /// Weights too large for half-precision scales, or for halves themselves.
    #[error(
        "row {row}, columns from {column} on: weights from {least} to {greatest} are beyond what half precision holds; keep this matrix in f32"
    )]
    ScaleRange {
        /// Row of the matrix `[n, k]`.
        row: usize,
        /// First column of the group.
        column: usize,
        /// Least weight of the group.
        least: String,
        /// Greatest weight of the group.
        greatest: String,
    },
    /// A matrix whose rows do not divide into packed words.
    #[error(
        "a matrix [{n}, {k}] cannot be stored as {format}: its rows must be a multiple of {multiple} long; use f16 or f32 for it"
    )]
    RowLength {
        /// Rows.
        n: usize,
        /// Weights in a row.
        k: usize,
        /// The format.
        format: WeightFormat,
        /// What `k` must be a multiple of.
        multiple: usize,
    },
    /// Sizes that overflow.
    #[error("a matrix [{n}, {k}] in {format} is larger than memory can address")]
    MatrixTooLarge {
        /// Rows.
        n: usize,
        /// Weights in a row.
        k: usize,
        /// The format.
        format: WeightFormat,
    },
    /// Parts of a block-quantised matrix that are not of its size.
    #[error("a block-quantised matrix [{n}, {k}] has {expected} for its {what}, but {actual} were given")]
    Blocks {
        /// Rows.
        n: usize,
        /// Weights in a row.
        k: usize,
        /// The part.
        what: &'static str,
        /// Bytes of codes, or number of scales or zero points, that the grid asks for.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// A merged matrix that lacks a part.
    #[error("part {part} of a merged matrix is missing, or its rows are not {k} weights")]
    Merged {
        /// The part.
        part: usize,
        /// Weights in a row of the whole.
        k: usize,
    },
    /// Packed bytes that are not those of the matrix.
    #[error("a matrix [{n}, {k}] in {format} takes {expected} bytes of {part}, but {actual} were given")]
    PackedSize {
        /// Rows.
        n: usize,
        /// Weights in a row.
        k: usize,
        /// The format.
        format: WeightFormat,
        /// `weight` or `scales`.
        part: &'static str,
        /// Bytes that the format asks for.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// A piece that does not consist of whole blocks of four rows.
    #[error(
        "rows {start}..{end} of {n} cannot be cut out: a piece starts at a multiple of 4 and ends at one or at the last row"
    )]
    Piece {
        /// First row asked for.
        start: usize,
        /// Row after the last.
        end: usize,
        /// Rows of the matrix.
        n: usize,
    },
    /// A tensor that is no matrix of floats.
    #[error(
        "weights must be a matrix of f32, f16 or bf16, but this is {dtype} of shape {shape:?}; cast or reshape it first"
    )]
    NotAMatrix {
        /// Element type.
        dtype: DType,
        /// Shape.
        shape: Vec<usize>,
    },
    /// The place where weights come from failed.
    #[error("the weights cannot be read: {0}")]
    Source(String),
    /// A packed model file that is damaged or something else.
    #[error("this is not a packed model, or a damaged one: {what}; pack the model again")]
    PackedFile {
        /// What is wrong with it.
        what: String,
    },
    /// A packed model file of another version.
    #[error("this packed model is of {found}, but this program reads {expected}; pack the model again")]
    PackedVersion {
        /// Version and layout of the file.
        found: String,
        /// Version and layout that are read.
        expected: String,
    },
    /// Two parts of a packed model with one name.
    #[error("the name {name:?} is taken or reserved in the packed model; rename one of the two")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// A packed model whose weights were not written as announced.
    #[error("the packed model expects {expected} next, but {actual} was given")]
    WriteOrder {
        /// What comes next.
        expected: String,
        /// What was given instead.
        actual: String,
    },
    /// A packed model could not be written.
    #[error("{path} cannot be written, it takes {needed} bytes: {reason}; nothing is left of it")]
    Write {
        /// Where.
        path: String,
        /// Bytes of the whole file.
        needed: u64,
        /// What the system said.
        reason: String,
    },
}
