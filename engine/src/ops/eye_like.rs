//! EyeLike: a matrix with ones on a diagonal, of another one's shape.

use std::sync::Arc;

use super::{binary::Binary, cast::Cast, one_hot::facing, range};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EyeLike {
    /// The type; the other matrix's when left out.
    pub dtype: Option<DType>,
    /// The diagonal: columns to the right of the main one.
    pub diagonal: i64,
}

impl Composite for EyeLike {
    fn name(&self) -> &'static str {
        "EyeLike"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let like = parts.input(0)?;
        let fact = parts.fact(like)?;
        if fact.rank() != 2 {
            return Err(invalid(format!("{fact} is no matrix")));
        }
        let to = self.dtype.unwrap_or(fact.dtype);
        let (rows, columns) = (range::along(parts, like, 0)?, range::along(parts, like, 1)?);
        let rows = facing(parts, rows, 1)?;
        let distance = parts.number(self.diagonal as f64, DType::I64)?;
        let ones = parts.add(Binary::Add, &[rows, distance])?;
        let same = parts.add(Binary::Equal, &[ones, columns])?;
        Ok(vec![parts.add(Cast { to }, &[same])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(EyeLike { dtype: node.dtype("dtype")?, diagonal: node.int_or("k", 0)? }))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], diagonal, dtype| {
        let op = EyeLike { dtype, diagonal };
        let case = Case::composite(format!("{op:?} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))]);
        case.tolerance(Tolerance::EXACT)
    };
    vec![
        case(&[4, 4], 0, None),
        case(&[3, 5], 1, None),
        case(&[5, 3], -2, Some(DType::I32)),
        case(&[2, 40], 38, Some(DType::F32)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("EyeLike", 9..=27)], decode, cases };
