//! MaxUnpool: elements put back where MaxPool took them from, zeros elsewhere.

use std::sync::Arc;

use super::{
    binary::Binary,
    concat::Concat,
    expand::Expand,
    identity::Identity,
    pad::{Mode, Pad},
    pool::taps,
    reduce::{Reduce, Reduction},
    reshape::Reshape,
    scatter_elements::ScatterElements,
    shape::Shape,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{
        Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard,
        window::{Padding, Window},
    },
};

/// Inputs: elements, their flat places, and the sizes of the result, where it is larger than what the window made smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxUnpool {
    /// MaxPool's.
    pub window: Window,
    /// Number of taps along each axis.
    pub taps: Vec<i64>,
}

impl MaxUnpool {
    /// What the sizes of the result have above `(size - 1) * stride`, and the strides.
    fn lists(&self, rank: usize) -> Result<[Vec<i64>; 2], OpError> {
        let taps = self.taps.iter();
        let (strides, more) = match &self.window.padding {
            Padding::Explicit(pads) if pads.is_empty() => (&self.window.strides, taps.copied().collect()),
            Padding::Explicit(pads) => {
                let less = pads.iter().map(|[before, behind]| before.saturating_add(*behind));
                (&self.window.strides, taps.zip(less).map(|(n, less)| n.saturating_sub(less)).collect())
            }
            Padding::Same { .. } => return Err(OpError::Unsupported("MaxUnpool with auto_pad".into())),
        };
        let strides = if strides.is_empty() { vec![1; rank] } else { strides.clone() };
        let more: Vec<i64> = more;
        if more.len() != rank || strides.len() != rank {
            return Err(invalid(format!("a window of {:?} taps over {rank} axes", self.taps)));
        }
        Ok([more, strides])
    }
}

impl Composite for MaxUnpool {
    fn name(&self) -> &'static str {
        "MaxUnpool"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, places) = (parts.input(0)?, parts.input(1)?);
        let (rank, dtype) = (parts.fact(x)?.rank(), parts.fact(x)?.dtype);
        let [more, strides] = self.lists(rank.saturating_sub(2))?;
        let (more, strides, one) = (parts.integers(&more)?, parts.integers(&strides)?, parts.integers(&[1])?);
        let outer = parts.add(Shape { start: 0, end: Some(2), total: false }, &[x])?;
        let sizes = parts.add(Shape { start: 2, end: None, total: false }, &[x])?;
        let steps = parts.add(Binary::Sub, &[sizes, one])?;
        let steps = parts.add(Binary::Mul, &[steps, strides])?;
        let sizes = parts.add(Binary::Add, &[steps, more])?;
        let shape = parts.add(Concat { axis: 0 }, &[outer, sizes])?;
        let whole = Reduce { reduction: Reduction::Prod, keep: true, noop_without_axes: false, axes: None };
        let total = parts.add(whole, &[shape])?;
        let (zero, flat) = (parts.number(0.0, dtype)?, parts.integers(&[-1])?);
        let zeros = parts.add(Expand, &[zero, total])?;
        let places = parts.add(Reshape { allow_zero: false }, &[places, flat])?;
        let x = parts.add(Reshape { allow_zero: false }, &[x, flat])?;
        let put = parts.add(ScatterElements { axis: 0, reduction: None }, &[zeros, places, x])?;
        let out = parts.add(Reshape { allow_zero: true }, &[put, shape])?;
        let Some(wanted) = parts.optional(2) else { return Ok(vec![parts.add(Identity, &[out])?]) };
        let behind = parts.add(Binary::Sub, &[wanted, shape])?;
        let before = parts.integers(&vec![0; rank])?;
        let counts = parts.add(Concat { axis: 0 }, &[before, behind])?;
        Ok(vec![parts.add(Pad { mode: Mode::Constant }, &[out, counts])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(MaxUnpool { window: Window::decode(node)?, taps: taps(node)? }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, x: &[usize], places: &[f64], pads: &[[i64; 2]], wanted: Option<&[i64]>| {
        let rank = x.len() - 2;
        let window = Window::new(&vec![2; rank], &[], pads);
        let places = sample::of(DType::I64, x, places);
        let inputs = vec![Some(sample::floats(x, 1)), Some(places), wanted.map(sample::list)];
        let case = Case::composite(name, MaxUnpool { window, taps: vec![2; rank] }, inputs);
        case.constants(&[2]).tolerance(Tolerance::EXACT)
    };
    vec![
        case("one axis", &[1, 2, 2], &[1.0, 2.0, 5.0, 6.0], &[], None),
        case("padding was cut", &[1, 1, 3], &[0.0, 1.0, 3.0], &[[1, 1]], None),
        case("a larger result", &[1, 1, 2, 2], &[5.0, 7.0, 13.0, 15.0], &[], Some(&[1, 1, 5, 6])),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("MaxUnpool", 9..=27)], decode, cases };
