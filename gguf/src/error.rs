//! What can be wrong with a GGUF file, or with what is asked of it.

use crate::Kind;

/// Every way reading, decoding or copying out of a GGUF file fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {found:02x?}, not with the letters GGUF")]
    NotGguf {
        /// The first bytes, up to four.
        found: Vec<u8>,
    },
    /// The version is neither 2 nor 3.
    #[error("GGUF version {version} is not supported (2 and 3, little-endian, are); convert the file again")]
    Version {
        /// The version number as it stands in the file.
        version: u32,
    },
    /// The file ends inside something.
    #[error("the file ends inside {what}: {needed} bytes are needed at byte {at}, {left} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Byte position in the file.
        at: u64,
        /// Bytes that this needs.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// A name or string value is not UTF-8.
    #[error("{what} is not UTF-8 text")]
    NotUtf8 {
        /// Where the text stands.
        what: String,
    },
    /// A metadata value cannot be read.
    #[error("{what}: {problem}")]
    Metadata {
        /// The key, in words.
        what: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// A key that the caller needs is not there.
    #[error("metadata key {key:?} is missing; this is not the kind of model file that was expected")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value is there with another type than the caller needs.
    #[error("metadata key {key:?} holds {found}, but {expected} is needed")]
    WrongType {
        /// The key.
        key: String,
        /// The type that is needed.
        expected: &'static str,
        /// The type that is there.
        found: &'static str,
    },
    /// A tensor's description is wrong.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no tensor of this name.
    #[error("there is no tensor {name:?} among the file's {count}")]
    MissingTensor {
        /// The name that was asked for.
        name: String,
        /// How many tensors there are.
        count: usize,
    },
    /// The tensor's storage format cannot be decoded.
    #[error(
        "tensor {name:?} is stored as {kind}, which cannot be decoded here; convert it to F16, Q8_0, Q4_1 or Q4_K first"
    )]
    UnsupportedKind {
        /// The tensor.
        name: String,
        /// Its storage format.
        kind: Kind,
    },
    /// An external tensor does not fit what the GGUF tensor holds.
    #[error("external tensor {name:?} (from GGUF tensor {source_name:?}): {problem}")]
    External {
        /// The ONNX initializer.
        name: String,
        /// The GGUF tensor that should fill it.
        source_name: String,
        /// What does not fit.
        problem: String,
    },
    /// The disk is full.
    #[error("the disk is full: writing {name:?} stopped with {written} of {total} bytes written; free at least {} bytes and start again", total.saturating_sub(*written))]
    DiskFull {
        /// The ONNX initializer that was being written.
        name: String,
        /// Bytes written before.
        written: u64,
        /// Bytes that there are to write.
        total: u64,
    },
    /// Writing failed for another reason than a full disk.
    #[error("writing {name:?} failed: {cause}")]
    Write {
        /// The ONNX initializer that was being written.
        name: String,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
}
