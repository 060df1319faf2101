//! Slice: positions `start, start + step, …` of some axes, as a view.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance,
        nd::{Positions, fixed, given, moved, optional, pick},
        sample, standard, with_constants,
    },
};

/// Inputs behind the data: starts, ends, axes (all when left out), steps (1 when left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice;

/// What is taken of one axis.
#[derive(Clone, Debug, PartialEq)]
struct Cut {
    axis: usize,
    start: Expr,
    size: Expr,
    step: i64,
}

fn cuts(
    shape: &[Expr],
    starts: &[Expr],
    ends: &[Expr],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Vec<Cut>, OpError> {
    let lengths =
        [starts.len(), axes.map_or(starts.len(), <[_]>::len), steps.map_or(starts.len(), <[_]>::len)];
    if lengths.iter().any(|n| *n != ends.len()) {
        return Err(invalid("starts, ends, axes and steps differ in length"));
    }
    (0..starts.len())
        .map(|i| {
            let axis = Infer::axis(axes.map_or(i as i64, |a| a[i]), shape.len())?;
            let step = steps.map_or(1, |s| s[i]);
            let (start, size) = bounds(&shape[axis], &starts[i], &ends[i], step)?;
            Ok(Cut { axis, start, size, step })
        })
        .collect()
}

/// First position and number of positions, by the rules of ONNX.
fn bounds(size: &Expr, start: &Expr, end: &Expr, step: i64) -> Result<(Expr, Expr), OpError> {
    let zero = Expr::ZERO;
    if step > 0 {
        let start = position(size, start, &zero, size)?;
        let end = position(size, end, &zero, size)?;
        let count = (&end - &start).max(&zero).ceil_div(step);
        return Ok((start, count));
    }
    if step == 0 {
        return Err(invalid("a step is 0"));
    }
    let last = size - 1;
    let start = position(size, start, &zero, &last)?;
    let end = position(size, end, &Expr::from(-1), &last)?;
    let count = (&start - &end).max(&zero).ceil_div(step.checked_neg().unwrap_or(i64::MAX));
    Ok((start, count))
}

/// A bound counted from the back by a size counts from the front where that size is 0, which `infer` rules out.
fn may_vanish(at: &Expr) -> bool {
    let range = at.range();
    range.max == Some(0) && range.min != Some(0)
}

/// A bound counted from the front, held between `low` and `high`. Exporters write the extreme integers for "to the end".
fn position(size: &Expr, at: &Expr, low: &Expr, high: &Expr) -> Result<Expr, OpError> {
    match at.constant() {
        Some(n) if n >= i64::from(i32::MAX) => return Ok(high.clone()),
        Some(n) if n <= i64::from(i32::MIN) => return Ok(low.clone()),
        _ => {}
    }
    let range = at.range();
    let front = if range.min.is_some_and(|n| n >= 0) {
        at.clone()
    } else if range.max.is_some_and(|n| n <= 0) {
        size + at
    } else {
        return Err(OpError::Unsupported(format!("a slice from or to {at}, which may be negative or not")));
    };
    Ok(front.min(high).max(low))
}

fn sliced<T: Clone>(shape: &[T], cuts: &[Cut], size: impl Fn(&Expr) -> Option<T>) -> Option<Vec<T>> {
    let mut out = shape.to_vec();
    for cut in cuts {
        out[cut.axis] = size(&cut.size)?;
    }
    Some(out)
}

fn positions(shape: &[usize], cuts: &[Cut]) -> Result<Vec<usize>, OpError> {
    let mut all = Positions::all(shape);
    for cut in cuts {
        let number = |e: &Expr| e.constant().ok_or_else(|| invalid(format!("{e} is no number")));
        let dim = &mut all.dims[cut.axis];
        // A step that leaves i64 leaves the dimension too: at most one position is taken, and its stride is not used.
        all.offset = all.offset.wrapping_add(number(&cut.start)?.wrapping_mul(dim.1));
        *dim = (number(&cut.size)?.max(0) as usize, dim.1.wrapping_mul(cut.step));
    }
    Ok(all.list())
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let (axes, steps) = (cx.optional_integers(3)?, cx.optional_integers(4)?);
        let (starts, ends) = (cx.content(1)?.to_vec(), cx.content(2)?.to_vec());
        let cuts = cuts(&input.shape, &starts, &ends, axes.as_deref(), steps.as_deref())?;
        for at in starts.iter().chain(&ends).filter(|at| may_vanish(at)) {
            let one = Expr::ONE;
            cx.unify(&(&Expr::ZERO - at).min(&one), "counts from the back by at least 1", &one, "(1)")?;
        }
        let shape = sliced(&input.shape, &cuts, |e| Some(e.clone())).unwrap_or_default();
        if fixed(&shape).is_none() {
            return Ok(vec![Fact::new(input.dtype, shape)]);
        }
        Ok(vec![moved(input, shape, |sizes| positions(sizes, &cuts))?])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let shape: Vec<Expr> = input.shape().iter().map(|d| Expr::from(*d)).collect();
        let list = |at| {
            Ok::<_, OpError>(given(inputs, at)?.to_i64s().into_iter().map(Expr::from).collect::<Vec<_>>())
        };
        let (axes, steps) =
            (optional(inputs, 3).map(HostTensor::to_i64s), optional(inputs, 4).map(HostTensor::to_i64s));
        let cuts = cuts(&shape, &list(1)?, &list(2)?, axes.as_deref(), steps.as_deref())?;
        let size = |e: &Expr| e.constant().and_then(|n| usize::try_from(n).ok());
        let shape = sliced(input.shape(), &cuts, size).ok_or_else(|| invalid("a size is negative"))?;
        Ok(vec![pick(input, shape, &positions(input.shape(), &cuts)?)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let shape = &cx.fact(0)?.shape;
        let numbers = |at: usize| {
            let given = cx.has_input(at).then(|| cx.content(at)).transpose()?;
            let list = given.map(|list| list.iter().map(Expr::constant).collect::<Option<Vec<i64>>>());
            list.map(|l| l.ok_or(OpError::NotConstant { index: at })).transpose()
        };
        let (axes, steps) = (numbers(3)?, numbers(4)?);
        let cuts = cuts(shape, cx.content(1)?, cx.content(2)?, axes.as_deref(), steps.as_deref())?;
        let mut view = cx.shaped(0)?;
        for cut in cuts {
            view = view.slice(cut.axis, &cut.start, &cut.size, cut.step);
        }
        cx.alias(0, view)
    }
}

/// Before opset 10 the bounds are attributes.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let mut constants = Vec::new();
    if node.version() < 10 {
        for (at, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
            if let Some(list) = node.ints(name)? {
                constants.push((at, HostTensor::from_i64(vec![list.len()], list)?));
            }
        }
    }
    Ok(with_constants(Arc::new(Slice), constants))
}

fn cases() -> Vec<Case> {
    let case =
        |shape: &[usize], starts: &[i64], ends: &[i64], axes: Option<&[i64]>, steps: Option<&[i64]>| {
            let name = format!("{starts:?}..{ends:?} of {shape:?}, axes {axes:?}, steps {steps:?}");
            let inputs = vec![
                Some(sample::floats(shape, 1)),
                Some(sample::list(starts)),
                Some(sample::list(ends)),
                axes.map(sample::list),
                steps.map(sample::list),
            ];
            Case::new(name, Slice, inputs).constants(&[1, 2, 3, 4]).tolerance(Tolerance::EXACT)
        };
    vec![
        case(&[5, 7], &[1, 2], &[4, 6], None, None),
        case(&[5, 7], &[0], &[i64::MAX], Some(&[1]), None),
        case(&[5, 7], &[-3], &[-1], Some(&[-1]), None),
        case(&[2, 3, 8], &[4], &[i64::MAX], Some(&[2]), None),
        case(&[9, 4], &[1], &[8], Some(&[0]), Some(&[3])),
        case(&[9, 4], &[-1, 3], &[i64::MIN, 0], Some(&[0, 1]), Some(&[-2, -1])),
        case(&[5, 4], &[2], &[2], Some(&[0]), None),
        case(&[5, 4], &[9], &[20], Some(&[0]), None),
        case(&[5, 4], &[-20], &[3], Some(&[0]), None),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Slice", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use symbolic::{Expr, Symbol};

    use super::bounds;

    #[test]
    fn bounds_of_sizes_that_are_not_known() {
        let symbol = |name: &str, low| Expr::from(Symbol::new(name).with_range(low, 8192));
        let (past, seq) = (symbol("past", 0), symbol("seq", 1));
        let all = &past + &seq;
        let number = |n: i64| Expr::from(n);
        assert_eq!(bounds(&all, &past, &number(i64::MAX), 1).unwrap(), (past.clone(), seq.clone()));
        assert_eq!(bounds(&all, &number(0), &all, 1).unwrap(), (number(0), all.clone()));
        assert_eq!(bounds(&seq, &number(-1), &number(i64::MAX), 1).unwrap(), (&seq - 1, number(1)));
        assert!(bounds(&all, &(&past - &seq), &all, 1).is_err());
    }

    #[test]
    fn bounds_follow_numpy() {
        let sizes = |n: i64, start: i64, end: i64, step: i64| {
            let e = bounds(&Expr::from(n), &Expr::from(start), &Expr::from(end), step).unwrap();
            (e.0.constant().unwrap(), e.1.constant().unwrap())
        };
        assert_eq!(sizes(10, 2, 8, 3), (2, 2));
        assert_eq!(sizes(10, -1, i64::MIN, -1), (9, 10));
        assert_eq!(sizes(10, 20, 0, -3), (9, 3));
        assert_eq!(sizes(10, 8, 2, 1).1, 0);
    }
}
