//! The element types of ONNX tensors.

use std::fmt;

use crate::ImportError;

macro_rules! data_types {
    ($($variant:ident = $number:literal, $name:literal, $bits:literal, $doc:literal;)*) => {
        /// The type of a tensor's elements. Names are those of Rust and of the OCP float formats.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DataType {
            $(#[doc = $doc] $variant,)*
        }

        impl DataType {
            /// Every element type, in the order of ONNX's numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The type of ONNX's number `TensorProto.DataType`.
            ///
            /// # Errors
            /// [`ImportError::UnknownDataType`] for 0 (undefined) and numbers that ONNX has not given out.
            pub fn from_onnx(number: i32) -> Result<Self, ImportError> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    _ => Err(ImportError::UnknownDataType { number }),
                }
            }

            /// ONNX's number, `TensorProto.DataType`.
            #[must_use]
            pub const fn to_onnx(self) -> i32 {
                match self { $(Self::$variant => $number,)* }
            }

            /// Bits of one element; 0 for strings, which have no fixed size.
            #[must_use]
            pub const fn bits(self) -> u32 {
                match self { $(Self::$variant => $bits,)* }
            }
        }

        impl fmt::Display for DataType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name,)* })
            }
        }
    };
}

data_types! {
    F32 = 1, "f32", 32, "IEEE single precision.";
    U8 = 2, "u8", 8, "Unsigned 8-bit integer.";
    I8 = 3, "i8", 8, "Signed 8-bit integer.";
    U16 = 4, "u16", 16, "Unsigned 16-bit integer.";
    I16 = 5, "i16", 16, "Signed 16-bit integer.";
    I32 = 6, "i32", 32, "Signed 32-bit integer.";
    I64 = 7, "i64", 64, "Signed 64-bit integer.";
    String = 8, "string", 0, "Byte strings, UTF-8 by convention.";
    Bool = 9, "bool", 8, "One byte; 0 is false, anything else is true.";
    F16 = 10, "f16", 16, "IEEE half precision.";
    F64 = 11, "f64", 64, "IEEE double precision.";
    U32 = 12, "u32", 32, "Unsigned 32-bit integer.";
    U64 = 13, "u64", 64, "Unsigned 64-bit integer.";
    Complex64 = 14, "complex64", 64, "Two `F32`, real part first.";
    Complex128 = 15, "complex128", 128, "Two `F64`, real part first.";
    Bf16 = 16, "bf16", 16, "The upper half of an `F32`.";
    F8E4M3Fn = 17, "f8e4m3fn", 8, "8-bit float, finite and NaN, bias 7.";
    F8E4M3FnUz = 18, "f8e4m3fnuz", 8, "8-bit float, finite and NaN, no negative zero, bias 8.";
    F8E5M2 = 19, "f8e5m2", 8, "8-bit float in the manner of IEEE, bias 15.";
    F8E5M2FnUz = 20, "f8e5m2fnuz", 8, "8-bit float, finite and NaN, no negative zero, bias 16.";
    U4 = 21, "u4", 4, "Unsigned 4-bit integer, two to a byte, the first in the low half.";
    I4 = 22, "i4", 4, "Signed 4-bit integer, two to a byte, the first in the low half.";
    F4E2M1 = 23, "f4e2m1", 4, "4-bit float, finite, bias 1, two to a byte, the first in the low half.";
    F8E8M0 = 24, "f8e8m0", 8, "A power of two, 2^(bits - 127); 255 is NaN.";
    U2 = 25, "u2", 2, "Unsigned 2-bit integer, four to a byte, the first in the lowest bits.";
    I2 = 26, "i2", 2, "Signed 2-bit integer, four to a byte, the first in the lowest bits.";
}

impl DataType {
    /// Bytes that `len` elements take, the last byte filled up; `None` for strings and when it does not fit in `u64`.
    #[must_use]
    pub const fn size_bytes(self, len: u64) -> Option<u64> {
        match self.bits() {
            0 => None,
            bits @ (2 | 4) => Some(len.div_ceil(8 / bits as u64)),
            bits => len.checked_mul(bits as u64 / 8),
        }
    }
}
