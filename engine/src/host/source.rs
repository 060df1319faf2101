//! Where the rows of a weight matrix come from, a few at a time, so that a large matrix never lies in memory as floats.

use std::borrow::Cow;

use bytes::Bytes;
use half::{bf16, f16};

use super::{Affine, GroupSize, HostError, HostTensor, WeightFormat};
use crate::dtype::DType;

/// A matrix `[n, k]` that is read in runs of rows, from several threads.
pub trait RowSource: Sync {
    /// Rows `n` and weights in a row `k`.
    fn size(&self) -> (usize, usize);

    /// Writes the rows from `first` on to `out`, `[rows, k]`; `out` holds whole rows that exist.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError>;

    /// The codes of this format, if the weights are stored as such: they are then packed as they are.
    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        let _ = format;
        None
    }
}

impl<T: RowSource + Clone> RowSource for Cow<'_, T> {
    fn size(&self) -> (usize, usize) {
        (**self).size()
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        (**self).read(first, out)
    }

    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        (**self).codes(format)
    }
}

/// A matrix whose weights are codes on the grid of a packed format.
pub trait CodeSource: Sync {
    /// Writes the codes of a row, and scale and bias of each of its groups.
    ///
    /// # Errors
    /// If half precision does not hold them.
    fn read_codes(
        &self,
        row: usize,
        group: GroupSize,
        codes: &mut [u8],
        scales: &mut [Affine],
    ) -> Result<(), HostError>;
}

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// `[n, k]`: a row's weights are neighbours, as in PyTorch's `Linear`.
    RowsFirst,
    /// `[k, n]`: a row is a column of the stored matrix, as the right-hand side of an ONNX `MatMul`.
    ColumnsFirst,
}

impl Orientation {
    /// Of a matrix that may be stored the other way round, `[k, n]`.
    #[must_use]
    pub fn of(transposed: bool) -> Self {
        if transposed { Self::ColumnsFirst } else { Self::RowsFirst }
    }
}

/// A matrix over the bytes of a tensor.
#[derive(Debug, Clone)]
pub struct StoredMatrix {
    data: Bytes,
    dtype: DType,
    orientation: Orientation,
    n: usize,
    k: usize,
}

impl StoredMatrix {
    /// The rows of a tensor `[n, k]` or `[k, n]`.
    ///
    /// # Errors
    /// If it is not two-dimensional, or its elements are not `F32`, `F16` or `BF16`.
    pub fn new(tensor: &HostTensor, orientation: Orientation) -> Result<Self, HostError> {
        let (&[a, b], dtype @ (DType::F32 | DType::F16 | DType::BF16)) = (tensor.shape(), tensor.dtype())
        else {
            return Err(HostError::NotAMatrix { dtype: tensor.dtype(), shape: tensor.shape().to_vec() });
        };
        let (n, k) = match orientation {
            Orientation::RowsFirst => (a, b),
            Orientation::ColumnsFirst => (b, a),
        };
        Ok(Self { data: tensor.data().clone(), dtype, orientation, n, k })
    }

    fn read_as<const N: usize>(&self, first: usize, out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
        let elements = self.data.as_chunks::<N>().0;
        match self.orientation {
            Orientation::RowsFirst => {
                for (out, bytes) in out.iter_mut().zip(elements.iter().skip(first * self.k)) {
                    *out = decode(*bytes);
                }
            }
            Orientation::ColumnsFirst => {
                let rows = out.len().checked_div(self.k).unwrap_or(0);
                for (column, line) in elements.chunks(self.n.max(1)).enumerate() {
                    for (row, bytes) in line.iter().skip(first).take(rows).enumerate() {
                        out[row * self.k + column] = decode(*bytes);
                    }
                }
            }
        }
    }
}

impl RowSource for StoredMatrix {
    fn size(&self) -> (usize, usize) {
        (self.n, self.k)
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        match self.dtype {
            DType::F16 => self.read_as(first, out, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.read_as(first, out, |b| bf16::from_le_bytes(b).to_f32()),
            _ => self.read_as(first, out, f32::from_le_bytes),
        }
        Ok(())
    }
}
