//! Expand: broadcasting to a shape, as a view with strides of 0.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance,
        nd::{Positions, broadcast_sizes, fixed, given, moved, pick},
        sample, standard, stretched,
    },
};

/// The shape is input 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expand;

impl Op for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let shape = cx.broadcast(&[&input.shape, cx.content(1)?])?;
        let small = fixed(&shape).filter(|s| s.iter().product::<usize>() <= crate::op::TRACKED);
        let Some(sizes) = small else { return Ok(vec![Fact::new(input.dtype, shape)]) };
        Ok(vec![moved(input, shape, |from| Ok(Positions::all(from).broadcast(&sizes)?.list()))?])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let wanted = given(inputs, 1)?.to_i64s().into_iter().map(usize::try_from);
        let wanted: Vec<usize> =
            wanted.collect::<Result<_, _>>().map_err(|_| invalid("a size is negative"))?;
        let shape = broadcast_sizes(&[input.shape(), &wanted])?;
        let positions = Positions::all(input.shape()).broadcast(&shape)?.list();
        Ok(vec![pick(input, shape, &positions)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let shape: &[Expr] = &cx.output_fact(0)?.shape;
        let view = stretched(&input, shape);
        cx.alias(0, view)
    }
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Expand))
}

fn cases() -> Vec<Case> {
    let case = |from: &[usize], to: &[i64]| {
        let inputs = vec![Some(sample::floats(from, 1)), Some(sample::list(to))];
        let case = Case::new(format!("{from:?} to {to:?}"), Expand, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    vec![
        case(&[3, 1], &[3, 5]),
        case(&[3, 1], &[2, 1, 5]),
        case(&[2, 3, 1, 4], &[2, 3, 3, 4]),
        case(&[3, 5], &[1]),
        case(&[], &[2, 3]),
        case(&[1], &[0]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Expand", 8..=27)], decode, cases };
