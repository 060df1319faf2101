//! Softmax and LogSoftmax along an axis.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, View,
        nd::{around, floats, given},
        rows::{Rows, joined_tail, whole, without},
        sample, standard,
    },
};

/// Before opset 13 all dimensions from the axis on are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis.
    pub axis: i64,
    /// Whether the dimensions behind the axis belong to it.
    pub flatten: bool,
    /// Whether the logarithm is taken: the operator LogSoftmax.
    pub log: bool,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        Infer::axis(self.axis, input.rank())?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let [outer, mut size, mut inner] =
            around(input.shape(), Infer::axis(self.axis, input.shape().len())?);
        if self.flatten {
            (size, inner) = (size * inner, 1);
        }
        let mut data = input.to_f64s();
        for o in 0..outer {
            for i in 0..inner {
                let at: Vec<usize> = (0..size).map(|n| (o * size + n) * inner + i).collect();
                let row: Vec<f64> = at.iter().map(|p| data[*p]).collect();
                for (p, v) in at.into_iter().zip(softmax(&row, self.log)) {
                    data[p] = v;
                }
            }
        }
        Ok(vec![floats(input.dtype(), input.shape().to_vec(), &data)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let axis = Infer::axis(self.axis, input.dims.len())?;
        if self.flatten {
            let out = Destination::contiguous(cx, 0)?;
            let (input, n, step) = joined_tail(cx, input, axis)?;
            let (to, _, out_step) = joined_tail(cx, out.view.clone(), axis)?;
            rows(cx, self.log, [(input, step), (to, out_step)], n)?;
            return out.finish(cx);
        }
        let out = Destination::strided(cx, 0)?;
        along(cx, self.log, input, &out.view, axis)?;
        out.finish(cx)
    }
}

/// The softmax of `input` along `axis`, or its logarithm.
///
/// # Errors
/// When the other dimensions are more than the kernel takes.
pub fn along(cx: &mut Lowering<'_>, log: bool, input: View, out: &View, axis: usize) -> Result<(), OpError> {
    let n = input.dims[axis].size.clone();
    let (from, n, step) = without(&input, axis, n);
    let (to, _, out_step) = without(out, axis, n.clone());
    rows(cx, log, [(from, step), (to, out_step)], n)
}

fn rows(cx: &mut Lowering<'_>, log: bool, [from, to]: [(View, Expr); 2], n: Expr) -> Result<(), OpError> {
    let many = || OpError::Unsupported("a softmax over too many strided dimensions".into());
    let rows = Rows::of(&[&from.0, &to.0]).ok_or_else(many)?;
    let mut params = rows.params(&["a_strides", "out_strides"]);
    params.extend([
        ("rows", Param::Int(rows.count.clone())),
        ("n", Param::Int(n.clone())),
        ("a_step", Param::Int(from.1.clone())),
        ("out_step", Param::Int(to.1.clone())),
    ]);
    let spec = KernelSpec::new("softmax")
        .with("ELEM", to.0.elem.wgsl())
        .flag("LOG", log)
        .flag("SUBGROUPS", cx.target().subgroups);
    let [a, out] = [from, to].map(|(rows, step)| whole(rows, &n, &step));
    let slots = vec![("a", Slot::View(a)), ("out", Slot::View(out))];
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows.count) });
    Ok(())
}

/// Exponentials that sum to 1, or their logarithms. A row of nothing but -inf is NaN, as ONNX has it.
#[must_use]
pub fn softmax(row: &[f64], log: bool) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
    row.iter().map(|v| if log { v - top - sum.ln() } else { (v - top).exp() / sum }).collect()
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let flatten = node.version() < 13;
    let axis = node.int_or("axis", if flatten { 1 } else { -1 })?;
    Ok(Arc::new(Softmax { axis, flatten, log: node.op_type() == "LogSoftmax" }))
}

fn cases() -> Vec<Case> {
    let case = |axis, flatten, log, shape: &[usize]| {
        let name = format!("axis {axis} of {shape:?}, flatten {flatten}, log {log}");
        Case::new(name, Softmax { axis, flatten, log }, vec![Some(sample::floats(shape, 1))])
    };
    let mut masked = sample::floats(&[2, 4], 1).to_f64s();
    masked[1] = f64::NEG_INFINITY;
    masked[6] = f64::NEG_INFINITY;
    let masked = sample::of(crate::dtype::DType::F32, &[2, 4], &masked);
    let large = sample::floats_in(&[3, 9], 1, -900.0, 900.0);
    let plain = Softmax { axis: -1, flatten: false, log: false };
    vec![
        case(-1, false, false, &[3, 5]),
        case(-1, false, true, &[3, 5]),
        case(1, false, false, &[2, 7, 3]),
        case(1, true, false, &[2, 7, 3]),
        case(0, false, false, &[5]),
        case(-1, false, false, &[2, 3, 1]),
        case(-1, false, false, &[2, 3, 700]),
        case(-1, false, false, &[0, 4]),
        Case::new("masked", plain, vec![Some(masked)]),
        Case::new("large numbers", plain, vec![Some(large)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Softmax", 1..=27), standard("LogSoftmax", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn values_by_hand() {
        let e = std::f64::consts::E;
        assert!((softmax(&[0.0, 1.0], false)[1] - e / (1.0 + e)).abs() < 1e-15);
        assert!((softmax(&[1000.0, 1000.0], true)[0] + 2f64.ln()).abs() < 1e-12);
        assert_eq!(softmax(&[f64::NEG_INFINITY, 3.0], false), [0.0, 1.0]);
        assert!(softmax(&[f64::NEG_INFINITY; 2], false)[0].is_nan());
    }
}
