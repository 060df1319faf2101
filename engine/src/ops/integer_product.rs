//! MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv: products of integer codes.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, conv::Conv, matmul::MatMul, one_hot::facing, quantize::saturated,
    reshape::Reshape, unary::Unary,
};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    op::{
        Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard,
        window::{Padding, Window},
    },
};

/// What multiplies and sums. A list of scales or zeros has one for each row of a and the result and column of b, or for each
/// output channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Product {
    /// Of matrices.
    MatMul,
    /// Of an image and filters.
    Conv(Conv),
}

/// `(a - a_zero) (b - b_zero)` in 32 bits. Inputs: a, b, their zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerProduct(pub Product);

/// The same as codes of the result's own. Inputs: a, its scale and zero, the same of b, scale and zero of the result; biases
/// in 32 bits where there are filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaledProduct(pub Product);

/// A number, or a list with `behind` dimensions behind it.
fn spread(parts: &mut Parts<'_, '_>, x: ValueId, behind: usize) -> Result<ValueId, OpError> {
    let fact = parts.fact(x)?;
    if fact.rank() != 1 {
        return Ok(x);
    }
    if fact.len().constant() == Some(1) {
        let scalar = parts.integers(&[])?;
        return parts.add(Reshape { allow_zero: false }, &[x, scalar]);
    }
    facing(parts, x, behind)
}

/// Codes less their zero, in 32 bits.
fn centred(
    parts: &mut Parts<'_, '_>,
    x: ValueId,
    zero: Option<ValueId>,
    behind: usize,
) -> Result<ValueId, OpError> {
    let wide = Cast { to: DType::I32 };
    let x = parts.add(wide, &[x])?;
    let Some(zero) = zero else { return Ok(x) };
    let zero = parts.add(wide, &[zero])?;
    let zero = spread(parts, zero, behind)?;
    parts.add(Binary::Sub, &[x, zero])
}

impl Product {
    /// Adds the product of two values and zeros.
    fn of(
        &self,
        parts: &mut Parts<'_, '_>,
        [a, b]: [ValueId; 2],
        [a_zero, b_zero]: [Option<ValueId>; 2],
        biases: Option<ValueId>,
    ) -> Result<ValueId, OpError> {
        let a = centred(parts, a, a_zero, 1)?;
        match self {
            Self::MatMul => {
                let b = centred(parts, b, b_zero, 0)?;
                parts.add(MatMul, &[a, b])
            }
            Self::Conv(conv) => {
                let behind = parts.fact(b)?.rank().saturating_sub(1);
                let b = centred(parts, b, b_zero, behind)?;
                Ok(parts.add_all(conv.clone(), &[Some(a), Some(b), biases], 1)?[0])
            }
        }
    }
}

impl Composite for IntegerProduct {
    fn name(&self) -> &'static str {
        match self.0 {
            Product::MatMul => "MatMulInteger",
            Product::Conv(_) => "ConvInteger",
        }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let codes = [parts.input(0)?, parts.input(1)?];
        let zeros = [parts.optional(2), parts.optional(3)];
        Ok(vec![self.0.of(parts, codes, zeros, None)?])
    }
}

