//! Data in host memory: tensors, weight quantisation, packed layouts and the packed model file.
//!
//! Nothing here knows about graphs or GPUs. [`HostTensor`] is a typed array over shared bytes. A weight matrix
//! `[n, k]` (rows are outputs, `k` is summed over) is read through a [`RowSource`], quantised group by group
//! ([`m0e4`], [`affine8`]) and laid out for the kernels as a [`PackedWeight`] by [`pack()`]. A model of packed weights is
//! one file, written by [`ModelWriter`] and opened in place by [`PackedModel`].

mod affine;
pub mod affine8;
mod blocks;
mod container;
mod error;
pub mod f8;
mod format;
pub mod m0e4;
mod mapped;
mod merged;
mod noise;
mod pack;
mod packed;
mod range;
mod search;
mod source;
mod tensor;

pub use affine::Affine;
pub use blocks::{BlockGrid, BlockMatrix, Numbers};
pub use container::{Contents, ModelWriter, PackedModel, WeightSpec};
pub use error::HostError;
pub use format::{GroupSize, WeightFormat};
pub use m0e4::Fit;
pub use mapped::MappedFile;
pub use merged::{MergedSource, RowOf};
pub use noise::Noise;
pub use pack::pack;
pub use packed::{PackedWeight, packed_bytes};
pub use source::{CodeSource, Orientation, RowSource, StoredMatrix};
pub use tensor::HostTensor;
