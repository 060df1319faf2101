//! Constant tensors: element type, sizes and bytes that are shared with the file.

use bytes::Bytes;

use crate::{DataType, ImportError, SafeLocation};

/// A constant. The data has the length that `dtype` and `dims` ask for: [`Tensor::new`] and the importer see to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type.
    pub dtype: DataType,
    /// Sizes, outermost axis first; empty for a scalar.
    pub dims: Vec<u64>,
    /// The elements.
    pub data: TensorData,
}

/// The elements of a [`Tensor`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Little-endian elements without gaps; types under 8 bits share bytes, the first element in the lowest bits.
    Bytes(Bytes),
    /// The elements of a [`DataType::String`] tensor.
    Strings(Vec<Bytes>),
    /// Left in an external file, which was not read.
    Absent(ExternalRange),
}

/// Bytes of an external file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalRange {
    /// The file, relative to the model's folder.
    pub location: SafeLocation,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Tensor {
    /// Greatest number of axes.
    pub const MAX_RANK: usize = 64;

    /// A tensor of raw little-endian bytes.
    ///
    /// # Errors
    /// When the number of bytes is not what type and sizes ask for, or the type is `String`.
    pub fn new(dtype: DataType, dims: Vec<u64>, bytes: Bytes) -> Result<Self, ImportError> {
        if dtype == DataType::String {
            return Err(ImportError::DataField { dtype, field: "raw_data" });
        }
        let expected = size_bytes(dtype, &dims)?;
        let found = bytes.len() as u64;
        if expected != found {
            return Err(ImportError::DataLength { dtype, dims, expected, found, unit: "bytes" });
        }
        Ok(Self { dtype, dims, data: TensorData::Bytes(bytes) })
    }

    /// Number of elements.
    ///
    /// Saturates where a tensor was put together by hand with sizes whose product does not fit.
    #[must_use]
    pub fn len(&self) -> u64 {
        element_count(self.dtype, &self.dims).unwrap_or(u64::MAX)
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dims.contains(&0)
    }

    /// The raw elements, see [`TensorData::Bytes`].
    ///
    /// # Errors
    /// For strings, and for data that was left in an external file.
    pub fn bytes(&self) -> Result<&Bytes, ImportError> {
        match &self.data {
            TensorData::Bytes(bytes) => Ok(bytes),
            TensorData::Strings(_) => Err(ImportError::NotNumbers { dtype: self.dtype, wanted: "raw bytes" }),
            TensorData::Absent(range) => Err(ImportError::Absent { location: range.location.to_string() }),
        }
    }
}

/// Number of elements; an error when it does not fit in `u64`.
///
/// A size of 0 makes an empty tensor, however large the other sizes are.
pub(crate) fn element_count(dtype: DataType, dims: &[u64]) -> Result<u64, ImportError> {
    if dims.contains(&0) {
        return Ok(0);
    }
    let product = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim));
    product.ok_or_else(|| ImportError::TooLarge { dtype, dims: dims.to_vec() })
}

/// Bytes of the elements; an error when it does not fit in `u64`.
pub(crate) fn size_bytes(dtype: DataType, dims: &[u64]) -> Result<u64, ImportError> {
    let len = element_count(dtype, dims)?;
    dtype.size_bytes(len).ok_or_else(|| ImportError::TooLarge { dtype, dims: dims.to_vec() })
}
