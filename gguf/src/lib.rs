//! Reads GGUF files, versions 2 and 3: metadata, tensors, and their numbers as f32 or as 4-bit codes.
//!
//! The caller maps the file and hands over its bytes; nothing is copied until a row is asked for. The
//! bytes are taken as hostile: whatever they hold, the answer is a value or a [`GgufError`] that names the
//! key or tensor, and memory stays within a small multiple of the file.
//!
//! ```
//! use gguf::{Gguf, Kind};
//!
//! // A file with one metadata key and one tensor, written out by hand.
//! let text = |s: &str| [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat();
//! let mut file = b"GGUF".to_vec();
//! file.extend(3u32.to_le_bytes()); // version
//! file.extend(1u64.to_le_bytes()); // tensors
//! file.extend(1u64.to_le_bytes()); // metadata keys
//! file.extend(text("general.architecture"));
//! file.extend(8u32.to_le_bytes()); // a string
//! file.extend(text("llama"));
//! file.extend(text("norm.weight"));
//! file.extend(1u32.to_le_bytes()); // one dimension
//! file.extend(2u64.to_le_bytes()); // of two
//! file.extend(0u32.to_le_bytes()); // F32
//! file.extend(0u64.to_le_bytes()); // at the start of the data
//! file.resize(file.len().next_multiple_of(32), 0);
//! file.extend(0.5f32.to_le_bytes());
//! file.extend((-2f32).to_le_bytes());
//!
//! let gguf = Gguf::parse(&file)?;
//! assert_eq!(gguf.string("general.architecture")?, "llama");
//! let norm = gguf.tensor("norm.weight")?;
//! assert_eq!((norm.kind, norm.shape()), (Kind::F32, vec![2]));
//! assert_eq!(norm.to_f32()?, [0.5, -2.0]);
//! # Ok::<(), gguf::GgufError>(())
//! ```
//!
//! - [`Tensor::read_row`] decodes a row at a time: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q6_K,
//!   bit for bit as ggml does. Other formats are listed and refused.
//! - [`Tensor::affine_row`] gives the stored codes, scales and minima, to carry them over to another
//!   4-bit format unchanged.
//! - [`fill`] writes the external data file of an exported ONNX graph.
//!
//! The format is described in ggml's `docs/gguf.md`.
#![forbid(unsafe_code)]

mod affine;
mod cursor;
mod decode;
mod error;
mod file;
mod fill;
mod kind;
mod tensor;
mod value;

pub use affine::AffineBlock;
pub use error::GgufError;
pub use file::Gguf;
pub use fill::{Element, ExternalTensor, Source, fill};
pub use kind::{Block, Kind};
pub use tensor::Tensor;
pub use value::{Array, Value};
