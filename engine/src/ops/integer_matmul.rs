//! MatMulInteger and QLinearMatMul: products of matrices of integer codes.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, matmul::MatMul, one_hot::facing, quantize::saturated, reshape::Reshape,
    unary::Unary,
};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// `(a - a_zero) (b - b_zero)` in 32 bits. Inputs: a, b, their zeros: one, or one for each row of a and column of b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMulInteger;

/// The same as codes of the result's own: inputs a, its scale and zero, the same of b, scale and zero of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QLinearMatMul;

/// A number, or a list that lies along the rows of matrices, or along their columns.
fn spread(parts: &mut Parts<'_, '_>, x: ValueId, rows: bool) -> Result<ValueId, OpError> {
    let fact = parts.fact(x)?;
    if fact.rank() != 1 {
        return Ok(x);
    }
    if fact.len().constant() == Some(1) {
        let scalar = parts.integers(&[])?;
        return parts.add(Reshape { allow_zero: false }, &[x, scalar]);
    }
    facing(parts, x, usize::from(rows))
}

/// Codes less their zero, in 32 bits.
fn centred(
    parts: &mut Parts<'_, '_>,
    x: ValueId,
    zero: Option<ValueId>,
    rows: bool,
) -> Result<ValueId, OpError> {
    let wide = Cast { to: Some(DType::I32) };
    let x = parts.add(wide, &[x])?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = parts.add(wide, &[zero])?;
    let zero = spread(parts, zero, rows)?;
    parts.add(Binary::Sub, &[x, zero])
}

impl Composite for MatMulInteger {
    fn name(&self) -> &'static str {
        "MatMulInteger"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (a, b) = (parts.input(0)?, parts.input(1)?);
        let a = centred(parts, a, parts.optional(2), true)?;
        let b = centred(parts, b, parts.optional(3), false)?;
        Ok(vec![parts.add(MatMul, &[a, b])?])
    }
}

impl Composite for QLinearMatMul {
    fn name(&self) -> &'static str {
        "QLinearMatMul"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (a, b, zero) = (parts.input(0)?, parts.input(3)?, parts.input(7)?);
        let wide = Cast { to: Some(DType::F32) };
        let mut scale = |index, rows| {
            let scale = parts.input(index)?;
            let scale = parts.add(wide, &[scale])?;
            spread(parts, scale, rows)
        };
        let (a_scale, b_scale, scale) = (scale(1, true)?, scale(4, false)?, scale(6, true)?);
        let a = centred(parts, a, parts.optional(2), true)?;
        let b = centred(parts, b, parts.optional(5), false)?;
        let product = parts.add(MatMul, &[a, b])?;
        let product = parts.add(wide, &[product])?;
        let both = parts.add(Binary::Mul, &[a_scale, b_scale])?;
        let factor = parts.add(Binary::Div, &[both, scale])?;
        let scaled = parts.add(Binary::Mul, &[product, factor])?;
        let rounded = parts.add(Unary::Round, &[scaled])?;
        let to = parts.fact(zero)?.dtype;
        let zero = parts.add(wide, &[zero])?;
        let zero = spread(parts, zero, true)?;
        let codes = parts.add(Binary::Add, &[rounded, zero])?;
        Ok(vec![saturated(parts, codes, to)?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(if node.op_type() == "MatMulInteger" { composite(MatMulInteger) } else { composite(QLinearMatMul) })
}

fn cases() -> Vec<Case> {
    let codes = |shape: &[usize], seed, dtype| Some(sample::integers_in(shape, seed, 0, 100).cast(dtype));
    let plain = |name: &str, a: &[usize], b: &[usize], zeros: [Option<&[usize]>; 2]| {
        let zero = |at: usize, dtype| zeros[at].and_then(|shape| codes(shape, 3 + at as u64, dtype));
        let inputs =
            vec![codes(a, 1, DType::U8), codes(b, 2, DType::I8), zero(0, DType::U8), zero(1, DType::I8)];
        Case::composite(name, MatMulInteger, inputs).tolerance(Tolerance::EXACT)
    };
    let scale = |value: f64| Some(sample::scalar(DType::F32, value));
    let scaled = |name: &str, a: &[usize], b: &[usize], dtype| {
        let zero = |seed| codes(&[], seed, dtype);
        let (a, b) = (codes(a, 1, dtype), codes(b, 2, dtype));
        let inputs = vec![a, scale(0.5), zero(3), b, scale(0.25), zero(4), scale(16.0), zero(5)];
        Case::composite(name, QLinearMatMul, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        plain("no zeros", &[3, 4], &[4, 5], [None, None]),
        plain("zeros", &[2, 3, 4], &[4, 5], [Some(&[]), Some(&[1])]),
        plain("zeros of rows and columns", &[3, 4], &[4, 5], [Some(&[3]), Some(&[5])]),
        scaled("codes of uint8", &[3, 4], &[4, 5], DType::U8),
        scaled("codes of int8, batches", &[2, 3, 4], &[2, 4, 5], DType::I8),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[standard("MatMulInteger", 10..=27), standard("QLinearMatMul", 10..=27)],
    decode,
    cases,
};
