//! Element types of tensors, in files and in memory.

use std::fmt;

use onnx_import::{DataType, Minifloat};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// IEEE double precision.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 64-bit integer.
    U64,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 8-bit integer.
    U8,
    /// One byte: 0 is false, anything else is true.
    Bool,
    /// Signed 4-bit integer, two to a byte, the first in the low half.
    I4,
    /// Unsigned 4-bit integer, two to a byte, the first in the low half.
    U4,
    /// Signed 2-bit integer, four to a byte, the first in the lowest bits.
    I2,
    /// Unsigned 2-bit integer, four to a byte, the first in the lowest bits.
    U2,
    /// 8-bit float, finite and NaN, bias 7.
    F8E4M3Fn,
    /// 8-bit float, finite and NaN, no negative zero, bias 8.
    F8E4M3FnUz,
    /// 8-bit float in the manner of IEEE, bias 15.
    F8E5M2,
    /// 8-bit float, finite and NaN, no negative zero, bias 16.
    F8E5M2FnUz,
    /// 4-bit float, finite, bias 1, two to a byte, the first in the low half.
    F4E2M1,
    /// A power of two or NaN.
    F8E8M0,
}

impl DType {
    /// Every element type.
    pub const ALL: [Self; 23] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F64,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
        Self::I4,
        Self::U4,
        Self::I2,
        Self::U2,
        Self::F8E4M3Fn,
        Self::F8E4M3FnUz,
        Self::F8E5M2,
        Self::F8E5M2FnUz,
        Self::F4E2M1,
        Self::F8E8M0,
    ];

    /// ONNX's element type; `None` for strings and complex numbers, which nothing here computes with.
    #[must_use]
    pub const fn of(dtype: DataType) -> Option<Self> {
        Some(match dtype {
            DataType::F32 => Self::F32,
            DataType::F16 => Self::F16,
            DataType::Bf16 => Self::BF16,
            DataType::F64 => Self::F64,
            DataType::I64 => Self::I64,
            DataType::I32 => Self::I32,
            DataType::I16 => Self::I16,
            DataType::I8 => Self::I8,
            DataType::U64 => Self::U64,
            DataType::U32 => Self::U32,
            DataType::U16 => Self::U16,
            DataType::U8 => Self::U8,
            DataType::Bool => Self::Bool,
            DataType::I4 => Self::I4,
            DataType::U4 => Self::U4,
            DataType::I2 => Self::I2,
            DataType::U2 => Self::U2,
            DataType::F8E4M3Fn => Self::F8E4M3Fn,
            DataType::F8E4M3FnUz => Self::F8E4M3FnUz,
            DataType::F8E5M2 => Self::F8E5M2,
            DataType::F8E5M2FnUz => Self::F8E5M2FnUz,
            DataType::F4E2M1 => Self::F4E2M1,
            DataType::F8E8M0 => Self::F8E8M0,
            DataType::String | DataType::Complex64 | DataType::Complex128 => return None,
        })
    }

    /// The format of a float of up to 8 bits.
    #[must_use]
    pub const fn minifloat(self) -> Option<Minifloat> {
        Some(match self {
            Self::F8E4M3Fn => Minifloat::E4M3FN,
            Self::F8E4M3FnUz => Minifloat::E4M3FNUZ,
            Self::F8E5M2 => Minifloat::E5M2,
            Self::F8E5M2FnUz => Minifloat::E5M2FNUZ,
            Self::F4E2M1 => Minifloat::E2M1,
            Self::F8E8M0 => Minifloat::E8M0,
            _ => return None,
        })
    }

    /// Bits that one element takes.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 64,
            Self::F32 | Self::I32 | Self::U32 => 32,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 16,
            Self::I8 | Self::U8 | Self::Bool => 8,
            Self::F8E4M3Fn | Self::F8E4M3FnUz | Self::F8E5M2 | Self::F8E5M2FnUz | Self::F8E8M0 => 8,
            Self::I4 | Self::U4 | Self::F4E2M1 => 4,
            Self::I2 | Self::U2 => 2,
        }
    }

    /// Bytes that `len` elements take, the last byte filled up; `None` if that is more than a `usize` counts.
    #[must_use]
    pub const fn size_bytes(self, len: usize) -> Option<usize> {
        match self.bits() {
            bits @ (2 | 4) => Some(len.div_ceil(8 / bits)),
            bits => len.checked_mul(bits / 8),
        }
    }

    /// Whether the elements are floating-point numbers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16) || self.minifloat().is_some()
    }

    /// Whether the elements are integers; `Bool` is not.
    #[must_use]
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, Self::Bool)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::I4 => "i4",
            Self::U4 => "u4",
            Self::I2 => "i2",
            Self::U2 => "u2",
            Self::F8E4M3Fn => "f8e4m3fn",
            Self::F8E4M3FnUz => "f8e4m3fnuz",
            Self::F8E5M2 => "f8e5m2",
            Self::F8E5M2FnUz => "f8e5m2fnuz",
            Self::F4E2M1 => "f4e2m1",
            Self::F8E8M0 => "f8e8m0",
        })
    }
}
