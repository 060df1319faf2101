//! LpPool and GlobalLpPool: the root of summed powers.

use std::sync::Arc;

use super::{
    binary::Binary,
    global_pool::over_axes,
    identity::Identity,
    pool::{Function, Pool, taps},
    reduce::Reduction,
    unary::Unary,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{
        Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard,
        window::{Padding, Window},
    },
};

/// `(sum of |x| ^ p) ^ (1 / p)`.
#[derive(Clone, Debug, PartialEq)]
pub struct LpPool {
    /// The power.
    pub p: f32,
    /// How the window moves, and its taps; over all positions at once when left out.
    pub window: Option<(Window, Vec<i64>)>,
}

impl Composite for LpPool {
    fn name(&self) -> &'static str {
        if self.window.is_some() { "LpPool" } else { "GlobalLpPool" }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let dtype = parts.fact(x)?.dtype;
        let raised = |parts: &mut Parts<'_, '_>, x, power: f64| {
            if power == 1.0 {
                return Ok(x);
            }
            let power = parts.number(power, dtype)?;
            parts.add(Binary::Pow, &[x, power])
        };
        let sizes = parts.add(Unary::Abs, &[x])?;
        let powers = raised(parts, sizes, self.p.into())?;
        let sum = match &self.window {
            Some((window, taps)) => {
                let (window, taps) = (window.clone(), taps.clone());
                parts.add(Pool { window, taps, function: Function::Sum }, &[powers])?
            }
            None => over_axes(parts, powers, Reduction::Sum)?,
        };
        let root = raised(parts, sum, 1.0 / f64::from(self.p))?;
        Ok(vec![parts.add(Identity, &[root])?])
    }
}

/// The power is an integer, but in the first version.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let p = if node.version() < 2 { node.float_or("p", 2.0)? } else { node.int_or("p", 2)? as f32 };
    if !(p >= 1.0 && p.is_finite()) {
        return Err(invalid(format!("p = {p}")));
    }
    let windowed = node.op_type() == "LpPool";
    let window = windowed.then(|| Ok::<_, OpError>((Window::decode(node)?, taps(node)?))).transpose()?;
    Ok(composite(LpPool { p, window }))
}

fn cases() -> Vec<Case> {
    let window = |padding| {
        let (strides, dilations) = (vec![1, 2], vec![2, 1]);
        Some((Window { strides, dilations, padding, ..Window::default() }, vec![2, 3]))
    };
    let case = |p, window: Option<(Window, Vec<i64>)>| {
        let name = format!("p {p}, {window:?}");
        Case::composite(name, LpPool { p, window }, vec![Some(sample::floats(&[2, 3, 5, 6], 1))])
    };
    let pads = || Padding::Explicit(vec![[1, 0], [0, 1]]);
    vec![
        case(1.0, window(pads())),
        case(2.0, window(pads())),
        case(3.0, window(Padding::Same { upper: true })),
        case(2.0, None),
        case(3.0, None),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("GlobalLpPool", 1..=27), standard("LpPool", 1..=27)], decode, cases };
