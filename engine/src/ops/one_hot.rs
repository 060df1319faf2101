//! OneHot: for each index, one value at its place along a new axis and another elsewhere.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, range::Range, reshape::Reshape, select::Where, slice::Slice, squeeze::Squeeze,
};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, Infer, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: indices, of which negative ones count from the back; how long the new axis is; the value elsewhere and the one at
/// the index, as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// The new axis.
    pub axis: i64,
}

/// A value with `behind` dimensions of size 1 put behind it, so that a list, for one, lies along another tensor's axis.
///
/// # Errors
/// When nothing is known of it.
pub fn facing(parts: &mut Parts<'_, '_>, x: ValueId, behind: usize) -> Result<ValueId, OpError> {
    if behind == 0 {
        return Ok(x);
    }
    let rank = parts.fact(x)?.rank() as i64;
    let axes = parts.integers(&(rank..rank + behind as i64).collect::<Vec<_>>())?;
    parts.add(Squeeze { insert: true, axes: None }, &[x, axes])
}

impl Composite for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (indices, depth, values) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
        let rank = parts.fact(indices)?.rank();
        let axis = Infer::axis(self.axis, rank + 1)?;
        let scalar = parts.integers(&[])?;
        let depth = parts.add(Cast { to: DType::I64 }, &[depth])?;
        let depth = parts.add(Reshape { allow_zero: false }, &[depth, scalar])?;
        if parts.fact(depth)?.content.is_none() {
            return Err(OpError::NotConstant { index: 1 });
        }
        let (zero, one) = (parts.number(0.0, DType::I64)?, parts.number(1.0, DType::I64)?);
        let places = parts.add(Range, &[zero, depth, one])?;
        let places = facing(parts, places, rank - axis)?;
        let indices = parts.add(Cast { to: DType::I64 }, &[indices])?;
        let at = parts.integers(&[axis as i64])?;
        let indices = parts.add(Squeeze { insert: true, axes: None }, &[indices, at])?;
        // What lies outside after this is no place.
        let negative = parts.add(Binary::Less, &[indices, zero])?;
        let wrapped = parts.add(Binary::Add, &[indices, depth])?;
        let indices = parts.add(Where, &[negative, wrapped, indices])?;
        let hot = parts.add(Binary::Equal, &[indices, places])?;
        let mut value = |at: i64| {
            let (start, end) = (parts.integers(&[at])?, parts.integers(&[at + 1])?);
            let value = parts.add(Slice, &[values, start, end])?;
            parts.add(Reshape { allow_zero: false }, &[value, scalar])
        };
        let (off, on) = (value(0)?, value(1)?);
        Ok(vec![parts.add(Where, &[hot, on, off])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(OneHot { axis: node.int_or("axis", -1)? }))
}

fn cases() -> Vec<Case> {
    let case = |axis, indices: HostTensor, values: HostTensor| {
        let name = format!("{:?} along {axis}, {}", indices.shape(), values.dtype());
        let inputs = [indices, sample::list(&[5]), values].map(Some);
        Case::composite(name, OneHot { axis }, inputs.to_vec()).constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let values = |dtype| sample::of(dtype, &[2], &[-1.0, 3.0]);
    vec![
        case(-1, sample::integers_in(&[7], 1, -5, 5), values(DType::F32)),
        case(0, sample::integers_in(&[2, 3], 1, -5, 5), values(DType::F32)),
        case(1, sample::integers_in(&[2, 3], 1, -9, 9), values(DType::I64)),
        case(-1, sample::integers_in(&[4], 1, 0, 5).cast(DType::F32), values(DType::F32)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("OneHot", 9..=27)], decode, cases };
