//! Whether two tensors are the same as ONNX's own runner sees it: numpy's `assert_allclose`.

use std::fmt::Display;

use engine::host::HostTensor;

/// How far floats may be apart: `|got - want| <= absolute + relative * |want|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Allowed whatever the value.
    pub absolute: f64,
    /// Allowed for each unit of the wanted value.
    pub relative: f64,
}

impl Tolerance {
    /// What ONNX's runner takes where a test's folder has no `data.json` (`onnx/backend/test/loader`); none of the
    /// folders that come with data has one.
    pub const ONNX: Self = Self { absolute: 1e-7, relative: 1e-3 };

    /// For the tests of an operator. What ONNX wants of a DFT is NumPy's, computed in f32, with 2e-7 where a sum is 0.
    #[must_use]
    pub fn of(operator: &str) -> Self {
        if operator == "DFT" { Self { absolute: 1e-6, ..Self::ONNX } } else { Self::ONNX }
    }
}

/// Type and shape must be the same, integers and truth values too; floats within the tolerance, NaN where NaN is.
///
/// # Errors
/// What differs, in words.
pub fn compare(got: &HostTensor, want: &HostTensor, tolerance: Tolerance) -> Result<(), String> {
    if got.dtype() != want.dtype() {
        return Err(format!("is {}, not {}", got.dtype(), want.dtype()));
    }
    if got.shape() != want.shape() {
        return Err(format!("has shape {:?}, not {:?}", got.shape(), want.shape()));
    }
    if !got.dtype().is_float() {
        return elements(&got.to_i64s(), &want.to_i64s(), |a, b| a == b);
    }
    let Tolerance { absolute, relative } = tolerance;
    elements(&got.to_f64s(), &want.to_f64s(), |a, b| {
        let near = b.is_finite() && (a - b).abs() <= absolute + relative * b.abs();
        a == b || near || (a.is_nan() && b.is_nan())
    })
}

fn elements<T: Copy + Display>(got: &[T], want: &[T], same: impl Fn(T, T) -> bool) -> Result<(), String> {
    let pairs = got.iter().zip(want).enumerate();
    let wrong: Vec<_> = pairs.filter(|(_, (a, b))| !same(**a, **b)).collect();
    wrong.first().map_or(Ok(()), |(at, (a, b))| {
        Err(format!("{} of {} elements differ; element {at} is {a}, not {b}", wrong.len(), want.len()))
    })
}

#[cfg(test)]
mod tests {
    use engine::{dtype::DType, host::HostTensor};

    use super::{Tolerance, compare};

    fn floats(values: &[f32]) -> HostTensor {
        HostTensor::from_f32(vec![values.len()], values).unwrap()
    }

    #[test]
    fn floats_are_near_and_the_rest_is_equal() {
        let same = |a: &HostTensor, b: &HostTensor| compare(a, b, Tolerance::ONNX).is_ok();
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert!(same(&floats(&[1.0009, 0.0, nan, inf]), &floats(&[1.0, 9e-8, nan, inf])));
        for (got, want) in
            [(1.002, 1.0), (2e-7, 0.0), (0.0, nan), (nan, 0.0), (inf, 1.0), (1.0, inf), (inf, -inf)]
        {
            assert!(!same(&floats(&[got]), &floats(&[want])), "{got} for {want}");
        }
        let integers = |values: &[i64]| HostTensor::from_i64(vec![values.len()], values).unwrap();
        assert!(same(&integers(&[10_000]), &integers(&[10_000])));
        assert!(!same(&integers(&[10_001]), &integers(&[10_000])));
        assert!(!same(&integers(&[1]), &integers(&[1]).cast(DType::I32)));
        assert!(!same(&floats(&[1.0]), &floats(&[1.0]).reshape(vec![1, 1]).unwrap()));
    }
}