impl Composite for ScaledProduct {
    fn name(&self) -> &'static str {
        match self.0 {
            Product::MatMul => "QLinearMatMul",
            Product::Conv(_) => "QLinearConv",
        }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (a, b, zero) = (parts.input(0)?, parts.input(3)?, parts.input(7)?);
        let zeros = [parts.optional(2), parts.optional(5)];
        let (biases, to) = (parts.optional(8), parts.fact(zero)?.dtype);
        let product = self.0.of(parts, [a, b], zeros, biases)?;
        let (along_a, along_b) = match self.0 {
            Product::MatMul => (1, 0),
            Product::Conv(_) => (0, parts.fact(product)?.rank().saturating_sub(2)),
        };
        let wide = Cast { to: DType::F32 };
        let mut scale = |index, behind| {
            let scale = parts.input(index)?;
            let scale = parts.add(wide, &[scale])?;
            spread(parts, scale, behind)
        };
        let (a_scale, b_scale, scale) = (scale(1, along_a)?, scale(4, along_b)?, scale(6, along_a)?);
        let product = parts.add(wide, &[product])?;
        let both = parts.add(Binary::Mul, &[a_scale, b_scale])?;
        let factor = parts.add(Binary::Div, &[both, scale])?;
        let scaled = parts.add(Binary::Mul, &[product, factor])?;
        let rounded = parts.add(Unary::Round, &[scaled])?;
        let zero = parts.add(wide, &[zero])?;
        let zero = spread(parts, zero, along_a)?;
        let codes = parts.add(Binary::Add, &[rounded, zero])?;
        Ok(vec![saturated(parts, codes, to)?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let product = if node.op_type().contains("Conv") {
        Product::Conv(Conv { window: Window::decode(node)?, groups: node.int_or("group", 1)? })
    } else {
        Product::MatMul
    };
    let scaled = node.op_type().starts_with("QLinear");
    Ok(if scaled { composite(ScaledProduct(product)) } else { composite(IntegerProduct(product)) })
}

fn cases() -> Vec<Case> {
    let codes = |shape: &[usize], seed, dtype| Some(sample::integers_in(shape, seed, 0, 100).cast(dtype));
    let plain = |name: &str, a: &[usize], b: &[usize], zeros: [Option<&[usize]>; 2]| {
        let zero = |at: usize, dtype| zeros[at].and_then(|shape| codes(shape, 3 + at as u64, dtype));
        let inputs =
            vec![codes(a, 1, DType::U8), codes(b, 2, DType::I8), zero(0, DType::U8), zero(1, DType::I8)];
        Case::composite(name, IntegerProduct(Product::MatMul), inputs).tolerance(Tolerance::EXACT)
    };
    let scale = |value: f64| Some(sample::scalar(DType::F32, value));
    let scaled = |name: &str, a: &[usize], b: &[usize], dtype| {
        let zero = |seed| codes(&[], seed, dtype);
        let (a, b) = (codes(a, 1, dtype), codes(b, 2, dtype));
        let inputs = vec![a, scale(0.5), zero(3), b, scale(0.25), zero(4), scale(16.0), zero(5)];
        Case::composite(name, ScaledProduct(Product::MatMul), inputs).tolerance(Tolerance::EXACT)
    };
    let conv = |groups| {
        let padding = Padding::Explicit(vec![[1, 0], [0, 2]]);
        let window = Window { strides: vec![1, 2], dilations: vec![], spread: vec![], padding, ceil: false };
        Product::Conv(Conv { window, groups })
    };
    let image = |name: &str, dtype, groups: i64, zeros: &[usize]| {
        let inputs = vec![
            codes(&[2, 4, 5, 6], 1, dtype),
            codes(&[18, 4 / groups as usize, 2, 3], 2, dtype),
            codes(&[], 3, dtype),
            codes(zeros, 4, dtype),
        ];
        Case::composite(name, IntegerProduct(conv(groups)), inputs).tolerance(Tolerance::EXACT)
    };
    let scaled_image = |name: &str, dtype, scales: &[usize], biases: bool| {
        // Small: half precision holds every number on the way.
        let codes = |shape: &[usize], seed| Some(sample::integers_in(shape, seed, 0, 8).cast(dtype));
        let zero = |seed| codes(&[], seed);
        // Powers of two: products are exact.
        let powers =
            sample::integers_in(scales, 6, 1, 3).to_f64s().iter().map(|n| n / 8.0).collect::<Vec<_>>();
        let biases = biases.then(|| sample::integers_in(&[6], 7, -1000, 1000).cast(DType::I32));
        let (x, filters) = (codes(&[1, 4, 5, 6], 1), codes(&[6, 2, 2, 3], 2));
        let scales = Some(sample::of(DType::F32, scales, &powers));
        let list = codes(&[6], 4);
        let inputs = vec![x, scale(0.5), zero(3), filters, scales, list, scale(1.0), zero(5), biases];
        Case::composite(name, ScaledProduct(conv(2)), inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        image("an image of uint8", DType::U8, 1, &[18]),
        image("an image of int8 in groups", DType::I8, 2, &[1]),
        scaled_image("an image of uint8 to codes", DType::U8, &[6], true),
        scaled_image("an image of int8 to codes", DType::I8, &[1], false),
        plain("no zeros", &[3, 4], &[4, 5], [None, None]),
        plain("zeros", &[2, 3, 4], &[4, 5], [Some(&[]), Some(&[1])]),
        plain("zeros of rows and columns", &[3, 4], &[4, 5], [Some(&[3]), Some(&[5])]),
        scaled("codes of uint8", &[3, 4], &[4, 5], DType::U8),
        scaled("codes of int8, batches", &[2, 3, 4], &[2, 4, 5], DType::I8),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[
        standard("ConvInteger", 10..=27),
        standard("MatMulInteger", 10..=27),
        standard("QLinearConv", 10..=27),
        standard("QLinearMatMul", 10..=27),
    ],
    decode,
    cases,
};
