//! Gemm: `alpha * a b + beta * c`, `a` and `b` transposed on demand.

use std::sync::Arc;

use super::{binary::Binary, matmul::MatMul, transpose::Transpose};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// A product and a sum, as PyTorch's exporter writes a linear layer of rank 2: what fuses products fuses these too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of `c`.
    pub beta: f32,
    /// Whether `a` is stored `[k, m]`.
    pub transpose_a: bool,
    /// Whether `b` is stored `[n, k]`.
    pub transpose_b: bool,
}

fn matrix(parts: &mut Parts<'_, '_>, index: usize, turned: bool) -> Result<ValueId, OpError> {
    let id = parts.input(index)?;
    let rank = parts.fact(id)?.rank();
    if rank != 2 {
        return Err(invalid(format!("an operand of rank {rank} is no matrix")));
    }
    if turned { parts.add(Transpose { perm: Some(vec![1, 0]) }, &[id]) } else { Ok(id) }
}

fn scaled(parts: &mut Parts<'_, '_>, id: ValueId, factor: f32) -> Result<ValueId, OpError> {
    if factor == 1.0 {
        return Ok(id);
    }
    let dtype = parts.fact(id)?.dtype;
    let factor = parts.number(factor.into(), dtype)?;
    parts.add(Binary::Mul, &[id, factor])
}

impl Composite for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (a, b) = (matrix(parts, 0, self.transpose_a)?, matrix(parts, 1, self.transpose_b)?);
        let product = parts.add(MatMul, &[a, b])?;
        let product = scaled(parts, product, self.alpha)?;
        let Some(c) = parts.optional(2).filter(|_| self.beta != 0.0) else { return Ok(vec![product]) };
        let rank = parts.fact(c)?.rank();
        if rank > 2 {
            return Err(invalid(format!("c of rank {rank} does not fit a matrix")));
        }
        let c = scaled(parts, c, self.beta)?;
        Ok(vec![parts.add(Binary::Add, &[product, c])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(Gemm {
        alpha: node.float_or("alpha", 1.0)?,
        beta: node.float_or("beta", 1.0)?,
        transpose_a: node.int_or("transA", 0)? != 0,
        transpose_b: node.int_or("transB", 0)? != 0,
    }))
}

fn cases() -> Vec<Case> {
    let case = |alpha, beta, transpose_a, transpose_b, c: Option<&[usize]>| {
        let op = Gemm { alpha, beta, transpose_a, transpose_b };
        let a = sample::floats(if transpose_a { &[5, 3] } else { &[3, 5] }, 1);
        let b = sample::floats(if transpose_b { &[7, 5] } else { &[5, 7] }, 2);
        let name = format!("{op:?}, c {c:?}");
        Case::composite(name, op, vec![Some(a), Some(b), c.map(|s| sample::floats(s, 3))])
    };
    vec![
        case(1.0, 1.0, false, false, None),
        case(1.0, 1.0, false, true, Some(&[7])),
        case(0.5, 1.0, true, false, Some(&[3, 7])),
        case(0.25, 0.5, true, true, Some(&[3, 1])),
        case(1.0, 2.0, false, false, Some(&[])),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Gemm", 1..=27)], decode, cases };
