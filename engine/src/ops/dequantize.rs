//! DequantizeLinear: integer codes as numbers, `(code - zero) * scale`.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, one_hot::facing, reshape::Reshape, resize::repeated, shape::Shape,
    slice::Slice,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, Infer, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Inputs: codes, scales, zeros (0 when left out). Scales and zeros are one number, a list along the axis, or, in blocks,
/// of the codes' shape with one for so many along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DequantizeLinear {
    /// The axis.
    pub axis: i64,
    /// Size of blocks; 0 for none.
    pub block: i64,
    /// The result's type; that of the scales when left out.
    pub to: Option<DType>,
}

/// Scales or zeros brought to where they meet `x`.
///
/// # Errors
/// When they are of another shape than the module says.
pub fn facing_codes(
    parts: &mut Parts<'_, '_>,
    of: ValueId,
    x: ValueId,
    axis: i64,
    block: i64,
) -> Result<ValueId, OpError> {
    let (fact, codes) = (parts.fact(of)?, parts.fact(x)?);
    let rank = codes.rank();
    if fact.len().constant() == Some(1) {
        let scalar = parts.integers(&[])?;
        return parts.add(Reshape { allow_zero: false }, &[of, scalar]);
    }
    let axis = Infer::axis(axis, rank)?;
    if block == 0 {
        if fact.rank() != 1 {
            return Err(invalid(format!("{fact} is neither one number nor one for each place of an axis")));
        }
        return facing(parts, of, rank - 1 - axis);
    }
    if fact.rank() != rank {
        return Err(invalid(format!("{fact} is not of one number for each block of {codes}")));
    }
    // Cut where the last block is not full.
    let joined = repeated(parts, of, axis, block)?;
    let (start, axes) = (parts.integers(&[0])?, parts.integers(&[axis as i64])?);
    let end = parts.add(Shape { start: axis as i64, end: Some(axis as i64 + 1), total: false }, &[x])?;
    parts.add(Slice, &[joined, start, end, axes])
}

impl Composite for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, scale) = (parts.input(0)?, parts.input(1)?);
        let to = self.to.unwrap_or(parts.fact(scale)?.dtype);
        let scale = facing_codes(parts, scale, x, self.axis, self.block)?;
        let scale = parts.add(Cast { to }, &[scale])?;
        // Codes that are floats are numbers already.
        let wide = Cast { to: if parts.fact(x)?.dtype.is_float() { to } else { DType::I32 } };
        let mut codes = parts.add(wide, &[x])?;
        if let Some(zero) = parts.optional(2) {
            let zero = facing_codes(parts, zero, x, self.axis, self.block)?;
            let zero = parts.add(wide, &[zero])?;
            codes = parts.add(Binary::Sub, &[codes, zero])?;
        }
        let numbers = parts.add(Cast { to }, &[codes])?;
        Ok(vec![parts.add(Binary::Mul, &[numbers, scale])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axis = node.int_or("axis", 1)?;
    let block = node.int_or("block_size", 0)?;
    if block < 0 {
        return Err(invalid(format!("blocks of {block}")));
    }
    let to = node.int("output_dtype")?.is_some_and(|n| n != 0).then(|| node.dtype("output_dtype"));
    Ok(composite(DequantizeLinear { axis, block, to: to.transpose()?.flatten() }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, codes: DType, axis, block, shapes: [&[usize]; 2], zeros: bool| {
        let low = if matches!(codes, DType::U8 | DType::U4 | DType::U2) { 0 } else { -8 };
        let codes = |shape: &[usize], seed| sample::integers_in(shape, seed, low, low + 16).cast(codes);
        let inputs = vec![
            Some(codes(shapes[0], 1)),
            Some(sample::floats_in(shapes[1], 2, 0.5, 1.5)),
            zeros.then(|| codes(shapes[1], 3)),
        ];
        Case::composite(name, DequantizeLinear { axis, block, to: None }, inputs)
    };
    vec![
        case("one scale", DType::U8, 1, 0, [&[3, 5], &[]], true),
        case("a list of scales", DType::I8, 1, 0, [&[2, 3, 4], &[3]], true),
        case("blocks", DType::U8, 1, 2, [&[3, 6, 2], &[3, 3, 2]], true),
        case("blocks, the last not full", DType::I8, 0, 4, [&[6, 5], &[2, 5]], false),
        case("int4", DType::I4, 1, 0, [&[5], &[]], true),
        case("uint4, blocks", DType::U4, -1, 4, [&[2, 8], &[2, 2]], true),
        case("int32", DType::I32, 1, 0, [&[7], &[]], false),
        case("int2", DType::I2, 1, 0, [&[5], &[]], true),
        case("uint2, blocks", DType::U2, -1, 4, [&[2, 8], &[2, 2]], true),
        case("f8e4m3fn", DType::F8E4M3Fn, 1, 0, [&[2, 9], &[9]], false),
        case("f4e2m1, blocks", DType::F4E2M1, -1, 4, [&[2, 8], &[2, 2]], false),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("DequantizeLinear", 10..=27)], decode, cases };
