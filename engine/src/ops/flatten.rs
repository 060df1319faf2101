//! Flatten: a matrix of the dimensions before and from an axis.

use std::sync::Arc;

use symbolic::Expr;

use super::reshape::{reshape, unshaped};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, nd::given, sample, standard},
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The axis, which may be the rank itself.
    pub axis: i64,
}

impl Flatten {
    fn at(self, rank: usize) -> Result<usize, OpError> {
        let at = if self.axis < 0 { self.axis + rank as i64 } else { self.axis };
        let at = usize::try_from(at).ok().filter(|at| *at <= rank);
        at.ok_or_else(|| invalid(format!("axis {} does not fit a tensor of rank {rank}", self.axis)))
    }
}

impl Op for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let (outer, inner) = input.shape.split_at(self.at(input.rank())?);
        let product = |list: &[Expr]| list.iter().fold(Expr::from(1), |n, d| &n * d);
        let shape = vec![product(outer), product(inner)];
        Ok(vec![Fact { dtype: input.dtype, shape, content: input.content.clone() }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let (outer, inner) = input.shape().split_at(self.at(input.shape().len())?);
        let shape = vec![outer.iter().product(), inner.iter().product()];
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

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Flatten { axis: node.int_or("axis", 1)? }))
}

fn cases() -> Vec<Case> {
    let case = |axis, shape: &[usize]| {
        let name = format!("from {axis} of {shape:?}");
        Case::new(name, Flatten { axis }, vec![Some(sample::floats(shape, 1))]).tolerance(Tolerance::EXACT)
    };
    vec![
        case(0, &[2, 3, 4]),
        case(1, &[2, 3, 4]),
        case(2, &[2, 3, 4]),
        case(3, &[2, 3, 4]),
        case(-1, &[2, 3, 4]),
        case(1, &[0, 3]),
        case(0, &[]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Flatten", 1..=27)], decode, cases };
