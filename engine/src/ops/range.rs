//! Range: `start, start + delta, …` up to a limit that is not reached.

use std::sync::Arc;

use symbolic::Expr;

use super::{reshape::Reshape, shape::Shape};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, Parts, TRACKED, Tolerance, fact_of, fill,
        nd::{floats, given, integers},
        sample, standard,
    },
};

/// Inputs: start, limit, delta. They must be known before the run: integers may depend on sizes, other numbers are
/// constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range;

/// What the three inputs say.
enum Bounds {
    /// Whole numbers, of whatever type.
    Whole { start: Expr, limit: Expr, delta: i64 },
    /// Numbers with a fraction.
    Floats { start: f64, limit: f64, delta: f64 },
}

impl Bounds {
    /// From what is known of each input: its content, or else its data.
    fn of<'a>(
        content: impl Fn(usize) -> Option<&'a [Expr]>,
        host: impl Fn(usize) -> Option<&'a HostTensor>,
    ) -> Result<Self, OpError> {
        let number = |index| host(index).and_then(|t| t.to_f64s().first().copied());
        let whole = |index| match content(index) {
            Some(known) => known.first().cloned(),
            None => {
                number(index).filter(|v| v.fract() == 0.0 && v.abs() < EXACT).map(|v| Expr::from(v as i64))
            }
        };
        if let (Some(start), Some(limit), Some(delta)) = (whole(0), whole(1), whole(2)) {
            let delta = delta.constant().ok_or(OpError::NotConstant { index: 2 })?;
            return Ok(Self::Whole { start, limit, delta });
        }
        let float = |index| match content(index) {
            Some([known]) => known.constant().map(|n| n as f64).ok_or_else(|| {
                OpError::Unsupported(format!("a range with a fraction and input {index} = {known}"))
            }),
            Some(_) => Err(invalid(format!("input {index} is not one number"))),
            None => number(index).ok_or(OpError::NotConstant { index }),
        };
        Ok(Self::Floats { start: float(0)?, limit: float(1)?, delta: float(2)? })
    }

    /// How many numbers there are.
    fn count(&self) -> Result<Expr, OpError> {
        Ok(match self {
            Self::Whole { delta: 0, .. } | Self::Floats { delta: 0.0, .. } => {
                return Err(invalid("delta is 0"));
            }
            Self::Whole { start, limit, delta: delta @ 1.. } => {
                (limit - start).max(&Expr::ZERO).ceil_div(*delta)
            }
            Self::Whole { start, limit, delta } => {
                (start - limit).max(&Expr::ZERO).ceil_div(delta.checked_neg().unwrap_or(i64::MAX))
            }
            Self::Floats { start, limit, delta } => {
                let count = ((limit - start) / delta).ceil();
                if !(start.is_finite() && count < EXACT) {
                    return Err(invalid(format!("from {start} to {limit} by {delta} are too many numbers")));
                }
                Expr::from(count.max(0.0) as i64)
            }
        })
    }
}

/// Whole doubles below it are exact: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Op for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let dtype = cx.input(0)?.dtype;
        let content = |index| cx.optional(index)?.content.as_deref();
        let bounds = Bounds::of(content, |index| cx.host(index))?;
        let count = bounds.count()?;
        let mut fact = Fact::new(dtype, vec![count.clone()]);
        let exact = !matches!(dtype, DType::F16 | DType::BF16);
        if let (Bounds::Whole { start, delta, .. }, Some(count), true) = (bounds, count.constant(), exact)
            && count <= TRACKED as i64
        {
            fact.content =
                Some((0..count).map(|i| &start + &(&Expr::from(i) * &Expr::from(delta))).collect());
        }
        Ok(vec![fact])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let all = [given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?];
        let dtype = all[0].dtype();
        let contents = all.map(|t| (!t.dtype().is_float()).then(|| fact_of(t).content).flatten());
        let bounds = Bounds::of(|index| contents[index].as_deref(), |index| Some(all[index]))?;
        let count = bounds.count()?.constant().and_then(|n| usize::try_from(n).ok());
        let count = count.ok_or_else(|| invalid("there are too many numbers"))?;
        if dtype.is_float() {
            let first = |t: &HostTensor| t.to_f64s().first().copied().unwrap_or_default();
            let (start, delta) = (first(all[0]), first(all[2]));
            let all: Vec<f64> = (0..count).map(|i| start + i as f64 * delta).collect();
            return Ok(vec![floats(dtype, vec![count], &all)?]);
        }
        let first = |t: &HostTensor| t.to_i64s().first().copied().unwrap_or_default();
        let (start, delta) = (first(all[0]), first(all[2]));
        let all: Vec<i64> = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta))).collect();
        Ok(vec![integers(dtype, vec![count], &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let content = |index| cx.fact(index).ok()?.content.as_deref();
        let bounds = Bounds::of(content, |index| cx.host(index))?;
        let out = Destination::contiguous(cx, 0)?;
        match bounds {
            Bounds::Whole { start, delta, .. } => fill::range(cx, &start, &Expr::from(delta), &out.view)?,
            Bounds::Floats { start, delta, .. } => {
                fill::float_range(cx, start as f32, delta as f32, &out.view);
            }
        }
        out.finish(cx)
    }
}

/// Adds the positions along an axis of a value: 0, 1, ….
///
/// # Errors
/// When it has no such axis.
pub fn along(parts: &mut Parts<'_, '_>, of: ValueId, axis: usize) -> Result<ValueId, OpError> {
    let axis = axis as i64;
    let size = parts.add(Shape { start: axis, end: Some(axis + 1), total: false }, &[of])?;
    let scalar = parts.integers(&[])?;
    let size = parts.add(Reshape { allow_zero: false }, &[size, scalar])?;
    let (zero, one) = (parts.number(0.0, DType::I64)?, parts.number(1.0, DType::I64)?);
    parts.add(Range, &[zero, size, one])
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Range))
}

