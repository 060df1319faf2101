//! Index arithmetic on host tensors: what operator references and the tracking of known contents share.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
};

/// Elements of a row-major tensor in some order: an offset, and a size and stride for each dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The first element.
    pub offset: i64,
    /// Size and stride of each dimension, outermost first.
    pub dims: Vec<(usize, i64)>,
}

impl Positions {
    /// All elements of a tensor, in their order.
    #[must_use]
    pub fn all(shape: &[usize]) -> Self {
        let mut stride = 1;
        let mut dims: Vec<(usize, i64)> = Vec::with_capacity(shape.len());
        for size in shape.iter().rev() {
            dims.push((*size, stride));
            // Beyond what a tensor can hold only where another size is 0, and nothing is walked.
            stride = stride.saturating_mul(i64::try_from(*size).unwrap_or(i64::MAX));
        }
        dims.reverse();
        Self { offset: 0, dims }
    }

    /// Repeated to `shape` by NumPy's broadcasting.
    ///
    /// # Errors
    /// When a size neither is 1 nor fits.
    pub fn broadcast(self, shape: &[usize]) -> Result<Self, OpError> {
        let from: Vec<usize> = self.dims.iter().map(|d| d.0).collect();
        let fail = || invalid(format!("shape {from:?} does not broadcast to {shape:?}"));
        let extra = shape.len().checked_sub(from.len()).ok_or_else(fail)?;
        let mut dims = Vec::with_capacity(shape.len());
        for (at, size) in shape.iter().enumerate() {
            dims.push(match at.checked_sub(extra).map(|i| self.dims[i]) {
                Some(dim) if dim.0 == *size => dim,
                Some(dim) if dim.0 != 1 => return Err(fail()),
                _ => (*size, 0),
            });
        }
        Ok(Self { offset: self.offset, dims })
    }

    /// The flat index of every element, row-major; `usize::MAX`, which [`pick`] refuses, for one before the tensor's start.
    #[must_use]
    pub fn list(&self) -> Vec<usize> {
        if self.dims.iter().any(|(size, _)| *size == 0) {
            return Vec::new();
        }
        let mut list = vec![self.offset];
        for (size, stride) in &self.dims {
            list = list.iter().flat_map(|base| (0..*size as i64).map(move |i| base + i * stride)).collect();
        }
        list.into_iter().map(|at| usize::try_from(at).unwrap_or(usize::MAX)).collect()
    }
}

/// Row-major strides.
#[must_use]
pub fn strides(shape: &[usize]) -> Vec<usize> {
    Positions::all(shape).dims.into_iter().map(|(_, stride)| stride as usize).collect()
}

/// The shape that shapes broadcast to.
///
/// # Errors
/// When they do not.
pub fn broadcast_sizes(shapes: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (size, slot) in shape.iter().rev().zip(out.iter_mut().rev()) {
            if *slot == 1 {
                *slot = *size;
            } else if *size != 1 && *size != *slot {
                return Err(invalid(format!("shapes {shapes:?} do not broadcast together")));
            }
        }
    }
    Ok(out)
}

/// Elements before, along and after an axis of a tensor's shape.
#[must_use]
pub fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    let elements = |dims: &[usize]| dims.iter().fold(1usize, |n, dim| n.saturating_mul(*dim));
    [elements(&shape[..axis]), shape[axis], elements(&shape[axis + 1..])]
}

/// A required input of a reference.
///
/// # Errors
/// When it is left out.
pub fn given<'a>(inputs: &[Option<&'a HostTensor>], index: usize) -> Result<&'a HostTensor, OpError> {
    optional(inputs, index).ok_or(OpError::MissingInput { index })
}

/// An optional input of a reference.
#[must_use]
pub fn optional<'a>(inputs: &[Option<&'a HostTensor>], index: usize) -> Option<&'a HostTensor> {
    inputs.get(index).copied().flatten()
}

/// A tensor of elements of `from`, by flat index.
///
/// # Errors
/// When an index is outside, or the shape does not hold as many.
pub fn pick(from: &HostTensor, shape: Vec<usize>, positions: &[usize]) -> Result<HostTensor, OpError> {
    if positions.iter().any(|p| *p >= from.len()) {
        return Err(invalid(format!("an index is outside a tensor of shape {:?}", from.shape())));
    }
    if from.dtype().is_float() {
        let all = from.to_f64s();
        return floats(from.dtype(), shape, &positions.iter().map(|p| all[*p]).collect::<Vec<_>>());
    }
    let all = from.to_i64s();
    integers(from.dtype(), shape, &positions.iter().map(|p| all[*p]).collect::<Vec<_>>())
}

/// A tensor of any type from doubles.
///
/// # Errors
/// When the shape does not hold as many.
pub fn floats(dtype: DType, shape: Vec<usize>, values: &[f64]) -> Result<HostTensor, OpError> {
    Ok(HostTensor::from_f64s(dtype, shape, values)?)
}

/// A tensor of any type from integers, of which the low bits are kept.
///
/// # Errors
/// When the shape does not hold as many.
pub fn integers(dtype: DType, shape: Vec<usize>, values: &[i64]) -> Result<HostTensor, OpError> {
    let wide = HostTensor::from_i64(shape, values)?;
    Ok(if dtype == DType::I64 { wide } else { wide.cast(dtype) })
}

/// A shape as numbers, if it names no symbol.
#[must_use]
pub fn fixed(shape: &[Expr]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.constant().and_then(|n| usize::try_from(n).ok())).collect()
}

/// The fact of elements of `from` in a new arrangement; its content moves along if it is known.
///
/// # Errors
/// What `positions`, given the shape of `from` in numbers, returns.
pub fn moved(
    from: &Fact,
    shape: Vec<Expr>,
    positions: impl FnOnce(&[usize]) -> Result<Vec<usize>, OpError>,
) -> Result<Fact, OpError> {
    let mut fact = Fact::new(from.dtype, shape);
    if let (Some(content), Some(sizes)) = (&from.content, fixed(&from.shape)) {
        fact.content =
            positions(&sizes)?.into_iter().map(|p| content.get(p).cloned()).collect::<Option<Arc<_>>>();
    }
    Ok(fact)
}

#[cfg(test)]
mod tests {
    use super::{DType, HostTensor, Positions, around, pick};

    #[test]
    fn positions_follow_offset_and_strides() {
        assert_eq!(Positions::all(&[2, 3]).list(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Positions::all(&[3]).broadcast(&[2, 3]).unwrap().list(), [0, 1, 2, 0, 1, 2]);
        assert_eq!(Positions { offset: 5, dims: vec![(3, -2)] }.list(), [5, 3, 1]);
        assert_eq!(Positions::all(&[]).list(), [0]);
    }

    #[test]
    fn what_lies_before_the_start_is_refused() {
        let before = Positions { offset: 1, dims: vec![(3, -1)] }.list();
        assert_eq!(before, [1, 0, usize::MAX]);
        let tensor = HostTensor::from_i64(vec![2], &[7, 8]).unwrap();
        assert!(pick(&tensor, vec![3], &before).is_err());
    }

    #[test]
    fn huge_sizes_beside_an_empty_one_walk_nothing() {
        let shape = [1 << 40, 0, 1 << 40, 1 << 40];
        assert!(Positions::all(&shape).list().is_empty());
        assert_eq!(around(&shape, 1), [1 << 40, 0, usize::MAX]);
        let empty = HostTensor::from_f64s(DType::F32, vec![0, 1 << 40, 1 << 40], &[]).unwrap();
        assert!(empty.is_empty());
    }
}
