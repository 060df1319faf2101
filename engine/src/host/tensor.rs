//! A tensor in host memory: element type, shape, and shared little-endian bytes.

use bytes::Bytes;
use half::{bf16, f16};

use super::HostError;
use crate::dtype::DType;

/// A dense row-major tensor. Its bytes always match its type and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

impl HostTensor {
    /// A tensor over `data`, little endian, row major, elements of 4 and 2 bits several to a byte.
    ///
    /// # Errors
    /// If the bytes are not exactly those that type and shape ask for.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Bytes) -> Result<Self, HostError> {
        let expected = byte_count(dtype, &shape)?;
        if data.len() != expected {
            return Err(HostError::ByteCount { dtype, shape, expected, actual: data.len() });
        }
        Ok(Self { dtype, shape, data })
    }

    /// An `F32` tensor.
    ///
    /// # Errors
    /// If the number of values is not the shape's.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Result<Self, HostError> {
        check_count(&shape, values.len())?;
        Self::new(DType::F32, shape, flat(values.iter().copied(), f32::to_le_bytes))
    }

    /// An `I64` tensor.
    ///
    /// # Errors
    /// If the number of values is not the shape's.
    pub fn from_i64(shape: Vec<usize>, values: &[i64]) -> Result<Self, HostError> {
        check_count(&shape, values.len())?;
        Self::new(DType::I64, shape, flat(values.iter().copied(), i64::to_le_bytes))
    }

    /// A tensor of any type from doubles: floats are rounded to nearest even (too large becomes infinite, or NaN in types
    /// without infinity), integers are truncated toward zero and held at the ends of their range (NaN becomes 0), `Bool` is whether the value is not 0.
    ///
    /// # Errors
    /// If the number of values is not the shape's.
    pub fn from_f64s(dtype: DType, shape: Vec<usize>, values: &[f64]) -> Result<Self, HostError> {
        check_count(&shape, values.len())?;
        Self::new(dtype, shape, encode_floats(dtype, values.iter().copied()))
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Size of each dimension; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements' bytes.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// If that shape holds another number of elements.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, HostError> {
        check_count(&shape, self.len())?;
        Ok(Self { shape, ..self })
    }

    /// The elements as doubles: exact, but for 64-bit integers beyond 2^53, which are rounded. False is 0, true is 1.
    #[must_use]
    pub fn to_f64s(&self) -> Vec<f64> {
        match self.dtype {
            DType::F64 => self.read(f64::from_le_bytes),
            DType::F32 => self.read(|b| f64::from(f32::from_le_bytes(b))),
            DType::F16 => self.read(|b| f64::from(f16::from_le_bytes(b))),
            DType::BF16 => self.read(|b| f64::from(bf16::from_le_bytes(b))),
            dtype => match dtype.minifloat() {
                Some(format) => self.codes().map(|code| format.decode(code).into()).collect(),
                None => self.integers().into_iter().map(|v| v as f64).collect(),
            },
        }
    }

    /// Whether it is of integers, all 0 or 1: a mask.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        self.dtype().is_int() && self.to_i64s().iter().all(|v| matches!(v, 0 | 1))
    }

    /// The elements in single precision, rounded to nearest even.
    #[must_use]
    pub fn to_f32s(&self) -> Vec<f32> {
        match self.dtype {
            DType::F32 => self.read(f32::from_le_bytes),
            dtype if dtype.is_float() => self.to_f64s().into_iter().map(|v| v as f32).collect(),
            _ => self.integers().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// The elements as integers, with the rules of [`HostTensor::cast`].
    #[must_use]
    pub fn to_i64s(&self) -> Vec<i64> {
        if self.dtype.is_float() {
            self.to_f64s().into_iter().map(|v| v as i64).collect()
        } else {
            self.integers().into_iter().map(|v| v as i64).collect()
        }
    }

    /// ONNX `Cast`: between integers the low bits are kept; a float becomes an integer by truncation toward zero, and out
    /// of range (which ONNX leaves undefined) the nearest end of the range, NaN 0, where fewer than 32 bits keep the low
    /// ones of the 32-bit integer, as ONNX's tests want of 4 bits; floats are rounded to nearest even; `Bool` is whether
    /// the element is not 0.
    #[must_use]
    pub fn cast(&self, dtype: DType) -> Self {
        let data = if dtype == self.dtype {
            self.data.clone()
        } else if self.dtype.is_float() && dtype.is_int() && dtype.bits() < 32 {
            encode_integers(dtype, self.to_f64s().into_iter().map(|v| (v as i32).into()))
        } else if self.dtype.is_float() {
            encode_floats(dtype, self.to_f64s().into_iter())
        } else if dtype == DType::F32 {
            flat(self.to_f32s().into_iter(), f32::to_le_bytes)
        } else if dtype.is_float() {
            encode_floats(dtype, self.to_f64s().into_iter())
        } else {
            encode_integers(dtype, self.integers().into_iter())
        };
        Self { dtype, shape: self.shape.clone(), data }
    }

    fn read<const N: usize, T>(&self, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.data.as_chunks::<N>().0.iter().map(|bytes| decode(*bytes)).collect()
    }

    /// Elements of an integer or `Bool` tensor; empty for floats.
    fn integers(&self) -> Vec<i128> {
        match self.dtype {
            DType::I64 => self.read(|b| i64::from_le_bytes(b).into()),
            DType::I32 => self.read(|b| i32::from_le_bytes(b).into()),
            DType::I16 => self.read(|b| i16::from_le_bytes(b).into()),
            DType::I8 => self.read(|b| i8::from_le_bytes(b).into()),
            DType::U64 => self.read(|b| u64::from_le_bytes(b).into()),
            DType::U32 => self.read(|b| u32::from_le_bytes(b).into()),
            DType::U16 => self.read(|b| u16::from_le_bytes(b).into()),
            DType::U8 => self.read(|b| u8::from_le_bytes(b).into()),
            DType::Bool => self.read(|[b]| (b != 0).into()),
            DType::I4 => self.codes().map(|b| (((b << 4) as i8) >> 4).into()).collect(),
            DType::I2 => self.codes().map(|b| (((b << 6) as i8) >> 6).into()).collect(),
            DType::U4 | DType::U2 => self.codes().map(i128::from).collect(),
            _ => Vec::new(),
        }
    }

    /// The elements of a type of up to 8 bits, each in the low bits of a byte.
    fn codes(&self) -> impl Iterator<Item = u8> {
        let bits = self.dtype.bits();
        let mask = ((1u16 << bits) - 1) as u8;
        let codes =
            self.data.iter().flat_map(move |byte| (0..8 / bits).map(move |i| byte >> (i * bits) & mask));
        codes.take(self.len())
    }
}

fn byte_count(dtype: DType, shape: &[usize]) -> Result<usize, HostError> {
    shape
        .iter()
        .try_fold(1usize, |len, &dim| len.checked_mul(dim))
        .and_then(|len| dtype.size_bytes(len))
        .ok_or_else(|| HostError::TooLarge { dtype, shape: shape.to_vec() })
}

fn check_count(shape: &[usize], actual: usize) -> Result<(), HostError> {
    let expected = byte_count(DType::U8, shape)?;
    if expected == actual {
        return Ok(());
    }
    Err(HostError::ElementCount { shape: shape.to_vec(), expected, actual })
}

fn flat<T, const N: usize>(values: impl Iterator<Item = T>, encode: impl Fn(T) -> [u8; N]) -> Bytes {
    values.flat_map(encode).collect::<Vec<u8>>().into()
}

/// Codes of up to 8 bits, of which the low bits count, as many to a byte as fit.
fn packed(dtype: DType, codes: impl Iterator<Item = u8>) -> Bytes {
    let (bits, codes) = (dtype.bits(), codes.collect::<Vec<u8>>());
    let mask = ((1u16 << bits) - 1) as u8;
    let byte =
        |codes: &[u8]| codes.iter().enumerate().fold(0, |byte, (i, code)| byte | (code & mask) << (i * bits));
    codes.chunks(8 / bits).map(byte).collect::<Vec<u8>>().into()
}

fn encode_floats(dtype: DType, values: impl Iterator<Item = f64>) -> Bytes {
    match dtype {
        DType::F64 => flat(values, f64::to_le_bytes),
        DType::F32 => flat(values, |v| (v as f32).to_le_bytes()),
        DType::F16 => flat(values, |v| f16::from_f32(round_to_odd(v)).to_le_bytes()),
        DType::BF16 => flat(values, |v| bf16::from_f32(round_to_odd(v)).to_le_bytes()),
        DType::I64 => flat(values, |v| (v as i64).to_le_bytes()),
        DType::I32 => flat(values, |v| (v as i32).to_le_bytes()),
        DType::I16 => flat(values, |v| (v as i16).to_le_bytes()),
        DType::I8 => flat(values, |v| (v as i8).to_le_bytes()),
        DType::U64 => flat(values, |v| (v as u64).to_le_bytes()),
        DType::U32 => flat(values, |v| (v as u32).to_le_bytes()),
        DType::U16 => flat(values, |v| (v as u16).to_le_bytes()),
        DType::U8 => flat(values, |v| (v as u8).to_le_bytes()),
        DType::Bool => flat(values, |v| [u8::from(v != 0.0)]),
        DType::I4 => packed(dtype, values.map(|v| v.clamp(-8.0, 7.0) as i8 as u8)),
        DType::U4 => packed(dtype, values.map(|v| v.clamp(0.0, 15.0) as u8)),
        DType::I2 => packed(dtype, values.map(|v| v.clamp(-2.0, 1.0) as i8 as u8)),
        DType::U2 => packed(dtype, values.map(|v| v.clamp(0.0, 3.0) as u8)),
        _ => packed(dtype, values.map(|v| dtype.minifloat().map_or(0, |format| format.encode(v)))),
    }
}

/// Keeps the low bits; for integer types and `Bool` only, float types go through [`encode_floats`].
fn encode_integers(dtype: DType, values: impl Iterator<Item = i128>) -> Bytes {
    match dtype {
        DType::I64 | DType::U64 => flat(values, |v| (v as u64).to_le_bytes()),
        DType::I32 | DType::U32 => flat(values, |v| (v as u32).to_le_bytes()),
        DType::I16 | DType::U16 => flat(values, |v| (v as u16).to_le_bytes()),
        DType::I8 | DType::U8 => flat(values, |v| (v as u8).to_le_bytes()),
        DType::Bool => flat(values, |v| [u8::from(v != 0)]),
        DType::I4 | DType::U4 | DType::I2 | DType::U2 => packed(dtype, values.map(|v| v as u8)),
        _ => encode_floats(dtype, values.map(|v| v as f64)),
    }
}

/// `f64` to `f32` such that rounding once more to a shorter float gives the nearest one: an inexact result has its last
/// bit set (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
fn round_to_odd(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) == value || value.is_nan() {
        return near;
    }
    let toward_zero = if f64::from(near).abs() > value.abs() { near.to_bits() - 1 } else { near.to_bits() };
    f32::from_bits(toward_zero | 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{DType, HostError, HostTensor};

    fn f64s(values: &[f64]) -> HostTensor {
        HostTensor::from_f64s(DType::F64, vec![values.len()], values).unwrap()
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let data = bytes::Bytes::from_static(&[0; 12]);
        assert!(HostTensor::new(DType::F32, vec![3], data.clone()).is_ok());
        assert!(matches!(
            HostTensor::new(DType::F32, vec![4], data.clone()),
            Err(HostError::ByteCount { expected: 16, actual: 12, .. })
        ));
        let huge = HostTensor::new(DType::F32, vec![usize::MAX, 2], data);
        assert!(matches!(huge, Err(HostError::TooLarge { .. })));
        assert!(matches!(
            HostTensor::from_i64(vec![2, 2], &[1]),
            Err(HostError::ElementCount { expected: 4, actual: 1, .. })
        ));
    }

    #[test]
    fn casts_follow_onnx() {
        let cases: &[(DType, &[f64], &[f64])] = &[
            (DType::I32, &[1.9, -1.9, 3e9, f64::NAN], &[1.0, -1.0, 2_147_483_647.0, 0.0]),
            (DType::U8, &[-1.0, 255.9, 257.0, f64::NAN], &[255.0, 255.0, 1.0, 0.0]),
            (DType::I16, &[32767.9, 32768.0, 1e10], &[32767.0, -32768.0, -1.0]),
            (DType::I4, &[-9.0, -8.0, 7.9, 15.0], &[7.0, -8.0, 7.0, -1.0]),
            (DType::U4, &[15.0, -9.0, 17.0], &[15.0, 7.0, 1.0]),
            (DType::Bool, &[0.0, -0.0, 0.5, f64::NAN], &[0.0, 0.0, 1.0, 1.0]),
            (DType::F16, &[65519.0, 65520.0, 2049.0, 2051.0], &[65504.0, f64::INFINITY, 2048.0, 2052.0]),
            (DType::BF16, &[257.0, 259.0], &[256.0, 260.0]),
        ];
        for (dtype, from, to) in cases {
            assert_eq!(f64s(from).cast(*dtype).to_f64s(), *to, "{dtype}");
        }
        let wide = HostTensor::from_i64(vec![3], &[-1, 256, 0x1_0000_0001]).unwrap();
        assert_eq!(wide.cast(DType::U8).to_i64s(), [255, 0, 1]);
        assert_eq!(wide.cast(DType::I4).to_i64s(), [-1, 0, 1]);
        assert_eq!(wide.cast(DType::Bool).to_i64s(), [1, 1, 1]);
        let large = HostTensor::from_i64(vec![1], &[0x7fff_ffbf_ffff_ffff]).unwrap();
        assert_eq!(large.cast(DType::F32).to_f32s(), [0x7fff_ffbf_ffff_ffff_i64 as f32]);
    }

    #[test]
    fn halves_are_rounded_once() {
        let just_above_a_tie = 2049.0 + 1e-9;
        assert_eq!(
            f64s(&[just_above_a_tie, -just_above_a_tie]).cast(DType::F16).to_f64s(),
            [2050.0, -2050.0]
        );
        assert_eq!(f64s(&[257.0 + 1e-9]).cast(DType::BF16).to_f64s(), [258.0]);
        assert_eq!(f64s(&[1e300]).cast(DType::BF16).to_f64s(), [f64::INFINITY]);
    }

    proptest! {
        #[test]
        fn small_integers_survive_every_wide_type(values in proptest::collection::vec(0i64..8, 0..40)) {
            let start = HostTensor::from_i64(vec![values.len()], &values).unwrap();
            // Those below 2 bits have none of these, powers of two no 0, and of 4 bits one is too short for 5 and 7.
            let wide = |d: &DType| !matches!(d, DType::Bool | DType::I2 | DType::U2 | DType::F4E2M1 | DType::F8E8M0);
            for dtype in DType::ALL.into_iter().filter(wide) {
                let there = start.cast(dtype);
                prop_assert_eq!(Some(there.data().len()), dtype.size_bytes(values.len()));
                prop_assert_eq!(there.to_i64s(), values.clone());
                prop_assert_eq!(there.cast(DType::I64), start.clone());
            }
        }

        #[test]
        fn signed_nibbles_survive(values in proptest::collection::vec(-8i64..8, 0..40)) {
            let there = HostTensor::from_i64(vec![values.len()], &values).unwrap().cast(DType::I4);
            prop_assert_eq!(there.to_i64s(), values);
        }

        #[test]
        fn halves_are_the_nearest(value in -70000f64..70000.0, scale in -30i32..1) {
            let value = value * f64::powi(2.0, scale);
            let half = half::f16::from_f64(f64s(&[value]).cast(DType::F16).to_f64s()[0]);
            let error = (half.to_f64() - value).abs();
            for step in [-1i16, 1] {
                let other = half::f16::from_bits(half.to_bits().wrapping_add_signed(step));
                if other.is_finite() && half.is_finite() && half.to_f64() != 0.0 {
                    proptest::prop_assert!(error <= (other.to_f64() - value).abs());
                }
            }
        }

        #[test]
        fn floats_survive_themselves(bits in any::<u32>()) {
            let tensor = HostTensor::from_f32(vec![], &[f32::from_bits(bits)]).unwrap();
            prop_assert_eq!(tensor.to_f32s()[0].to_bits(), bits);
        }
    }
}
