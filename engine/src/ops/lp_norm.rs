//! LpNormalization: a tensor over the sum, or the root of the sum of squares, of an axis.

use std::sync::Arc;

use super::{
    binary::Binary,
    reduce::{Reduce, Reduction},
    select::Where,
};
use crate::{
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// See the module. What has no length stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LpNorm {
    /// The axis.
    pub axis: i64,
    /// Whether the root of the sum of squares is taken.
    pub square: bool,
}

impl Composite for LpNorm {
    fn name(&self) -> &'static str {
        "LpNormalization"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let dtype = parts.fact(x)?.dtype;
        let reduction = if self.square { Reduction::L2 } else { Reduction::L1 };
        let op = Reduce { reduction, keep: true, noop_without_axes: false, axes: Some(vec![self.axis]) };
        let size = parts.add(op, &[x])?;
        let (zero, one) = (parts.number(0.0, dtype)?, parts.number(1.0, dtype)?);
        let none = parts.add(Binary::Equal, &[size, zero])?;
        let divisor = parts.add(Where, &[none, one, size])?;
        Ok(vec![parts.add(Binary::Div, &[x, divisor])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let square = match node.int_or("p", 2)? {
        1 => false,
        2 => true,
        other => return Err(OpError::Unsupported(format!("LpNormalization with p = {other}"))),
    };
    Ok(composite(LpNorm { axis: node.int_or("axis", -1)?, square }))
}

fn cases() -> Vec<Case> {
    let case = |axis, square, shape: &[usize]| {
        let op = LpNorm { axis, square };
        Case::composite(format!("{op:?} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))])
    };
    let nothing = vec![Some(sample::of(crate::dtype::DType::F32, &[2, 3], &[0.0, 0.0, 0.0, 3.0, 0.0, 4.0]))];
    vec![
        case(-1, true, &[3, 5]),
        case(0, false, &[3, 5]),
        case(1, true, &[2, 3, 4]),
        Case::composite("no length", LpNorm { axis: 1, square: true }, nothing),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("LpNormalization", 1..=27)], decode, cases };
