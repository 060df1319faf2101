//! Seeded tensors for operators' test cases.

use crate::{dtype::DType, host::HostTensor};

/// Pseudo-random bits (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn bits(seed: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
    .take(count)
}

#[expect(clippy::expect_used, reason = "called with as many values as the shape holds, on no input")]
fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> HostTensor {
    HostTensor::from_f64s(dtype, shape.to_vec(), values).expect("the shape holds these values")
}

/// `F32` numbers in `low..high`, multiples of 1/1024 of the range, so that f16 holds them too.
#[must_use]
pub fn floats_in(shape: &[usize], seed: u64, low: f64, high: f64) -> HostTensor {
    let len = shape.iter().product();
    let values: Vec<f64> = bits(seed, len).map(|b| low + (high - low) * (b % 1024) as f64 / 1024.0).collect();
    tensor(DType::F32, shape, &values)
}

/// `F32` numbers in `-2..2`.
#[must_use]
pub fn floats(shape: &[usize], seed: u64) -> HostTensor {
    floats_in(shape, seed, -2.0, 2.0)
}

/// `I64` numbers in `low..high`.
#[must_use]
pub fn integers_in(shape: &[usize], seed: u64, low: i64, high: i64) -> HostTensor {
    let len = shape.iter().product();
    let span = (high - low).max(1) as u64;
    let values: Vec<f64> = bits(seed, len).map(|b| (low + (b % span) as i64) as f64).collect();
    tensor(DType::I64, shape, &values)
}

/// Random booleans.
#[must_use]
pub fn booleans(shape: &[usize], seed: u64) -> HostTensor {
    let len = shape.iter().product();
    let values: Vec<f64> = bits(seed, len).map(|b| (b >> 17 & 1) as f64).collect();
    tensor(DType::Bool, shape, &values)
}

/// A tensor of the given elements; missing ones are 0.
#[must_use]
pub fn of(dtype: DType, shape: &[usize], values: &[f64]) -> HostTensor {
    let len = shape.iter().product();
    let values: Vec<f64> = values.iter().copied().chain(std::iter::repeat(0.0)).take(len).collect();
    tensor(dtype, shape, &values)
}

/// A vector of `I64`: axes, shapes, indices.
#[must_use]
pub fn list(values: &[i64]) -> HostTensor {
    let wide: Vec<f64> = values.iter().map(|v| *v as f64).collect();
    tensor(DType::I64, &[values.len()], &wide)
}

/// A scalar.
#[must_use]
pub fn scalar(dtype: DType, value: f64) -> HostTensor {
    tensor(dtype, &[], &[value])
}
