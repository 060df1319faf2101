//! ArgMax and ArgMin: the place of the greatest or least element along an axis.

use std::sync::Arc;

use symbolic::Expr;

use super::reduce;
use crate::{
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Elem, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, converted, elementwise,
        nd::{around, given, integers},
        sample, standard,
    },
};

/// See the module. Of equal elements the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgMax {
    /// The axis.
    pub axis: i64,
    /// Whether it stays, with size 1.
    pub keep: bool,
    /// Whether the least element is meant: the operator ArgMin.
    pub least: bool,
    /// Whether the last of equal elements counts.
    pub last: bool,
}

impl ArgMax {
    fn shape<T: Clone>(self, shape: &[T], axis: usize, one: T) -> Vec<T> {
        let mut shape = shape.to_vec();
        if self.keep {
            shape[axis] = one;
        } else {
            shape.remove(axis);
        }
        shape
    }

    fn best(self, row: &[f64]) -> usize {
        let mut best = 0;
        for (at, value) in row.iter().enumerate() {
            let better = if self.least { *value < row[best] } else { *value > row[best] };
            if better || self.last && *value == row[best] {
                best = at;
            }
        }
        best
    }
}

impl Op for ArgMax {
    fn name(&self) -> &'static str {
        if self.least { "ArgMin" } else { "ArgMax" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let axis = Infer::axis(self.axis, input.rank())?;
        Ok(vec![Fact::new(crate::dtype::DType::I64, self.shape(&input.shape, axis, Expr::ONE))])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axis = Infer::axis(self.axis, input.shape().len())?;
        let [outer, size, inner] = around(input.shape(), axis);
        let data = input.to_f64s();
        let row = |r: usize| {
            (0..size).map(|n| data[(r / inner * size + n) * inner + r % inner]).collect::<Vec<f64>>()
        };
        let all: Vec<i64> = (0..outer * inner).map(|r| self.best(&row(r)) as i64).collect();
        Ok(vec![integers(crate::dtype::DType::I64, self.shape(input.shape(), axis, 1), &all)?])
    }

    /// The kernel finds the first; the last is the first from behind.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let mut input = cx.shaped(0)?;
        let rank = input.dims.len();
        let axis = Infer::axis(self.axis, rank)?;
        if input.elem == Elem::U32 {
            input = converted(cx, input, Elem::I32)?;
        }
        let size = input.dims[axis].size.clone();
        let last = &size - 1;
        if self.last {
            input = input.slice(axis, &last, &size, -1);
        }
        let order: Vec<usize> = (0..rank).filter(|a| *a != axis).chain([axis]).collect();
        let input = input.transpose(&order);
        let out = Destination::strided(cx, 0)?;
        let mut rows = out.view.clone();
        if self.keep {
            rows.dims.remove(axis);
        }
        let function = if self.least { "argmin" } else { "argmax" };
        if self.last {
            let found = cx.temporary("from behind", rows.elem, &rows.shape());
            reduce::tail(cx, function, input, rank - 1, &found)?;
            let top = cx.temporary("last", rows.elem, &[]);
            crate::op::fill::range(cx, &last, &Expr::ZERO, &top)?;
            elementwise(cx, "sub", &[top, found], &rows)?;
        } else {
            reduce::tail(cx, function, input, rank - 1, &rows)?;
        }
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(ArgMax {
        axis: node.int_or("axis", 0)?,
        keep: node.int_or("keepdims", 1)? != 0,
        least: node.op_type() == "ArgMin",
        last: node.int_or("select_last_index", 0)? != 0,
    }))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let ties = sample::integers_in(&[3, 7], 1, -2, 2);
    for (least, last) in [(false, false), (false, true), (true, false), (true, true)] {
        for (shape, axis, keep) in
            [(&[7][..], 0, true), (&[3, 150], 1, false), (&[4, 3, 2], 1, true), (&[4, 3, 2], -3, false)]
        {
            let op = ArgMax { axis, keep, least, last };
            let case = Case::new(format!("{op:?} of {shape:?}"), op, vec![Some(sample::floats(shape, 1))]);
            cases.push(case.tolerance(Tolerance::EXACT));
        }
        let op = ArgMax { axis: 1, keep: true, least, last };
        let case = Case::new(format!("{op:?} of int64 with ties"), op, vec![Some(ties.clone())]);
        cases.push(case.tolerance(Tolerance::EXACT));
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("ArgMax", 1..=27), standard("ArgMin", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::ArgMax;

    #[test]
    fn ties_by_hand() {
        let place = |least, last| ArgMax { axis: 0, keep: false, least, last }.best(&[1.0, 2.0, 2.0, 1.0]);
        assert_eq!(
            [place(false, false), place(false, true), place(true, false), place(true, true)],
            [1, 2, 0, 3]
        );
    }
}
