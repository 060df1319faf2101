//! Tile: a tensor repeated along its axes, as a view with strides of 0.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Dim, Infer, Lowering, OnnxNode, Op, Operator, TRACKED, Tolerance, View,
        nd::{Positions, fixed, given, moved, pick},
        sample, standard,
    },
};

/// Repeats are input 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile;

fn positions(shape: &[usize], repeats: &[usize]) -> Vec<usize> {
    let all = Positions::all(shape);
    let dims = repeats.iter().zip(all.dims).flat_map(|(n, dim)| [(*n, 0), dim]);
    Positions { offset: 0, dims: dims.collect() }.list()
}

impl Op for Tile {
    fn name(&self) -> &'static str {
        "Tile"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (input, repeats) = (cx.input(0)?, cx.content(1)?);
        if repeats.len() != input.rank() {
            return Err(invalid(format!("{} repeats for a tensor of rank {}", repeats.len(), input.rank())));
        }
        let shape: Vec<Expr> = input.shape.iter().zip(repeats).map(|(d, n)| d * n).collect();
        let small = fixed(&shape).is_some_and(|s| s.iter().product::<usize>() <= TRACKED);
        Ok(vec![match fixed(repeats) {
            Some(repeats) if small => moved(input, shape, |sizes| Ok(positions(sizes, &repeats)))?,
            _ => Fact::new(input.dtype, shape),
        }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (input, repeats) = (given(inputs, 0)?, given(inputs, 1)?.to_i64s());
        let repeats: Vec<usize> = repeats.into_iter().map(|n| usize::try_from(n).unwrap_or(0)).collect();
        let shape = input.shape().iter().zip(&repeats).map(|(d, n)| d * n).collect();
        Ok(vec![pick(input, shape, &positions(input.shape(), &repeats))?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let view = cx.shaped(0)?;
        let repeats = cx.content(1)?.iter();
        let dims = repeats
            .zip(&view.dims)
            .flat_map(|(n, dim)| [Dim { size: n.clone(), stride: Expr::ZERO }, dim.clone()]);
        let repeated = View { dims: dims.collect(), ..view };
        let shape = cx.output_fact(0)?.shape.clone();
        let view = repeated.reshape(&shape).unwrap_or(repeated);
        cx.alias(0, view)
    }
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Tile))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], repeats: &[i64]| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::list(repeats))];
        let case = Case::new(format!("{shape:?} by {repeats:?}"), Tile, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    vec![
        case(&[3], &[4]),
        case(&[2, 3], &[1, 1]),
        case(&[2, 3], &[2, 3]),
        case(&[1, 3, 1], &[2, 1, 5]),
        case(&[2, 3], &[0, 1]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Tile", 6..=27)], decode, cases };
