//! Hardmax: 1 at the first greatest element along an axis, 0 elsewhere.

use std::sync::Arc;

use super::{
    arg_max::ArgMax, binary::Binary, cast::Cast, flatten::Flatten, one_hot, range, reshape::Reshape,
    shape::Shape,
};
use crate::{
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, Infer, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Before opset 13 all dimensions from the axis on are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardmax {
    /// The axis.
    pub axis: i64,
    /// Whether the dimensions behind the axis belong to it.
    pub flatten: bool,
}

impl Composite for Hardmax {
    fn name(&self) -> &'static str {
        "Hardmax"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let whole = parts.input(0)?;
        let mut axis = Infer::axis(self.axis, parts.fact(whole)?.rank())?;
        let mut x = whole;
        if self.flatten {
            x = parts.add(Flatten { axis: axis as i64 }, &[x])?;
            axis = 1;
        }
        let fact = parts.fact(x)?;
        let (dtype, rank) = (fact.dtype, fact.rank());
        let op = ArgMax { axis: axis as i64, keep: true, least: false, last: false };
        let top = parts.add(op, &[x])?;
        let places = range::along(parts, x, axis)?;
        let places = one_hot::facing(parts, places, rank - 1 - axis)?;
        let same = parts.add(Binary::Equal, &[places, top])?;
        let hot = parts.add(Cast { to: dtype }, &[same])?;
        if !self.flatten {
            return Ok(vec![hot]);
        }
        let shape = parts.add(Shape { start: 0, end: None, total: false }, &[whole])?;
        Ok(vec![parts.add(Reshape { allow_zero: true }, &[hot, shape])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let flatten = node.version() < 13;
    Ok(composite(Hardmax { axis: node.int_or("axis", if flatten { 1 } else { -1 })?, flatten }))
}

fn cases() -> Vec<Case> {
    let case = |axis, flatten, shape: &[usize]| {
        let op = Hardmax { axis, flatten };
        Case::composite(format!("{op:?} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))])
    };
    let ties = sample::integers_in(&[3, 5], 1, 0, 2).cast(crate::dtype::DType::F32);
    vec![
        case(-1, false, &[3, 5]),
        case(0, false, &[3, 5, 2]),
        case(1, false, &[2, 3, 4]),
        case(1, true, &[2, 3, 4]),
        Case::composite("ties", Hardmax { axis: 1, flatten: false }, vec![Some(ties)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Hardmax", 1..=27)], decode, cases };
