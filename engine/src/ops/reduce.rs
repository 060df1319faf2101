//! Reductions over axes: ReduceMean, ReduceSum, ReduceMax and the like.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, OnnxName, OnnxNode, Op, Operator,
        Param, Slot, Tolerance, View, converted, elementwise, fill,
        nd::{Positions, floats, given, integers, optional},
        rows::{Rows, joined_tail, whole},
        sample, standard, stretched,
    },
};

/// Which reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum Reduction {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

const TABLE: [(Reduction, &str); 10] = [
    (Reduction::L1, "ReduceL1"),
    (Reduction::L2, "ReduceL2"),
    (Reduction::LogSum, "ReduceLogSum"),
    (Reduction::LogSumExp, "ReduceLogSumExp"),
    (Reduction::Max, "ReduceMax"),
    (Reduction::Mean, "ReduceMean"),
    (Reduction::Min, "ReduceMin"),
    (Reduction::Prod, "ReduceProd"),
    (Reduction::Sum, "ReduceSum"),
    (Reduction::SumSquare, "ReduceSumSquare"),
];

impl Reduction {
    fn of_floats(self, list: &[f64]) -> f64 {
        let sum = || list.iter().sum::<f64>();
        let most =
            || list.iter().copied().fold(f64::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b });
        match self {
            Self::L1 => list.iter().map(|v| v.abs()).sum(),
            Self::L2 => list.iter().map(|v| v * v).sum::<f64>().sqrt(),
            Self::LogSum => sum().ln(),
            Self::LogSumExp => {
                let top = most();
                if top.is_infinite() {
                    top
                } else {
                    top + list.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
                }
            }
            Self::Max => most(),
            Self::Mean => sum() / list.len() as f64,
            Self::Min => {
                list.iter().copied().fold(f64::INFINITY, |a, b| if a.is_nan() || a < b { a } else { b })
            }
            Self::Prod => list.iter().product(),
            Self::Sum => sum(),
            Self::SumSquare => list.iter().map(|v| v * v).sum(),
        }
    }

    fn of_integers(self, list: &[i64]) -> i64 {
        let sum = |list: &mut dyn Iterator<Item = i64>| list.fold(0i64, i64::wrapping_add);
        match self {
            Self::L1 => sum(&mut list.iter().map(|v| v.wrapping_abs())),
            Self::Max => list.iter().copied().max().unwrap_or(i64::MIN),
            Self::Mean => sum(&mut list.iter().copied()).checked_div(list.len() as i64).unwrap_or(0),
            Self::Min => list.iter().copied().min().unwrap_or(i64::MAX),
            Self::Prod => list.iter().copied().fold(1, i64::wrapping_mul),
            Self::Sum => sum(&mut list.iter().copied()),
            Self::SumSquare => sum(&mut list.iter().map(|v| v.wrapping_mul(*v))),
            Self::L2 | Self::LogSum | Self::LogSumExp => {
                self.of_floats(&list.iter().map(|v| *v as f64).collect::<Vec<_>>()) as i64
            }
        }
    }
}

/// Axes are input 1, or, in older opsets, an attribute; without axes all are reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// The function.
    pub reduction: Reduction,
    /// Whether reduced axes stay, with size 1.
    pub keep: bool,
    /// Whether no axes means no reduction.
    pub noop_without_axes: bool,
    /// The axes, as an attribute.
    pub axes: Option<Vec<i64>>,
}

