//! Gemm: `alpha * a b + beta * c`, `a` and `b` transposed on demand.

use std::sync::Arc;

use super::matmul;
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, View, elementwise, fill,
        nd::{Positions, floats, given, optional},
        sample, standard,
    },
};

/// See the module.
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

/// Rows and columns after a transpose on demand.
fn sizes<T: Clone>(shape: &[T], transposed: bool) -> Result<[T; 2], OpError> {
    match shape {
        [a, b] if transposed => Ok([b.clone(), a.clone()]),
        [a, b] => Ok([a.clone(), b.clone()]),
        _ => Err(invalid(format!("an operand of rank {} is no matrix", shape.len()))),
    }
}

impl Op for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        let [m, k] = sizes(&a.shape, self.transpose_a)?;
        let [rows, n] = sizes(&b.shape, self.transpose_b)?;
        cx.unify(&k, "columns of a", &rows, "rows of b")?;
        let shape = vec![m, n];
        if let Some(c) = cx.optional(2) {
            cx.broadcast(&[&shape, &c.shape])?;
        }
        Ok(vec![Fact::new(a.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (a, b) = (given(inputs, 0)?, given(inputs, 1)?);
        let [m, k] = sizes(a.shape(), self.transpose_a)?;
        let [rows, n] = sizes(b.shape(), self.transpose_b)?;
        if rows != k {
            return Err(invalid(format!("shapes {:?} and {:?} do not multiply", a.shape(), b.shape())));
        }
        let (p, q) = (a.to_f64s(), b.to_f64s());
        let left = |i: usize, t: usize| p[if self.transpose_a { t * m + i } else { i * k + t }];
        let right = |t: usize, j: usize| q[if self.transpose_b { j * k + t } else { t * n + j }];
        let dot =
            |c: usize| (0..k).map(|t| left(c / n, t) * right(t, c % n)).sum::<f64>() * f64::from(self.alpha);
        let mut all: Vec<f64> = (0..m * n).map(dot).collect();
        if let Some(c) = optional(inputs, 2) {
            let at = Positions::all(c.shape()).broadcast(&[m, n])?.list();
            let data = c.to_f64s();
            all.iter_mut().zip(at).for_each(|(v, at)| *v += f64::from(self.beta) * data[at]);
        }
        Ok(vec![floats(a.dtype(), vec![m, n], &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let turned = |view: View, turn: bool| if turn { view.transpose(&[1, 0]) } else { view };
        let (a, b) = (turned(cx.shaped(0)?, self.transpose_a), turned(cx.shaped(1)?, self.transpose_b));
        let out = Destination::strided(cx, 0)?;
        let scaled = self.alpha != 1.0;
        let added = cx.has_input(2) && self.beta != 0.0;
        let shape = out.view.shape();
        let mut product = out.view.clone();
        if scaled || added {
            product = cx.temporary("product", out.view.elem, &shape);
        }
        matmul::multiply(cx, &a, &b, &product)?;
        if scaled {
            let to = if added { cx.temporary("scaled", product.elem, &shape) } else { out.view.clone() };
            let alpha = fill::scalar(cx, self.alpha, product.elem);
            elementwise(cx, "mul", &[product, alpha], &to)?;
            product = to;
        }
        if added {
            let mut c = cx.shaped(2)?;
            if self.beta != 1.0 {
                let part = cx.temporary("part", c.elem, &c.shape());
                let beta = fill::scalar(cx, self.beta, c.elem);
                elementwise(cx, "mul", &[c, beta], &part)?;
                c = part;
            }
            elementwise(cx, "add", &[product, c], &out.view)?;
        }
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Gemm {
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
        Case::new(name, op, vec![Some(a), Some(b), c.map(|s| sample::floats(s, 3))])
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
