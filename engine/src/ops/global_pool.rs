//! GlobalAveragePool and GlobalMaxPool: each channel reduced to one number.

use std::sync::Arc;

use super::reduce::{Reduce, Reduction};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Of all axes behind batch and channels, which stay with size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool(pub Reduction);

/// Adds a reduction of all axes behind the first two.
///
/// # Errors
/// When there are none.
pub fn over_axes(parts: &mut Parts<'_, '_>, x: ValueId, reduction: Reduction) -> Result<ValueId, OpError> {
    let fact = parts.fact(x)?;
    if fact.rank() < 3 {
        return Err(invalid(format!("{fact} has no axes behind batch and channels")));
    }
    let axes = Some((2..fact.rank() as i64).collect());
    parts.add(Reduce { reduction, keep: true, noop_without_axes: false, axes }, &[x])
}

impl Composite for GlobalPool {
    fn name(&self) -> &'static str {
        if self.0 == Reduction::Max { "GlobalMaxPool" } else { "GlobalAveragePool" }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        Ok(vec![over_axes(parts, x, self.0)?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let most = node.op_type() == "GlobalMaxPool";
    Ok(composite(GlobalPool(if most { Reduction::Max } else { Reduction::Mean })))
}

fn cases() -> Vec<Case> {
    let case = |reduction, shape: &[usize]| {
        let name = format!("{reduction:?} of {shape:?}");
        Case::composite(name, GlobalPool(reduction), vec![Some(sample::floats(shape, 1))])
    };
    let shapes = [&[2, 3, 5][..], &[1, 4, 3, 7], &[2, 1, 2, 3, 4]];
    let all = [Reduction::Mean, Reduction::Max].into_iter();
    all.flat_map(|reduction| shapes.map(|shape| case(reduction, shape))).collect()
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[standard("GlobalAveragePool", 1..=27), standard("GlobalMaxPool", 1..=27)],
    decode,
    cases,
};