impl Reduce {
    /// The reduced axes, sorted; `None` when nothing is reduced.
    fn axes(&self, rank: usize, given: Option<Vec<i64>>) -> Result<Option<Vec<usize>>, OpError> {
        let listed = given.or_else(|| self.axes.clone()).filter(|list| !list.is_empty());
        let Some(list) = listed else { return Ok((!self.noop_without_axes).then(|| (0..rank).collect())) };
        let mut axes = list.iter().map(|a| Infer::axis(*a, rank)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        axes.dedup();
        Ok(Some(axes))
    }

    fn shape<T: Clone>(&self, shape: &[T], axes: &[usize], one: &T) -> Vec<T> {
        let sizes = shape.iter().enumerate().map(|(at, size)| match axes.contains(&at) {
            true => self.keep.then(|| one.clone()),
            false => Some(size.clone()),
        });
        sizes.flatten().collect()
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        TABLE.iter().find(|(r, _)| *r == self.reduction).map_or("", |(_, name)| name)
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let Some(axes) = self.axes(input.rank(), cx.optional_integers(1)?)? else {
            return Ok(vec![input.clone()]);
        };
        let mut fact = Fact::new(input.dtype, self.shape(&input.shape, &axes, &Expr::ONE));
        if let (Some(content), 0) = (&input.content, fact.shape.iter().filter(|d| **d != Expr::ONE).count()) {
            let whole = match self.reduction {
                Reduction::Sum => Some(content.iter().fold(Expr::ZERO, |n, e| &n + e)),
                Reduction::Prod => Some(content.iter().fold(Expr::ONE, |n, e| &n * e)),
                Reduction::Max => content.iter().cloned().reduce(|a, b| a.max(&b)),
                Reduction::Min => content.iter().cloned().reduce(|a, b| a.min(&b)),
                _ => None,
            };
            fact.content = whole.filter(|e| !e.is_overflow()).map(|e| [e].into());
        }
        Ok(vec![fact])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axes = self.axes(input.shape().len(), optional(inputs, 1).map(HostTensor::to_i64s))?;
        let Some(axes) = axes else { return Ok(vec![input.clone()]) };
        let all = Positions::all(input.shape());
        let (inner, outer): (Vec<_>, Vec<_>) = (0..all.dims.len()).partition(|a| axes.contains(a));
        let list = |axes: &[usize]| {
            Positions { offset: 0, dims: axes.iter().map(|a| all.dims[*a]).collect() }.list()
        };
        let (starts, steps) = (list(&outer), list(&inner));
        let shape = self.shape(input.shape(), &axes, &1);
        if input.dtype().is_float() {
            let data = input.to_f64s();
            let of =
                |s: &usize| self.reduction.of_floats(&steps.iter().map(|p| data[s + p]).collect::<Vec<_>>());
            return Ok(vec![floats(input.dtype(), shape, &starts.iter().map(of).collect::<Vec<_>>())?]);
        }
        let data = input.to_i64s();
        let of =
            |s: &usize| self.reduction.of_integers(&steps.iter().map(|p| data[s + p]).collect::<Vec<_>>());
        Ok(vec![integers(input.dtype(), shape, &starts.iter().map(of).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let mut input = cx.shaped(0)?;
        let given = cx.has_input(1).then(|| cx.content(1)).transpose()?;
        let given = given.map(|c| c.iter().map(Expr::constant).collect::<Option<Vec<_>>>());
        let given = given.map(|g| g.ok_or(OpError::NotConstant { index: 1 })).transpose()?;
        let rank = input.dims.len();
        let Some(axes) = self.axes(rank, given)? else { return cx.alias(0, input) };
        let out = Destination::strided(cx, 0)?;
        if input.elem == Elem::U32 {
            input = converted(cx, input, Elem::I32)?;
        }
        let kept: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).collect();
        let order = [kept.as_slice(), &axes].concat();
        let mut rows = out.view.clone();
        if self.keep {
            rows.dims = kept.iter().map(|a| rows.dims[*a].clone()).collect();
        }
        let input = input.transpose(&order);
        if input.dims[kept.len()..].iter().any(|d| d.size.constant() == Some(0)) {
            let value = fill::scalar(cx, self.reduction.of_floats(&[]) as f32, rows.elem);
            cx.copy(&stretched(&value, &rows.shape()), &rows)?;
        } else {
            self.reduction.lower(cx, input, kept.len(), &rows)?;
        }
        out.finish(cx)
    }
}

impl Reduction {
    /// Reduces the dimensions of `input` from `axis` on.
    fn lower(self, cx: &mut Lowering<'_>, input: View, axis: usize, out: &View) -> Result<(), OpError> {
        let function = match self {
            Self::L1 => {
                let size = mapped(cx, "abs", &[input])?;
                return tail(cx, "sum", size, axis, out);
            }
            Self::LogSum => {
                let sum = cx.temporary("sum", out.elem, &out.shape());
                tail(cx, "sum", input, axis, &sum)?;
                return elementwise(cx, "log", &[sum], out);
            }
            Self::LogSumExp => return log_sum_exp(cx, input, axis, out),
            Self::L2 => "l2",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Prod => "prod",
            Self::Sum => "sum",
            Self::SumSquare => "sum_square",
        };
        if matches!(input.elem, Elem::I32) && self == Self::L2 {
            return Err(OpError::Unsupported("ReduceL2 of integers".into()));
        }
        tail(cx, function, input, axis, out)
    }
}
/// Reduces the dimensions of `input` from `axis` on with a function of the kernel, into a view of the others.
///
/// # Errors
/// When the others take more dimensions than the kernel has.
pub fn tail(
    cx: &mut Lowering<'_>,
    function: &'static str,
    input: View,
    axis: usize,
    out: &View,
) -> Result<(), OpError> {
    let (input, n, step) = joined_tail(cx, input, axis)?;
    let many = || OpError::Unsupported("a reduction over too many strided dimensions".into());
    let rows = Rows::of(&[&input, out]).ok_or_else(many)?;
    let mut params = rows.params(&["a_strides", "out_strides"]);
    params.extend([
        ("rows", Param::Int(rows.count.clone())),
        ("n", Param::Int(n.clone())),
        ("a_step", Param::Int(step.clone())),
    ]);
    let spec = KernelSpec::new("reduce").with("OP", function).with("ELEM", input.elem.wgsl());
    let slots = vec![("a", Slot::View(whole(input, &n, &step))), ("out", Slot::View(out.clone()))];
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows.count) });
    Ok(())
}

/// A function of elements, to memory of its own.
fn mapped(cx: &mut Lowering<'_>, function: &'static str, inputs: &[View]) -> Result<View, OpError> {
    let first = inputs.first().ok_or(OpError::MissingInput { index: 0 })?;
    let out = cx.temporary(function, first.elem, &first.shape());
    elementwise(cx, function, inputs, &out)?;
    Ok(out)
}

