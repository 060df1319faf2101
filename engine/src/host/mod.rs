//! Data in host memory: tensors, weight quantisation, packed layouts and the packed model file.
//!
//! Nothing here knows about graphs or GPUs. [`HostTensor`] is a typed array over shared bytes. A weight matrix
//! `[n, k]` (rows are outputs, `k` is summed over) is read through a [`RowSource`], quantised group by group
//! ([`m0e4`], [`affine8`]) and laid out for the kernels as a [`PackedWeight`].

mod error;
mod format;
mod tensor;

pub use error::HostError;
pub use format::{GroupSize, WeightFormat};
pub use tensor::HostTensor;
