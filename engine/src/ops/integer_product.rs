//! MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv: products of integer codes.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, conv::Conv, matmul::MatMul, one_hot::facing, quantize::ends, reshape::Reshape,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Composite, Elem, Infer, Lowering, OnnxNode, Op, Operator, Parts, Tolerance, View, broadcast,
        composite, converted, elementwise, fill,
        nd::{Positions, broadcast_sizes, floats, given},
        sample, standard, stretched,
        window::Window,
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
        let (a, b, biases) = (parts.input(0)?, parts.input(3)?, parts.optional(8));
        let zeros = [parts.optional(2), parts.optional(5)];
        let product = self.0.of(parts, [a, b], zeros, biases)?;
        let (along_a, along_b) = match self.0 {
            Product::MatMul => (1, 0),
            Product::Conv(_) => (0, parts.fact(product)?.rank().saturating_sub(2)),
        };
        let mut facing = |index, behind| {
            let number = parts.input(index)?;
            spread(parts, number, behind)
        };
        let scales = [facing(1, along_a)?, facing(4, along_b)?, facing(6, along_a)?];
        let zero = facing(7, along_a)?;
        Ok(vec![parts.add(Requantize, &[&[product], scales.as_slice(), &[zero]].concat())?])
    }
}

/// `x * a_scale * b_scale / scale`, rounded, plus a zero: codes of the zero's type, held at its ends. Inputs: x in 32 bits,
/// the scales, the zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantize;

impl Op for Requantize {
    fn name(&self) -> &'static str {
        "Requantize"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, to) = (cx.input(0)?, cx.input(4)?.dtype);
        ends(to)?;
        let shapes =
            (0..5).map(|at| Ok(cx.input(at)?.shape.as_slice())).collect::<Result<Vec<_>, OpError>>()?;
        let shape = cx.broadcast(&shapes)?;
        if shape.len() != x.rank() {
            return Err(invalid(format!("scales of more dimensions than {x}")));
        }
        Ok(vec![Fact::new(to, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let tensors = (0..5).map(|at| given(inputs, at)).collect::<Result<Vec<_>, _>>()?;
        let to = tensors[4].dtype();
        let (low, high) = ends(to)?;
        let shape = broadcast_sizes(&tensors.iter().map(|t| t.shape()).collect::<Vec<_>>())?;
        let numbers = |tensor: &&HostTensor| {
            let (all, at) = (tensor.to_f64s(), Positions::all(tensor.shape()).broadcast(&shape)?.list());
            Ok(at.into_iter().map(|at| all[at]).collect::<Vec<_>>())
        };
        let all = tensors.iter().map(numbers).collect::<Result<Vec<_>, OpError>>()?;
        let [x, a, b, scale, zero] = [0, 1, 2, 3, 4].map(|at| &all[at]);
        let code = |i: usize| (x[i] * (a[i] * b[i] / scale[i])).round_ties_even() + zero[i];
        let codes: Vec<f64> = (0..x.len()).map(|i| code(i).clamp(low, high)).collect();
        Ok(vec![floats(to, shape, &codes)?])
    }

    /// In f32 whatever activations are held in: sums of products of codes are beyond f16.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let out = cx.output(0)?;
        let (low, high) = ends(cx.output_fact(0)?.dtype)?;
        let wide = |cx: &mut Lowering<'_>, index| {
            if cx.is_constant(index) {
                return cx.constant(index, Elem::F32);
            }
            let view = cx.shaped(index)?;
            converted(cx, view, Elem::F32)
        };
        let mut value = wide(cx, 1)?;
        let steps = [("mul", 2), ("div", 3), ("mul", 0)];
        for (function, index) in steps {
            let other = wide(cx, index)?;
            value = applied(cx, function, &[value, other])?;
        }
        value = applied(cx, "round", &[value])?;
        let zero = wide(cx, 4)?;
        value = applied(cx, "add", &[value, zero])?;
        for (function, end) in [("max", low), ("min", high)] {
            let end = fill::scalar(cx, end as f32, Elem::F32);
            value = applied(cx, function, &[value, end])?;
        }
        cx.copy(&stretched(&value, &out.shape()), &out)
    }
}

/// A function of elements, to memory of its own.
fn applied(cx: &mut Lowering<'_>, function: &'static str, inputs: &[View]) -> Result<View, OpError> {
    let shape = broadcast(&inputs.iter().map(View::shape).collect::<Vec<_>>());
    let out = cx.temporary(function, Elem::F32, &shape);
    elementwise(cx, function, inputs, &out)?;
    Ok(out)
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
        let window = Window::new(&[1, 2], &[], &[[1, 0], [0, 2]]);
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
        let zero = |seed| codes(&[], seed, dtype);
        // Powers of two: products are exact.
        let powers =
            sample::integers_in(scales, 6, 1, 3).to_f64s().iter().map(|n| n / 8.0).collect::<Vec<_>>();
        let biases = biases.then(|| sample::integers_in(&[6], 7, -1000, 1000).cast(DType::I32));
        let (x, filters) = (codes(&[1, 4, 5, 6], 1, dtype), codes(&[6, 2, 2, 3], 2, dtype));
        let scales = Some(sample::of(DType::F32, scales, &powers));
        let list = codes(&[6], 4, dtype);
        let inputs = vec![x, scale(0.5), zero(3), filters, scales, list, scale(64.0), zero(5), biases];
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
