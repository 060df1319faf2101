//! Activations spelled out: SiLU, quick Gelu, and Gelu by erf or tanh, whichever way the factors are grouped.
//!
//! What goes into the sigmoid, erf or tanh, and what is made of it, are polynomials of one value and that function;
//! exporters differ only in how they write these.

use std::{f64::consts, sync::Arc};

use super::pattern::{Cx, Misfit, Pattern, Rewrite};
use crate::{
    dtype::DType,
    graph::{Node, ValueId},
    ops::unary::{QUICK, Unary},
};

pub(super) struct Activation;

impl Pattern for Activation {
    fn name(&self) -> &'static str {
        "Activation"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        !candidates(cx, node).is_empty()
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let mut reason = None;
        for candidate in candidates(cx, node) {
            match whole(cx, node.outputs[0], &candidate) {
                Ok(replaces) => {
                    let input = cx.of_type(candidate.x, replaces).ok_or("it is widened behind its input")?;
                    let op = Arc::new(candidate.activation);
                    return Ok(Rewrite::new(replaces, op, vec![Some(input)]));
                }
                Err(text) => reason = reason.or(Some(text)),
            }
        }
        Err(reason.unwrap_or_else(|| "it is of no known polynomial".to_owned()).into())
    }
}

/// Coefficients of `x^i * f^j` at `[i][j]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Polynomial([[f64; 2]; 4]);

impl Polynomial {
    /// `factor * x^power`, times `f` where `function` is 1.
    fn term(factor: f64, power: usize, function: usize) -> Self {
        let mut out = Self::default();
        out.0[power][function] = factor;
        out
    }

    fn terms(self) -> impl Iterator<Item = (usize, usize, f64)> {
        self.0
            .into_iter()
            .enumerate()
            .flat_map(|(i, row)| row.into_iter().enumerate().map(move |(j, c)| (i, j, c)))
    }

    /// `self + factor * other`.
    fn plus(mut self, other: Self, factor: f64) -> Self {
        other.terms().for_each(|(i, j, c)| self.0[i][j] += factor * c);
        self
    }

    /// The product, if its powers are among those held.
    fn times(self, other: Self) -> Option<Self> {
        let mut out = Self::default();
        for (i, j, a) in self.terms().filter(|t| t.2 != 0.0) {
            for (k, l, b) in other.terms().filter(|t| t.2 != 0.0) {
                *out.0.get_mut(i + k)?.get_mut(j + l)? += a * b;
            }
        }
        Some(out)
    }

    /// Whether both have the same terms, and their factors differ by no more than rounding.
    fn is_close(self, other: Self, rounding: f64) -> bool {
        self.terms().zip(other.terms()).all(|((.., a), (.., b))| (a - b).abs() <= rounding * b.abs())
    }
}

/// An activation of `x`, if what is made of the function is `result`.
struct Candidate {
    x: ValueId,
    activation: Unary,
    result: Polynomial,
    rounding: f64,
}

/// Values that a sigmoid, erf or tanh takes the polynomial of an activation of.
fn candidates(cx: &Cx<'_>, node: &Node) -> Vec<Candidate> {
    let input = node.input(0).filter(|_| matches!(node.op.name(), "Sigmoid" | "Erf" | "Tanh"));
    let Some(input) = input else { return Vec::new() };
    // Two factors are multiplied, each rounded to the type.
    let rounding = match cx.graph.fact(input).map(|f| f.dtype) {
        Some(DType::F16) => 1e-3,
        Some(DType::BF16) => 8e-3,
        _ => 1e-5,
    };
    let of = |x: &ValueId| {
        let inner = polynomial(cx, input, *x, None, DEPTH)?;
        let (activation, result) = activation(node.op.name(), inner, rounding)?;
        Some(Candidate { x: *x, activation, result, rounding })
    };
    sources(cx, input).iter().filter_map(of).collect()
}

