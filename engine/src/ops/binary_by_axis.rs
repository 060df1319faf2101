//! Add, Mul, Less and the like before opset 7: the second operand lies along given axes of the first.

use std::sync::Arc;

use super::{binary::Binary, one_hot::facing};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, Infer, OnnxName, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryByAxis {
    /// The function.
    pub function: Binary,
    /// Which axis of the first operand is the second one's first.
    pub axis: i64,
}

impl Composite for BinaryByAxis {
    fn name(&self) -> &'static str {
        self.function.name()
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (a, b) = (parts.input(0)?, parts.input(1)?);
        let (rank, own) = (parts.fact(a)?.rank(), parts.fact(b)?.rank());
        let axis = Infer::axis(self.axis, rank)?;
        let behind = rank.checked_sub(axis + own);
        let behind =
            behind.ok_or_else(|| invalid(format!("{own} dimensions from axis {axis} of {rank} on")))?;
        let b = facing(parts, b, behind)?;
        Ok(vec![parts.add(self.function, &[a, b])?])
    }
}

/// Without an axis the last ones meet, as later opsets always have it.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let function = Binary::named(node.op_type());
    let function = function.ok_or_else(|| OpError::Unsupported(node.op_type().to_owned()))?;
    Ok(match node.int("axis")? {
        Some(axis) => composite(BinaryByAxis { function, axis }),
        None => Arc::new(function),
    })
}

const OLD: std::ops::RangeInclusive<i64> = 1..=6;

const NAMES: &[OnnxName] = &[
    standard("Add", OLD),
    standard("And", OLD),
    standard("Div", OLD),
    standard("Equal", OLD),
    standard("Greater", OLD),
    standard("Less", OLD),
    standard("Mul", OLD),
    standard("Or", OLD),
    standard("Pow", OLD),
    standard("Sub", OLD),
    standard("Xor", OLD),
];

fn cases() -> Vec<Case> {
    let case = |axis, a: &[usize], b: &[usize]| {
        let op = BinaryByAxis { function: Binary::Sub, axis };
        let inputs = [sample::floats(a, 1), sample::floats(b, 2)].map(Some).to_vec();
        Case::composite(format!("{b:?} from axis {axis} of {a:?} on"), op, inputs)
    };
    vec![
        case(0, &[3, 4, 5], &[3]),
        case(1, &[2, 3, 4, 5], &[3, 4]),
        case(-1, &[3, 4], &[4]),
        case(0, &[3, 4], &[3, 4]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };
