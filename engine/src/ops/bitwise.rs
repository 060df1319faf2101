//! BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot and BitShift, with broadcasting. The device holds 32 bits of an integer.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Composite, Infer, Lowering, OnnxName, OnnxNode, Op, Operator, Parts, Tolerance, composite,
        elementwise,
        nd::{Positions, broadcast_sizes, given, integers},
        sample, standard,
    },
};

/// Which function of the bits of two integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum Bitwise {
    And,
    Or,
    ShiftLeft,
    ShiftRight,
    Xor,
}

impl Bitwise {
    /// The elementwise kernel's name for the function.
    #[must_use]
    pub fn kernel(self) -> &'static str {
        match self {
            Self::And => "bit_and",
            Self::Or => "bit_or",
            Self::ShiftLeft => "shift_left",
            Self::ShiftRight => "shift_right",
            Self::Xor => "bit_xor",
        }
    }

    fn of(self, a: i64, b: i64) -> i64 {
        let count = u32::try_from(b).unwrap_or(u32::MAX);
        match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::ShiftLeft => a.checked_shl(count).unwrap_or(0),
            Self::ShiftRight => (a as u64).checked_shr(count).unwrap_or(0) as i64,
            Self::Xor => a ^ b,
        }
    }
}

impl Op for Bitwise {
    fn name(&self) -> &'static str {
        match self {
            Self::And => "BitwiseAnd",
            Self::Or => "BitwiseOr",
            Self::ShiftLeft | Self::ShiftRight => "BitShift",
            Self::Xor => "BitwiseXor",
        }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        if a.dtype != b.dtype || !a.dtype.is_int() {
            return Err(invalid(format!("operands are {} and {}", a.dtype, b.dtype)));
        }
        Ok(vec![Fact::new(a.dtype, cx.broadcast(&[&a.shape, &b.shape])?)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (a, b) = (given(inputs, 0)?, given(inputs, 1)?);
        let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
        let spread = |t: &HostTensor| {
            let (at, data) = (Positions::all(t.shape()).broadcast(&shape)?.list(), t.to_i64s());
            Ok::<_, OpError>(at.into_iter().map(|p| data[p]).collect::<Vec<i64>>())
        };
        let all: Vec<i64> = spread(a)?.into_iter().zip(spread(b)?).map(|(a, b)| self.of(a, b)).collect();
        Ok(vec![integers(a.dtype(), shape, &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (operands, out) = ([cx.shaped(0)?, cx.shaped(1)?], cx.output(0)?);
        elementwise(cx, self.kernel(), &operands, &out)
    }
}

/// An integer of a type with all its bits set.
fn ones(dtype: DType) -> f64 {
    match dtype {
        DType::U2 => 3.0,
        DType::U4 => 15.0,
        DType::U8 => 255.0,
        DType::U16 => 65535.0,
        DType::U32 => f64::from(u32::MAX),
        _ => -1.0,
    }
}

/// BitwiseNot: Xor with all bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitwiseNot;

impl Composite for BitwiseNot {
    fn name(&self) -> &'static str {
        "BitwiseNot"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let dtype = parts.fact(x)?.dtype;
        if dtype == DType::U64 {
            return Err(OpError::Unsupported("BitwiseNot of 64 bits".into()));
        }
        let ones = parts.number(ones(dtype), dtype)?;
        Ok(vec![parts.add(Bitwise::Xor, &[x, ones])?])
    }
}

/// A shift to the left of unsigned integers, which loses the bits that their type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShiftLeft;

impl Composite for ShiftLeft {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let inputs = [parts.input(0)?, parts.input(1)?];
        let dtype = parts.fact(inputs[0])?.dtype;
        let shifted = parts.add(Bitwise::ShiftLeft, &inputs)?;
        if dtype.bits() >= 32 {
            return Ok(vec![shifted]);
        }
        let ones = parts.number(ones(dtype), dtype)?;
        Ok(vec![parts.add(Bitwise::And, &[shifted, ones])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(match node.op_type() {
        "BitwiseAnd" => Arc::new(Bitwise::And),
        "BitwiseOr" => Arc::new(Bitwise::Or),
        "BitwiseXor" => Arc::new(Bitwise::Xor),
        "BitwiseNot" => composite(BitwiseNot),
        _ => match node.string("direction")? {
            Some("LEFT") => composite(ShiftLeft),
            Some("RIGHT") => Arc::new(Bitwise::ShiftRight),
            other => return Err(invalid(format!("direction = {other:?} is neither \"LEFT\" nor \"RIGHT\""))),
        },
    })
}

const NAMES: &[OnnxName] = &[
    standard("BitShift", 11..=27),
    standard("BitwiseAnd", 18..=27),
    standard("BitwiseNot", 18..=27),
    standard("BitwiseOr", 18..=27),
    standard("BitwiseXor", 18..=27),
];

fn cases() -> Vec<Case> {
    let input = |dtype, shape: &[usize], seed, high| sample::integers_in(shape, seed, 0, high).cast(dtype);
    let mut cases = Vec::new();
    for f in [Bitwise::And, Bitwise::Or, Bitwise::Xor, Bitwise::ShiftRight] {
        for dtype in [DType::U8, DType::U32] {
            let top = if f == Bitwise::ShiftRight { 9 } else { 200 };
            let inputs = [input(dtype, &[2, 3, 5], 1, 200), input(dtype, &[3, 1], 2, top)].map(Some);
            cases
                .push(Case::new(format!("{f:?} of {dtype}"), f, inputs.to_vec()).tolerance(Tolerance::EXACT));
        }
    }
    let signed = [sample::integers_in(&[9], 1, -99, 99), sample::integers_in(&[9], 2, -99, 99)].map(Some);
    cases.push(Case::new("Xor of int64", Bitwise::Xor, signed.to_vec()).tolerance(Tolerance::EXACT));
    for dtype in [DType::U8, DType::U16, DType::U32, DType::I32] {
        let inputs = vec![Some(input(dtype, &[3, 5], 1, 200))];
        let case = Case::composite(format!("Not of {dtype}"), BitwiseNot, inputs);
        cases.push(case.tolerance(Tolerance::EXACT));
    }
    for dtype in [DType::U8, DType::U16, DType::U32] {
        let inputs = [input(dtype, &[12], 1, 200), input(dtype, &[12], 2, 20)].map(Some);
        let case = Case::composite(format!("shift to the left of {dtype}"), ShiftLeft, inputs.to_vec());
        cases.push(case.tolerance(Tolerance::EXACT));
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };

#[cfg(test)]
mod tests {
    use super::Bitwise;

    #[test]
    fn shifts_by_all_bits_leave_nothing() {
        assert_eq!((Bitwise::ShiftLeft.of(5, 1), Bitwise::ShiftLeft.of(5, 64)), (10, 0));
        assert_eq!((Bitwise::ShiftRight.of(16, 3), Bitwise::ShiftRight.of(-1, 63)), (2, 1));
    }
}