fn cases() -> Vec<Case> {
    let case = |dtype: DType, [start, limit, delta]: [f64; 3]| {
        let inputs = [start, limit, delta].map(|v| Some(sample::scalar(dtype, v))).to_vec();
        let case = Case::new(format!("{dtype} {start} to {limit} by {delta}"), Range, inputs);
        case.constants(&[0, 1, 2]).tolerance(Tolerance::EXACT)
    };
    let mut cases: Vec<Case> = vec![
        [0.0, 5.0, 1.0],
        [-3.0, 10.0, 4.0],
        [10.0, -3.0, -4.0],
        [0.0, 100_000.0, 1.0],
        [5.0, 5.0, 1.0],
        [5.0, 2.0, 1.0],
    ]
    .into_iter()
    .flat_map(|bounds| [case(DType::I64, bounds), case(DType::F32, bounds)])
    .collect();
    cases.extend([
        case(DType::F32, [0.5, 3.0, 0.75]),
        case(DType::F32, [1.0, -0.5, -0.25]),
        case(DType::F32, [0.5, 20_000.125, 0.25]),
        case(DType::F32, [0.0, 1.0, 0.1]).tolerance(Tolerance::F32),
        case(DType::F16, [1.0, 5.0, 2.0]),
    ]);
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Range", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use symbolic::{Equalities, Expr, Symbol};

    use super::Range;
    use crate::{
        dtype::DType,
        graph::Fact,
        host::HostTensor,
        op::{Infer, Op},
    };

    #[test]
    fn lengths_are_expressions() {
        let [past, seq] = ["past", "seq"].map(|n| Expr::from(Symbol::new(n).with_range(0, 4096)));
        let scalar = |e: Expr| Some(Fact::known(DType::I64, vec![], vec![e]));
        let inputs = [scalar(past.clone()), scalar(&past + &seq), scalar(Expr::from(1))];
        let mut equalities = Equalities::new();
        let facts = Range.infer(&mut Infer::new("range", &inputs, &mut equalities)).unwrap();
        assert_eq!(facts[0].shape, [seq]);
        assert_eq!(facts[0].content, None);
    }

    fn inferred(inputs: [Option<Fact>; 3], hosts: &[Option<HostTensor>]) -> Result<Fact, String> {
        let mut equalities = Equalities::new();
        let mut cx = Infer::new("range", &inputs, &mut equalities).with_hosts(hosts);
        Range.infer(&mut cx).map(|mut facts| facts.remove(0)).map_err(|e| e.to_string())
    }

    #[test]
    fn floats_may_depend_on_sizes_where_they_are_whole() {
        let seq = Expr::from(Symbol::new("seq").with_range(1, 4096));
        let known = |e: &Expr| Some(Fact::known(DType::F32, vec![], vec![e.clone()]));
        let float = || Some(Fact::new(DType::F32, vec![]));
        let host = |v: f32| Some(HostTensor::from_f32(vec![], &[v]).unwrap());
        let whole = [host(0.0), None, host(1.0)];
        let found = inferred([float(), known(&seq), float()], &whole).unwrap();
        assert_eq!(found.shape, std::slice::from_ref(&seq));
        let half = [host(0.5), None, host(1.0)];
        let error = inferred([float(), known(&seq), float()], &half).unwrap_err();
        assert_eq!(error, "not supported: a range with a fraction and input 1 = seq");
        let error = inferred([float(), float(), float()], &[host(0.5), None, host(1.0)]).unwrap_err();
        assert_eq!(error, "input 1 must be known before the model runs, but it is computed from data");
    }

    #[test]
    fn endless_ranges_are_refused() {
        let float = || Some(Fact::new(DType::F32, vec![]));
        for (start, limit, delta) in
            [(0.0, f32::INFINITY, 1.0), (0.0, 1.0, f32::MIN_POSITIVE), (0.5, f32::NAN, 1.0), (0.5, 1.0, 0.0)]
        {
            let hosts = [start, limit, delta].map(|v| Some(HostTensor::from_f32(vec![], &[v]).unwrap()));
            let error = inferred([float(), float(), float()], &hosts).unwrap_err();
            assert!(error == "delta is 0" || error.ends_with("are too many numbers"), "{error}");
        }
    }
}
