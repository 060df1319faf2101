//! DFT, the discrete Fourier transform along an axis: a product with a matrix of sines and cosines.

use std::{f64::consts::TAU, sync::Arc};

use super::{
    concat::Concat, matmul::MatMul, reshape::Reshape, shape::Shape, slice::Slice, transpose::Transpose,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, Infer, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Numbers that a matrix may have.
const MATRIX: usize = 1 << 24;

/// Inputs: numbers, whose last dimension is 1 (real) or 2 (real and imaginary); the transform's length, the axis' size when
/// left out; the axis, in opset 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dft {
    /// The axis where it is no input.
    pub axis: i64,
    /// From frequencies, with `1 / length`.
    pub inverse: bool,
    /// Of frequencies only the first half and one, which tell the others of a real signal; of the inverse this is its input.
    pub onesided: bool,
}

/// Sizes of the matrix: `[places, parts]` to `[places, parts]`, parts being 1 of real numbers and 2 of complex ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    length: usize,
    from: [usize; 2],
    to: [usize; 2],
}

impl Dft {
    /// Sizes for an axis of `size`.
    fn sizes(self, size: usize, parts: usize, length: Option<i64>) -> Result<Sizes, OpError> {
        let real = self.inverse && self.onesided;
        let length = match length {
            Some(given) => usize::try_from(given).map_err(|_| invalid(format!("a length of {given}")))?,
            None if real => size.saturating_sub(1).saturating_mul(2),
            None => size,
        };
        let half = length / 2 + 1;
        let from = size.min(if real { half } else { length });
        let to = if self.onesided && !self.inverse { half } else { length };
        let sizes = Sizes { length, from: [from, parts], to: [to, if real { 1 } else { 2 }] };
        let total = [parts, to, sizes.to[1]].iter().try_fold(from, |n, size| n.checked_mul(*size));
        if length == 0 || from == 0 {
            return Err(invalid(format!("a transform of length {length} of {size}")));
        }
        if total.is_none_or(|total| total > MATRIX) {
            return Err(OpError::Unsupported(format!(
                "a transform of length {length}, which is a matrix here"
            )));
        }
        Ok(sizes)
    }

    /// The matrix, row-major.
    fn matrix(self, Sizes { length, from, to }: Sizes) -> Vec<f64> {
        let real = self.inverse && self.onesided;
        let scale = if self.inverse { 1.0 / length as f64 } else { 1.0 };
        let mut all = Vec::with_capacity(from[0] * from[1] * to[0] * to[1]);
        for (n, part) in (0..from[0]).flat_map(|n| (0..from[1]).map(move |part| (n, part))) {
            // The frequencies that are left out are the conjugates of those between the first and the middle.
            let twice = real && n > 0 && 2 * n != length;
            let size = if twice { 2.0 * scale } else { scale };
            for (k, out) in (0..to[0]).flat_map(|k| (0..to[1]).map(move |out| (k, out))) {
                let angle = TAU * ((n * k % length) as f64) / length as f64;
                let angle = if self.inverse { angle } else { -angle };
                all.push(match (part, out) {
                    (0, 0) | (1, 1) => size * angle.cos(),
                    (0, _) => size * angle.sin(),
                    _ => -size * angle.sin(),
                });
            }
        }
        all
    }
}