/// `max + log(sum(exp(x - max)))`, which no large number overflows.
fn log_sum_exp(cx: &mut Lowering<'_>, input: View, axis: usize, out: &View) -> Result<(), OpError> {
    let top = cx.temporary("top", out.elem, &out.shape());
    tail(cx, "max", input.clone(), axis, &top)?;
    let mut spread = top.clone();
    spread.dims.extend(input.dims[axis..].iter().map(|d| Dim { size: d.size.clone(), stride: Expr::ZERO }));
    let distance = mapped(cx, "sub", &[input, spread])?;
    let exponential = mapped(cx, "exp", &[distance])?;
    let sum = cx.temporary("sum", out.elem, &out.shape());
    tail(cx, "sum", exponential, axis, &sum)?;
    let log = mapped(cx, "log", &[sum])?;
    elementwise(cx, "add", &[log, top], out)
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let row = TABLE.iter().find(|(_, name)| *name == node.op_type());
    let reduction = row.ok_or_else(|| OpError::Unsupported(node.op_type().to_owned()))?.0;
    Ok(Arc::new(Reduce {
        reduction,
        keep: node.int_or("keepdims", 1)? != 0,
        noop_without_axes: node.int_or("noop_with_empty_axes", 0)? != 0,
        axes: node.ints("axes")?.map(<[i64]>::to_vec),
    }))
}

const ALL: std::ops::RangeInclusive<i64> = 1..=27;

const NAMES: &[OnnxName] = &[
    standard("ReduceL1", ALL),
    standard("ReduceL2", ALL),
    standard("ReduceLogSum", ALL),
    standard("ReduceLogSumExp", ALL),
    standard("ReduceMax", ALL),
    standard("ReduceMean", ALL),
    standard("ReduceMin", ALL),
    standard("ReduceProd", ALL),
    standard("ReduceSum", ALL),
    standard("ReduceSumSquare", ALL),
];

fn case(reduction: Reduction, shape: &[usize], axes: Option<&[i64]>, keep: bool) -> Case {
    let op = Reduce { reduction, keep, noop_without_axes: false, axes: None };
    let input = match reduction {
        Reduction::LogSum => sample::floats_in(shape, 1, 0.1, 2.0),
        Reduction::Prod => sample::floats_in(shape, 1, 0.5, 1.5),
        _ => sample::floats(shape, 1),
    };
    let name = format!("{reduction:?} of {shape:?} over {axes:?}, keep {keep}");
    Case::new(name, op, vec![Some(input), axes.map(sample::list)]).constants(&[1])
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (reduction, _) in TABLE {
        cases.push(case(reduction, &[3, 5], Some(&[-1]), true));
        cases.push(case(reduction, &[4, 3, 2], Some(&[1]), false));
    }
    for (shape, axes) in
        [(&[2, 3, 5, 7][..], &[0, 2][..]), (&[2, 300], &[1]), (&[300, 2], &[0]), (&[2, 3, 4], &[0, 1, 2])]
    {
        cases.push(case(Reduction::Sum, shape, Some(axes), false));
        cases.push(case(Reduction::Mean, shape, Some(axes), true));
    }
    cases.push(case(Reduction::Max, &[3, 4], None, true));
    let integers = vec![Some(sample::integers_in(&[3, 7], 1, -9, 9)), Some(sample::list(&[1]))];
    for reduction in [Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Prod] {
        let op = Reduce { reduction, keep: false, noop_without_axes: false, axes: None };
        let case = Case::new(format!("{reduction:?} of int64"), op, integers.clone());
        cases.push(case.constants(&[1]).tolerance(Tolerance::EXACT));
    }
    let noop = Reduce { reduction: Reduction::Sum, keep: true, noop_without_axes: true, axes: None };
    cases.push(Case::new("no axes, nothing to do", noop, vec![Some(sample::floats(&[3, 4], 1))]));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };

#[cfg(test)]
mod tests {
    use super::Reduction;

    #[test]
    fn values_by_hand() {
        let table = [
            (Reduction::L1, 6.0),
            (Reduction::L2, 14f64.sqrt()),
            (Reduction::Max, 3.0),
            (Reduction::Mean, 2.0 / 3.0),
            (Reduction::Min, -2.0),
            (Reduction::Prod, -6.0),
            (Reduction::Sum, 2.0),
            (Reduction::SumSquare, 14.0),
            (Reduction::LogSum, 2f64.ln()),
            (Reduction::LogSumExp, (1f64.exp() + (-2f64).exp() + 3f64.exp()).ln()),
        ];
        for (reduction, want) in table {
            let got = reduction.of_floats(&[1.0, -2.0, 3.0]);
            assert!((got - want).abs() < 1e-12, "{reduction:?} {got}");
        }
        assert!(Reduction::Max.of_floats(&[1.0, f64::NAN, 2.0]).is_nan());
        assert_eq!(Reduction::LogSumExp.of_floats(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
    }
}
