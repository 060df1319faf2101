//! Small tensors as plain numbers.

use bytes::Bytes;
use half::{bf16, f16};

use crate::{DataType, ImportError, Minifloat, Tensor};

impl Tensor {
    /// The elements as `f32`, rounded where the type is wider. For constants of an operator, not for weights.
    ///
    /// # Errors
    /// For strings, complex numbers, and data that was left in an external file.
    pub fn to_f32s(&self) -> Result<Vec<f32>, ImportError> {
        let bytes = self.bytes()?;
        let floats = match self.dtype {
            DataType::F32 => words(bytes, f32::from_le_bytes),
            DataType::F64 => words(bytes, |b| f64::from_le_bytes(b) as f32),
            DataType::F16 => words(bytes, |b| f16::from_le_bytes(b).to_f32()),
            DataType::Bf16 => words(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            DataType::U64 => words(bytes, |b| u64::from_le_bytes(b) as f32),
            dtype => match Minifloat::of(dtype) {
                Some(format) => self.codes(bytes).map(|code| format.decode(code)).collect(),
                None => self.integers(bytes, "floats")?.into_iter().map(|i| i as f32).collect(),
            },
        };
        Ok(floats)
    }

    /// The elements as `i64`; of booleans, 0 and 1. For constants of an operator, not for weights.
    ///
    /// # Errors
    /// For types that are no integers, for `u64` above `i64::MAX`, and for data that was left in an external file.
    pub fn to_i64s(&self) -> Result<Vec<i64>, ImportError> {
        self.integers(self.bytes()?, "integers")
    }

    fn integers(&self, bytes: &Bytes, wanted: &'static str) -> Result<Vec<i64>, ImportError> {
        let dtype = self.dtype;
        Ok(match dtype {
            DataType::I64 => words(bytes, i64::from_le_bytes),
            DataType::I32 => words(bytes, |b| i32::from_le_bytes(b).into()),
            DataType::I16 => words(bytes, |b| i16::from_le_bytes(b).into()),
            DataType::I8 => words(bytes, |b| i8::from_le_bytes(b).into()),
            DataType::U32 => words(bytes, |b| u32::from_le_bytes(b).into()),
            DataType::U16 => words(bytes, |b| u16::from_le_bytes(b).into()),
            DataType::U8 => words(bytes, |[b]| b.into()),
            DataType::Bool => words(bytes, |[b]| (b != 0).into()),
            DataType::U4 | DataType::U2 => self.codes(bytes).map(i64::from).collect(),
            DataType::I4 => self.codes(bytes).map(|code| i64::from((code << 4) as i8 >> 4)).collect(),
            DataType::I2 => self.codes(bytes).map(|code| i64::from((code << 6) as i8 >> 6)).collect(),
            DataType::U64 => {
                let all: Vec<u64> = words(bytes, u64::from_le_bytes);
                let signed = |(index, value): (usize, u64)| {
                    let error = ImportError::OutOfRange { dtype: DataType::I64, index, value: value.into() };
                    i64::try_from(value).map_err(|_| error)
                };
                all.into_iter().enumerate().map(signed).collect::<Result<_, _>>()?
            }
            _ => return Err(ImportError::NotNumbers { dtype, wanted }),
        })
    }

    /// The elements of a type of up to 8 bits, each in the low bits of a byte.
    fn codes(&self, bytes: &Bytes) -> impl Iterator<Item = u8> {
        let bits = self.dtype.bits();
        let mask = ((1u16 << bits) - 1) as u8;
        let codes = bytes.iter().flat_map(move |byte| (0..8 / bits).map(move |i| byte >> (i * bits) & mask));
        codes.take(usize::try_from(self.len()).unwrap_or(usize::MAX))
    }
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}
