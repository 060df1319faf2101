//! QuantizeLinear and DynamicQuantizeLinear: numbers as integer codes, `x / scale`, rounded, plus a zero.

use std::sync::Arc;

use onnx_import::Rounding;

use super::{
    binary::Binary,
    cast::Cast,
    dequantize::facing_codes,
    identity::Identity,
    narrow::Narrow,
    reduce::{Reduce, Reduction},
    unary::Unary,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: numbers, scales, zeros (0 when left out), the latter two as DequantizeLinear has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizeLinear {
    /// The axis.
    pub axis: i64,
    /// Size of blocks; 0 for none.
    pub block: i64,
    /// The type of codes when there are no zeros.
    pub to: DType,
    /// Whether codes that are floats are held at their largest.
    pub saturate: bool,
}

/// The ends of an integer type that codes have.
///
/// # Errors
/// When codes of that type are not known.
pub fn ends(of: DType) -> Result<(f64, f64), OpError> {
    Ok(match of {
        DType::I2 => (-2.0, 1.0),
        DType::U2 => (0.0, 3.0),
        DType::I4 => (-8.0, 7.0),
        DType::U4 => (0.0, 15.0),
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        other => return Err(OpError::Unsupported(format!("quantising to {other}"))),
    })
}

/// Adds `x`, in floats, held at the ends of an integer type and then cast to it.
///
/// # Errors
/// When codes of that type are not known.
pub fn saturated(parts: &mut Parts<'_, '_>, x: ValueId, to: DType) -> Result<ValueId, OpError> {
    let (low, high) = ends(to)?;
    let dtype = parts.fact(x)?.dtype;
    let (low, high) = (parts.number(low, dtype)?, parts.number(high, dtype)?);
    let x = parts.add(Binary::Max, &[x, low])?;
    let x = parts.add(Binary::Min, &[x, high])?;
    parts.add(Cast { to }, &[x])
}

impl Composite for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    /// In f32: half precision would not hold codes of 16 bits.
    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, scale, wide) = (parts.input(0)?, parts.input(1)?, Cast { to: DType::F32 });
        let scale = facing_codes(parts, scale, x, self.axis, self.block)?;
        let scale = parts.add(wide, &[scale])?;
        let numbers = parts.add(wide, &[x])?;
        let quotient = parts.add(Binary::Div, &[numbers, scale])?;
        let zero = parts.optional(2);
        let to = zero.map_or(Ok(self.to), |zero| parts.fact(zero).map(|fact| fact.dtype))?;
        let floats = to.minifloat().is_some();
        let mut codes = if floats { quotient } else { parts.add(Unary::Round, &[quotient])? };
        if let Some(zero) = zero {
            let zero = facing_codes(parts, zero, x, self.axis, self.block)?;
            let zero = parts.add(wide, &[zero])?;
            codes = parts.add(Binary::Add, &[codes, zero])?;
        }
        let narrow = Narrow { to, rounding: Rounding::Nearest, saturate: self.saturate };
        Ok(vec![if floats { parts.add(narrow, &[codes])? } else { saturated(parts, codes, to)? }])
    }
}

/// Codes of 8 bits over the range of the input, 0 included. Outputs: codes, their scale, the code of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicQuantizeLinear;

impl Composite for DynamicQuantizeLinear {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let (none, steps) = (parts.number(0.0, DType::F32)?, parts.number(255.0, DType::F32)?);
        let mut end = |reduction, beyond: Binary| {
            let op = Reduce { reduction, keep: false, noop_without_axes: false, axes: None };
            let end = parts.add(op, &[x])?;
            parts.add(beyond, &[end, none])
        };
        let (low, high) = (end(Reduction::Min, Binary::Min)?, end(Reduction::Max, Binary::Max)?);
        let span = parts.add(Binary::Sub, &[high, low])?;
        let scale = parts.add(Binary::Div, &[span, steps])?;
        let place = parts.add(Binary::Div, &[low, scale])?;
        let place = parts.add(Unary::Neg, &[place])?;
        let place = parts.add(Unary::Round, &[place])?;
        let zero = saturated(parts, place, DType::U8)?;
        let numbers = parts.add(Cast { to: DType::F32 }, &[zero])?;
        let quotient = parts.add(Binary::Div, &[x, scale])?;
        let rounded = parts.add(Unary::Round, &[quotient])?;
        let codes = parts.add(Binary::Add, &[rounded, numbers])?;
        let codes = saturated(parts, codes, DType::U8)?;
        Ok(vec![codes, parts.add(Identity, &[scale])?, parts.add(Identity, &[zero])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.op_type() == "DynamicQuantizeLinear" {
        return Ok(composite(DynamicQuantizeLinear));
    }
    let to = node.int("output_dtype")?.is_some_and(|n| n != 0).then(|| node.dtype("output_dtype"));
    let to = to.transpose()?.flatten().unwrap_or(DType::U8);
    let saturate = node.int_or("saturate", 1)? != 0;
    let block = node.int_or("block_size", 0)?;
    if block < 0 {
        return Err(invalid(format!("blocks of {block}")));
    }
    Ok(composite(QuantizeLinear { axis: node.int_or("axis", 1)?, block, to, saturate }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, to: DType, axis, block, shapes: [&[usize]; 2], zeros: bool| {
        let x = sample::floats_in(shapes[0], 1, -30.0, 30.0);
        // Powers of two: a quotient that is rounded once more could lie on the other side of a half.
        let scales: Vec<f64> =
            (0..shapes[1].iter().product::<usize>()).map(|n| [0.25, 0.5, 1.0][n % 3]).collect();
        let zeros = zeros.then(|| sample::integers_in(shapes[1], 3, 0, 7).cast(to));
        let inputs = vec![Some(x), Some(sample::of(DType::F32, shapes[1], &scales)), zeros];
        let case = Case::composite(name, QuantizeLinear { axis, block, to, saturate: true }, inputs);
        case.tolerance(Tolerance::EXACT)
    };
    let dynamic = Case::composite("dynamic", DynamicQuantizeLinear, vec![Some(sample::floats(&[3, 5], 1))]);
    vec![
        case("one scale", DType::U8, 1, 0, [&[3, 5], &[]], true),
        case("a list of scales", DType::I8, 1, 0, [&[2, 3, 4], &[3]], true),
        case("blocks", DType::U8, 1, 2, [&[3, 6, 2], &[3, 3, 2]], true),
        case("blocks, the last not full", DType::I16, 0, 4, [&[6, 5], &[2, 5]], false),
        case("int4", DType::I4, 1, 0, [&[5], &[]], true),
        case("uint4", DType::U4, 1, 0, [&[5], &[]], true),
        case("int2", DType::I2, 1, 0, [&[5], &[]], true),
        case("uint2", DType::U2, 1, 0, [&[5], &[]], false),
        case("f8e4m3fn", DType::F8E4M3Fn, 1, 0, [&[5], &[]], false),
        case("f4e2m1, blocks", DType::F4E2M1, 1, 2, [&[3, 6, 2], &[3, 3, 2]], false),
        case("uint16 without zeros", DType::U16, 1, 0, [&[5], &[]], false),
        dynamic,
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[standard("DynamicQuantizeLinear", 11..=27), standard("QuantizeLinear", 10..=27)],
    decode,
    cases,
};