/// The activation that has this polynomial in this function, and what it makes of the function.
fn activation(function: &str, inner: Polynomial, rounding: f64) -> Option<(Unary, Polynomial)> {
    let is = |want: Polynomial| inner.is_close(want, rounding);
    let linear = |factor: f64| Polynomial::term(factor, 1, 0);
    let product = Polynomial::term(1.0, 1, 1);
    let gelu = Polynomial::term(0.5, 1, 0).plus(product, 0.5);
    let slope = consts::FRAC_2_SQRT_PI * consts::FRAC_1_SQRT_2;
    match function {
        "Sigmoid" if is(linear(1.0)) => Some((Unary::Swish { alpha: 1.0 }, product)),
        "Sigmoid" if is(linear(f64::from(QUICK))) => Some((Unary::Swish { alpha: QUICK }, product)),
        "Erf" if is(linear(consts::FRAC_1_SQRT_2)) => Some((Unary::Gelu, gelu)),
        "Tanh" if is(linear(slope).plus(Polynomial::term(slope, 3, 0), 0.044_715)) => {
            Some((Unary::GeluTanh, gelu))
        }
        _ => None,
    }
}

/// Nodes looked through: the longest known way of writing one has six.
const DEPTH: usize = 8;

/// The values that arithmetic with constants makes `value` of, itself the first.
fn sources(cx: &Cx<'_>, value: ValueId) -> Vec<ValueId> {
    let mut all = vec![value];
    let mut next = 0;
    while let Some(value) = all.get(next).copied().filter(|_| next < 2 * DEPTH) {
        next += 1;
        let node = cx.producer(value);
        let node =
            node.filter(|n| matches!(n.op.name(), "Cast" | "Neg" | "Add" | "Sub" | "Mul" | "Div" | "Pow"));
        for input in node.iter().flat_map(|n| n.inputs.iter().flatten()) {
            if cx.scalar(*input).is_none() && !all.contains(input) {
                all.push(*input);
            }
        }
    }
    all
}

/// What `value` is of `x` and the function's value `f`.
fn polynomial(
    cx: &Cx<'_>,
    value: ValueId,
    x: ValueId,
    f: Option<ValueId>,
    depth: usize,
) -> Option<Polynomial> {
    if value == x || cx.through_casts(value) == cx.through_casts(x) {
        return Some(Polynomial::term(1.0, 1, 0));
    }
    let value = cx.through_casts(value);
    if Some(value) == f {
        return Some(Polynomial::term(1.0, 0, 1));
    }
    if let Some(number) = cx.scalar(value) {
        return Some(Polynomial::term(number, 0, 0));
    }
    let node = cx.producer(value).filter(|_| depth > 0)?;
    let operand = |i: usize| polynomial(cx, node.input(i)?, x, f, depth - 1);
    let scalar = |i: usize| cx.scalar(node.input(i)?);
    match node.op.name() {
        "Neg" => Some(Polynomial::default().plus(operand(0)?, -1.0)),
        "Add" => Some(operand(0)?.plus(operand(1)?, 1.0)),
        "Sub" => Some(operand(0)?.plus(operand(1)?, -1.0)),
        "Mul" => operand(0)?.times(operand(1)?),
        "Div" => operand(0)?.times(Polynomial::term(1.0 / scalar(1)?, 0, 0)),
        "Pow" => {
            let (base, power) = (operand(0)?, scalar(1)?);
            match power {
                2.0 => base.times(base),
                3.0 => base.times(base)?.times(base),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value behind the function's `f` that is the whole activation; nothing else reads what lies between.
fn whole(cx: &Cx<'_>, f: ValueId, candidate: &Candidate) -> Result<ValueId, String> {
    let mut value = f;
    for _ in 0..DEPTH {
        value = cx.after_casts(value);
        let reader = cx.only_reader_of_any(value).ok_or("what is made of it goes to several places")?;
        value = reader.outputs[0];
        let found = polynomial(cx, value, candidate.x, Some(f), DEPTH);
        let found =
            found.ok_or_else(|| format!("it is followed by {}, not by its own input", reader.op.name()))?;
        if found.is_close(candidate.result, candidate.rounding) {
            let shape = |value| cx.graph.fact(value).map(|f| &f.shape);
            let same = shape(value) == shape(candidate.x);
            return if same { Ok(value) } else { Err("a constant changes the shape".to_owned()) };
        }
    }
    Err("too much is made of it".to_owned())
}
