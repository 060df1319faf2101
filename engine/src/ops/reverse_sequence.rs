//! ReverseSequence: the first elements of each sequence of a batch in reverse order, as many as its length says.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, gather_nd::GatherNd, identity::Identity, range::Range, select::Where,
    shape::Shape, squeeze::Squeeze, transpose::Transpose,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: the sequences, their lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReverseSequence {
    /// Whether the batch is dimension 0 and time dimension 1, or the reverse.
    pub batch_first: bool,
}

impl Composite for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, lengths) = (parts.input(0)?, parts.input(1)?);
        let rank = parts.fact(x)?.rank();
        if rank < 2 || parts.fact(lengths)?.rank() != 1 {
            return Err(invalid(
                "the sequences have no dimensions batch and time, or the lengths are no list",
            ));
        }
        let swap: Vec<usize> = [1, 0].into_iter().chain(2..rank).collect();
        let turned = |parts: &mut Parts<'_, '_>, x| match self.batch_first {
            true => parts.add(Identity, &[x]),
            false => parts.add(Transpose { perm: Some(swap.clone()) }, &[x]),
        };
        // [batch, time, ..]
        let x = turned(parts, x)?;
        let number = |parts: &mut Parts<'_, '_>, n: i64| {
            Ok::<_, OpError>(parts.constant(HostTensor::from_i64(vec![], &[n])?))
        };
        let (zero, one) = (number(parts, 0)?, number(parts, 1)?);
        let time = parts.add(Shape { start: 1, end: Some(2), total: false }, &[x])?;
        let time = parts.add(Squeeze { insert: false, axes: Some(vec![0]) }, &[time])?;
        let at = parts.add(Range, &[zero, time, one])?;
        let lengths = parts.add(Cast { to: DType::I64 }, &[lengths])?;
        let lengths = parts.add(Squeeze { insert: true, axes: Some(vec![1]) }, &[lengths])?;
        let last = parts.add(Binary::Sub, &[lengths, one])?;
        let mirrored = parts.add(Binary::Sub, &[last, at])?;
        let within = parts.add(Binary::Less, &[at, lengths])?;
        let from = parts.add(Where, &[within, mirrored, at])?;
        let from = parts.add(Squeeze { insert: true, axes: Some(vec![-1]) }, &[from])?;
        let out = parts.add(GatherNd { batch_dims: 1 }, &[x, from])?;
        Ok(vec![turned(parts, out)?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    match (node.int_or("batch_axis", 1)?, node.int_or("time_axis", 0)?) {
        (0, 1) => Ok(composite(ReverseSequence { batch_first: true })),
        (1, 0) => Ok(composite(ReverseSequence { batch_first: false })),
        (batch, time) => Err(invalid(format!("batch_axis {batch} and time_axis {time} are not 0 and 1"))),
    }
}

fn cases() -> Vec<Case> {
    let case = |batch_first: bool, shape: &[usize], lengths: &[i64]| {
        let op = ReverseSequence { batch_first };
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::list(lengths))];
        Case::composite(format!("{op:?} of {shape:?}"), op, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        case(true, &[3, 4], &[4, 1, 2]),
        case(false, &[5, 2], &[5, 3]),
        case(false, &[4, 3, 2, 2], &[0, 4, 2]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("ReverseSequence", 10..=27)], decode, cases };