impl Composite for Dft {
    fn name(&self) -> &'static str {
        "DFT"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut x = parts.input(0)?;
        let known = |parts: &Parts<'_, '_>, index: usize| {
            let id = parts.optional(index);
            id.map(|id| parts.known(id)?.ok_or(OpError::NotConstant { index })).transpose()
        };
        let (length, axis) = (known(parts, 1)?, known(parts, 2)?.unwrap_or(self.axis));
        let fact = parts.fact(x)?;
        let (dtype, rank) = (fact.dtype, fact.rank());
        let axis = Infer::axis(axis, rank)?;
        let sizes =
            [axis, rank - 1].map(|at| fact.shape[at].constant().and_then(|n| usize::try_from(n).ok()));
        let [Some(size), Some(numbers @ 1..=2)] = sizes else {
            return Err(OpError::DependsOnData(format!("a transform along axis {axis} of {fact}")));
        };
        if axis + 1 == rank || !dtype.is_float() {
            return Err(invalid(format!("a transform along axis {axis} of {fact}")));
        }
        let sizes = self.sizes(size, numbers, length)?;
        if sizes.from[0] < size {
            let [start, end, axes] = [0, sizes.from[0] as i64, axis as i64].map(|n| [n]);
            let bounds = [parts.integers(&start)?, parts.integers(&end)?, parts.integers(&axes)?];
            x = parts.add(Slice, &[x, bounds[0], bounds[1], bounds[2]])?;
        }
        // The axis last but one, and back.
        let mut perm: Vec<usize> = (0..rank).filter(|at| *at != axis).collect();
        perm.insert(rank - 2, axis);
        let back = (0..rank).map(|at| perm.iter().position(|p| *p == at).unwrap_or(at)).collect();
        let moved = axis + 2 != rank;
        if moved {
            x = parts.add(Transpose { perm: Some(perm) }, &[x])?;
        }
        let [rows, columns] = [sizes.from, sizes.to].map(|[places, numbers]| places * numbers);
        let outer = parts.add(Shape { start: 0, end: Some(rank as i64 - 2), total: false }, &[x])?;
        let flat = parts.integers(&[1, -1, rows as i64])?;
        let x = parts.add(Reshape { allow_zero: false }, &[x, flat])?;
        // Of three dimensions, so that no pass takes it for weights to be quantised.
        let matrix = HostTensor::from_f64s(dtype, vec![1, rows, columns], &self.matrix(sizes))?;
        let matrix = parts.table(matrix)?;
        let product = parts.add(MatMul, &[x, matrix])?;
        let inner = parts.integers(&sizes.to.map(|n| n as i64))?;
        let shape = parts.add(Concat { axis: 0 }, &[outer, inner])?;
        let out = parts.add(Reshape { allow_zero: true }, &[product, shape])?;
        Ok(vec![if moved { parts.add(Transpose { perm: Some(back) }, &[out])? } else { out }])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axis = if node.version() < 20 { node.int_or("axis", 1)? } else { -2 };
    let (inverse, onesided) = (node.int_or("inverse", 0)? != 0, node.int_or("onesided", 0)? != 0);
    Ok(composite(Dft { axis, inverse, onesided }))
}

fn cases() -> Vec<Case> {
    let case = |[inverse, onesided]: [bool; 2], shape: &[usize], axis, length: Option<i64>| {
        let length = length.map(|n| sample::scalar(DType::I64, n as f64));
        let way = if inverse { "inverse" } else { "forward" };
        let half = if onesided { ", one side" } else { "" };
        let name = format!("{way}{half}, {length:?} along {axis} of {shape:?}");
        let inputs = vec![Some(sample::floats(shape, 1)), length];
        Case::composite(name, Dft { axis, inverse, onesided }, inputs).constants(&[1])
    };
    vec![
        case([false, false], &[2, 5, 3, 1], 1, None),
        case([false, false], &[2, 6, 2], -2, None),
        case([false, true], &[2, 7, 1], 1, None),
        case([false, true], &[2, 9, 1], 1, Some(6)),
        case([false, false], &[5, 2, 2], 0, Some(8)),
        case([true, false], &[2, 5, 2], 1, None),
        case([true, true], &[2, 4, 3, 2], 1, None),
        case([true, true], &[4, 2], 0, Some(7)),
        case([true, true], &[3, 2], 0, Some(9)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("DFT", 17..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::Dft;

    fn transformed(op: Dft, size: usize, numbers: usize, length: Option<i64>, x: &[f64]) -> Vec<f64> {
        let sizes = op.sizes(size, numbers, length).unwrap();
        let columns = sizes.to[0] * sizes.to[1];
        let matrix = op.matrix(sizes);
        (0..columns).map(|c| x.iter().enumerate().map(|(r, v)| v * matrix[r * columns + c]).sum()).collect()
    }

    fn same(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?} instead of {want:?}");
    }

    /// `[1, 2, 3, 4]` has the frequencies `[10, -2 + 2i, -2, -2 - 2i]`.
    #[test]
    fn a_transform_by_hand_and_back() {
        let (signal, all) = ([1.0, 2.0, 3.0, 4.0], [10.0, 0.0, -2.0, 2.0, -2.0, 0.0, -2.0, -2.0]);
        let op = |inverse, onesided| Dft { axis: 0, inverse, onesided };
        same(&transformed(op(false, false), 4, 1, None, &signal), &all);
        same(&transformed(op(false, true), 4, 1, None, &signal), &all[..6]);
        same(&transformed(op(true, true), 3, 2, None, &all[..6]), &signal);
        let complex: Vec<f64> = signal.iter().flat_map(|v| [*v, 0.0]).collect();
        same(&transformed(op(true, false), 4, 2, None, &all), &complex);
    }

    #[test]
    fn what_is_no_length_is_refused() {
        let op = Dft { axis: 0, inverse: false, onesided: false };
        assert!(op.sizes(4, 1, Some(0)).is_err() && op.sizes(4, 1, Some(-3)).is_err());
        assert!(op.sizes(0, 1, None).is_err() && op.sizes(1 << 40, 2, None).is_err());
        assert!(op.sizes(4, 1, Some(i64::MAX)).is_err());
    }
}
