//! Concat: tensors one behind the other along an axis. Inputs that can be computed in their place are not copied.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, TRACKED, Tolerance, View,
        nd::{around, fixed, given, pick},
        sample, standard,
    },
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: i64,
}

/// For each element of the result, which input it is of and where in that.
fn sources(shapes: &[Vec<usize>], axis: usize) -> Vec<(usize, usize)> {
    let outer = shapes.first().map_or(0, |s| around(s, axis)[0]);
    let runs: Vec<usize> = shapes.iter().map(|s| around(s, axis)[1..].iter().product()).collect();
    let of = |at: usize| {
        runs.iter().enumerate().flat_map(move |(n, run)| (at * run..(at + 1) * run).map(move |p| (n, p)))
    };
    (0..outer).flat_map(of).collect()
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let facts = (0..cx.input_count()).map(|i| cx.input(i)).collect::<Result<Vec<_>, _>>()?;
        let first = *facts.first().ok_or(OpError::MissingInput { index: 0 })?;
        let axis = Infer::axis(self.axis, first.rank())?;
        let mut shape = first.shape.clone();
        for (index, fact) in facts.iter().enumerate().skip(1) {
            if fact.rank() != first.rank() || fact.dtype != first.dtype {
                return Err(invalid(format!("input {index} is {fact}, input 0 is {first}")));
            }
            for (at, (a, b)) in first.shape.iter().zip(&fact.shape).enumerate() {
                if at != axis {
                    cx.unify(a, &format!("input 0 axis {at}"), b, &format!("input {index} axis {at}"))?;
                }
            }
            shape[axis] = &shape[axis] + &fact.shape[axis];
        }
        let mut out = Fact::new(first.dtype, shape);
        let shapes: Option<Vec<_>> = facts.iter().map(|f| fixed(&f.shape)).collect();
        let contents: Option<Vec<_>> = facts.iter().map(|f| f.content.as_ref()).collect();
        if let (Some(shapes), Some(contents)) = (shapes, contents)
            && out.len().constant().is_some_and(|n| n <= TRACKED as i64)
        {
            out.content =
                sources(&shapes, axis).into_iter().map(|(n, p)| contents[n].get(p).cloned()).collect();
        }
        Ok(vec![out])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let all = (0..inputs.len()).map(|i| given(inputs, i)).collect::<Result<Vec<_>, _>>()?;
        let first = *all.first().ok_or(OpError::MissingInput { index: 0 })?;
        let axis = Infer::axis(self.axis, first.shape().len())?;
        let shapes: Vec<Vec<usize>> = all.iter().map(|t| t.shape().to_vec()).collect();
        let mut shape = first.shape().to_vec();
        shape[axis] = shapes.iter().map(|s| s.get(axis).copied().unwrap_or(0)).sum();
        let sources = sources(&shapes, axis);
        if first.dtype().is_float() {
            let data: Vec<Vec<f64>> = all.iter().map(|t| t.to_f64s()).collect();
            let joined: Vec<f64> = sources.into_iter().map(|(n, p)| data[n][p]).collect();
            return Ok(vec![HostTensor::from_f64s(first.dtype(), shape, &joined)?]);
        }
        let data: Vec<i64> = all.iter().flat_map(|t| t.to_i64s()).collect();
        let starts: Vec<usize> =
            all.iter().scan(0, |at, t| Some(std::mem::replace(at, *at + t.len()))).collect();
        let joined = crate::op::nd::integers(first.dtype(), vec![data.len()], &data)?;
        let positions: Vec<usize> = sources.into_iter().map(|(n, p)| starts[n] + p).collect();
        Ok(vec![pick(&joined, shape, &positions)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let out = Destination::strided(cx, 0)?;
        let axis = Infer::axis(self.axis, out.view.dims.len())?;
        let mut start = Expr::ZERO;
        for index in 0..cx.input_count() {
            let (input, fact) = (cx.shaped(index)?, cx.fact(index)?);
            let size = &fact.shape[axis];
            let part = out.view.slice(axis, &start, size, 1);
            if !fact.is_empty() && !same_place(&input, &part) {
                cx.copy(&input, &part)?;
            }
            start = &start + size;
        }
        out.finish(cx)
    }

    fn place(&self, index: usize, input: &Fact, inputs: &[Option<&Fact>], output: &View) -> Option<View> {
        let axis = Infer::axis(self.axis, input.rank()).ok()?;
        if output.dims.len() != input.rank() {
            return None;
        }
        let before =
            inputs.get(..index)?.iter().map(|f| f.map(|f| &f.shape[axis])).collect::<Option<Vec<_>>>()?;
        let start = before.into_iter().fold(Expr::ZERO, |at, size| &at + size);
        Some(output.slice(axis, &start, &input.shape[axis], 1))
    }
}

/// Whether two views of one shape are the same elements.
fn same_place(a: &View, b: &View) -> bool {
    let dims = a.dims.iter().zip(&b.dims);
    a.root == b.root
        && a.offset == b.offset
        && a.dims.len() == b.dims.len()
        && dims.into_iter().all(|(x, y)| x.stride == y.stride || x.size.constant() == Some(1))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axis = node.int("axis")?.ok_or_else(|| invalid("attribute \"axis\" is missing"))?;
    Ok(Arc::new(Concat { axis }))
}

fn cases() -> Vec<Case> {
    let case = |axis, shapes: &[&[usize]]| {
        let inputs = shapes.iter().zip(1..).map(|(s, seed)| Some(sample::floats(s, seed))).collect();
        Case::new(format!("{shapes:?} along {axis}"), Concat { axis }, inputs).tolerance(Tolerance::EXACT)
    };
    let integers =
        vec![Some(sample::integers_in(&[3, 2], 1, -9, 9)), Some(sample::integers_in(&[3, 1], 2, -9, 9))];
    vec![
        case(0, &[&[2, 3], &[4, 3]]),
        case(1, &[&[2, 3], &[2, 1], &[2, 5]]),
        case(-2, &[&[1, 3, 5, 4], &[1, 3, 1, 4]]),
        case(-1, &[&[1, 3, 5, 4], &[1, 3, 5, 4]]),
        case(2, &[&[1, 3, 0, 4], &[1, 3, 2, 4]]),
        case(0, &[&[5]]),
        Case::new("int64", Concat { axis: 1 }, integers).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Concat", 4..=27)], decode, cases };
