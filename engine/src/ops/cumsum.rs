//! CumSum and CumProd: sums and products of all elements up to each position of an axis.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, Tolerance,
        nd::{around, floats, given, integers},
        rows::{Rows, whole, without},
        sample, standard,
    },
};

/// The axis is input 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumSum {
    /// Whether elements are multiplied: the operator CumProd.
    pub product: bool,
    /// Whether an element's own value is left out of its sum.
    pub exclusive: bool,
    /// Whether sums run from the end.
    pub reverse: bool,
}

impl CumSum {
    fn sums<T: Copy>(
        self,
        data: &[T],
        [outer, size, inner]: [usize; 3],
        first: T,
        add: impl Fn(T, T) -> T,
    ) -> Vec<T> {
        let mut out = vec![first; data.len()];
        for row in 0..outer * inner {
            let mut sum = first;
            for n in 0..size {
                let n = if self.reverse { size - 1 - n } else { n };
                let at = (row / inner * size + n) * inner + row % inner;
                let next = add(sum, data[at]);
                out[at] = if self.exclusive { sum } else { next };
                sum = next;
            }
        }
        out
    }
}

impl Op for CumSum {
    fn name(&self) -> &'static str {
        if self.product { "CumProd" } else { "CumSum" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        Infer::axis(axis(&cx.integers(1)?)?, input.rank())?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axis = Infer::axis(axis(&given(inputs, 1)?.to_i64s())?, input.shape().len())?;
        let (parts, shape) = (around(input.shape(), axis), input.shape().to_vec());
        let product = self.product;
        Ok(vec![if input.dtype().is_float() {
            let step = |a, b| if product { a * b } else { a + b };
            let first = if product { 1.0 } else { 0.0 };
            floats(input.dtype(), shape, &self.sums(&input.to_f64s(), parts, first, step))?
        } else {
            let step = if product { i64::wrapping_mul } else { i64::wrapping_add };
            let all = self.sums(&input.to_i64s(), parts, i64::from(product), step);
            integers(input.dtype(), shape, &all)?
        }])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let view = cx.shaped(0)?;
        let at: Option<Vec<i64>> = cx.content(1)?.iter().map(Expr::constant).collect();
        let axis = Infer::axis(axis(&at.ok_or(OpError::NotConstant { index: 1 })?)?, view.dims.len())?;
        let out = Destination::strided(cx, 0)?;
        let size = view.dims[axis].size.clone();
        let (from, n, step) = without(&view, axis, size.clone());
        let (to, _, out_step) = without(&out.view, axis, size);
        let many = || OpError::Unsupported("a running sum over too many strided dimensions".into());
        let rows = Rows::of(&[&from, &to]).ok_or_else(many)?;
        let mut params = rows.params(&["a_strides", "out_strides"]);
        params.extend([
            ("rows", Param::Int(rows.count.clone())),
            ("n", Param::Int(n.clone())),
            ("a_step", Param::Int(step.clone())),
            ("out_step", Param::Int(out_step.clone())),
        ]);
        let spec = KernelSpec::new("cumsum")
            .with("ELEM", view.elem.wgsl())
            .flag("PRODUCT", self.product)
            .flag("EXCLUSIVE", self.exclusive)
            .flag("REVERSE", self.reverse);
        let slots =
            vec![("a", Slot::View(whole(from, &n, &step))), ("out", Slot::View(whole(to, &n, &out_step)))];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows.count.ceil_div(64)) });
        out.finish(cx)
    }
}

fn axis(list: &[i64]) -> Result<i64, OpError> {
    list.first().copied().ok_or_else(|| invalid("the axis is empty"))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(CumSum {
        product: node.op_type() == "CumProd",
        exclusive: node.int_or("exclusive", 0)? != 0,
        reverse: node.int_or("reverse", 0)? != 0,
    }))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
        for (shape, axis) in [(&[7][..], 0), (&[3, 5], 1), (&[3, 5, 2], -2)] {
            let op = CumSum { product: false, exclusive, reverse };
            let axis = sample::scalar(crate::dtype::DType::I64, f64::from(axis));
            let inputs = vec![Some(sample::floats(shape, 1)), Some(axis.clone())];
            cases.push(Case::new(format!("{op:?} of {shape:?}"), op, inputs).constants(&[1]));
            let inputs = vec![Some(sample::integers_in(shape, 1, 0, 2)), Some(axis)];
            let case = Case::new(format!("{op:?} of int64 {shape:?}"), op, inputs);
            cases.push(case.constants(&[1]).tolerance(Tolerance::EXACT));
        }
        let op = CumSum { product: true, exclusive, reverse };
        let axis = Some(sample::list(&[1]));
        let inputs = vec![Some(sample::floats_in(&[3, 5, 2], 1, 0.5, 1.5)), axis.clone()];
        cases.push(Case::new(format!("{op:?}"), op, inputs).constants(&[1]));
        let inputs = vec![Some(sample::integers_in(&[2, 6], 1, -3, 4)), axis];
        let case = Case::new(format!("{op:?} of int64"), op, inputs);
        cases.push(case.constants(&[1]).tolerance(Tolerance::EXACT));
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("CumSum", 11..=27), standard("CumProd", 26..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::CumSum;

    #[test]
    fn values_by_hand() {
        let sums = |exclusive, reverse| {
            let op = CumSum { product: false, exclusive, reverse };
            op.sums(&[1, 2, 3], [1, 3, 1], 0, |a, b| a + b)
        };
        assert_eq!(sums(false, false), [1, 3, 6]);
        assert_eq!(sums(true, false), [0, 1, 3]);
        assert_eq!(sums(false, true), [6, 5, 3]);
        assert_eq!(sums(true, true), [5, 3, 0]);
    }
}
