//! Squeeze and Unsqueeze: dimensions of size 1 taken out or put in.

use std::sync::Arc;

use symbolic::Expr;

use super::reshape::{reshape, unshaped};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxName, OnnxNode, Op, Operator, Tolerance, View,
        nd::{given, optional},
        sample, standard,
    },
};

/// Axes are input 1, or, before opset 13, an attribute. Squeeze without axes takes out every size of 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeeze {
    /// Whether dimensions are put in: the operator Unsqueeze.
    pub insert: bool,
    /// The axes, as an attribute.
    pub axes: Option<Vec<i64>>,
}

impl Squeeze {
    fn apply<T: Clone>(
        &self,
        shape: &[T],
        axes: Option<Vec<i64>>,
        one: &T,
        is_one: impl Fn(&T) -> Option<bool>,
    ) -> Result<Vec<T>, OpError> {
        let axes = self.axes.clone().or(axes);
        if self.insert {
            let axes = axes.ok_or(OpError::MissingInput { index: 1 })?;
            return inserted(shape, &axes, one);
        }
        let axes: Vec<usize> = match axes {
            Some(axes) => axes.iter().map(|a| Infer::axis(*a, shape.len())).collect::<Result<_, _>>()?,
            None => (0..shape.len()).filter(|a| is_one(&shape[*a]) == Some(true)).collect(),
        };
        if let Some(axis) = axes.iter().find(|a| is_one(&shape[**a]) == Some(false)) {
            return Err(invalid(format!("axis {axis} is squeezed, but its size is not 1")));
        }
        Ok((0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a].clone()).collect())
    }
}

fn inserted<T: Clone>(shape: &[T], axes: &[i64], one: &T) -> Result<Vec<T>, OpError> {
    let rank = shape.len() + axes.len();
    let mut places = axes.iter().map(|a| Infer::axis(*a, rank)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    if places.len() != axes.len() {
        return Err(invalid(format!("axes {axes:?} name one place twice")));
    }
    let mut rest = shape.iter();
    let sizes = (0..rank).map(|at| if places.contains(&at) { Some(one) } else { rest.next() });
    Ok(sizes.flatten().cloned().collect())
}

impl Op for Squeeze {
    fn name(&self) -> &'static str {
        if self.insert { "Unsqueeze" } else { "Squeeze" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let is_one = |d: &Expr| d.constant().map(|n| n == 1);
        let shape = self.apply(&input.shape, cx.optional_integers(1)?, &Expr::from(1), is_one)?;
        if shape.len() < input.rank() {
            for (place, dim) in removed(&input.shape, &shape) {
                cx.unify(dim, &format!("squeezed axis {place}"), &Expr::from(1), "size")?;
            }
        }
        Ok(vec![Fact { dtype: input.dtype, shape, content: input.content.clone() }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axes = optional(inputs, 1).map(HostTensor::to_i64s);
        let shape = self.apply(input.shape(), axes, &1, |d| Some(*d == 1))?;
        Ok(vec![input.clone().reshape(shape)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        reshape(cx)
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        if index == 0 { unshaped(input, output) } else { None }
    }
}

/// Dimensions that a squeeze took out of `shape`, with their places, where they are not known to be 1.
fn removed<'a>(shape: &'a [Expr], rest: &'a [Expr]) -> Vec<(usize, &'a Expr)> {
    let mut rest = rest.iter().peekable();
    let gone = |(at, dim): (usize, &'a Expr)| {
        let kept = rest.next_if(|r| *r == dim).is_some();
        (!kept && dim.constant().is_none()).then_some((at, dim))
    };
    shape.iter().enumerate().filter_map(gone).collect()
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axes = if node.version() < 13 { node.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    Ok(Arc::new(Squeeze { insert: node.op_type() == "Unsqueeze", axes }))
}

const NAMES: &[OnnxName] = &[standard("Squeeze", 1..=27), standard("Unsqueeze", 1..=27)];

fn cases() -> Vec<Case> {
    let case = |insert, shape: &[usize], axes: Option<&[i64]>| {
        let op = Squeeze { insert, axes: None };
        let name = format!("{} {axes:?} of {shape:?}", op.name());
        let inputs = vec![Some(sample::floats(shape, 1)), axes.map(sample::list)];
        Case::new(name, op, inputs).constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let attribute = Squeeze { insert: true, axes: Some(vec![0, -1]) };
    vec![
        case(false, &[1, 3, 1, 5], None),
        case(false, &[1, 3, 1, 5], Some(&[0])),
        case(false, &[1, 3, 1, 5], Some(&[-2, 0])),
        case(false, &[1], Some(&[0])),
        case(true, &[3, 5], Some(&[0])),
        case(true, &[3, 5], Some(&[1, -1])),
        case(true, &[3, 5], Some(&[3, 0, 1])),
        case(true, &[], Some(&[0])),
        case(true, &[0, 2], Some(&[1])),
        Case::new("axes as an attribute", attribute, vec![Some(sample::floats(&[2, 3], 1))]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };
