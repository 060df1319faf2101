//! Range: `start, start + delta, …` up to a limit that is not reached.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, TRACKED, Tolerance, fill,
        nd::{floats, given, integers},
        sample, standard,
    },
};

/// Inputs: start, limit, delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range;

impl Op for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let dtype = cx.input(0)?.dtype;
        let scalar =
            |index| cx.content(index)?.first().ok_or_else(|| invalid(format!("input {index} is empty")));
        let (start, limit, delta) = (scalar(0)?, scalar(1)?, scalar(2)?);
        let step = delta.constant().ok_or(OpError::NotConstant { index: 2 })?;
        let count = match step {
            0 => return Err(invalid("delta is 0")),
            1.. => (limit - start).max(&Expr::ZERO).ceil_div(step),
            _ => (start - limit).max(&Expr::ZERO).ceil_div(step.checked_neg().unwrap_or(i64::MAX)),
        };
        let mut fact = Fact::new(dtype, vec![count.clone()]);
        if let Some(count) = count.constant().filter(|n| *n <= TRACKED as i64) {
            fact.content = Some((0..count).map(|i| start + i * step).collect());
        }
        Ok(vec![fact])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let [start, limit, delta] = [given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?];
        let dtype = start.dtype();
        let first = |t: &HostTensor| t.to_f64s().first().copied().ok_or_else(|| invalid("an input is empty"));
        let count = ((first(limit)? - first(start)?) / first(delta)?).ceil().max(0.0) as usize;
        if dtype.is_float() {
            let (start, delta) = (first(start)?, first(delta)?);
            let all: Vec<f64> = (0..count).map(|i| start + i as f64 * delta).collect();
            return Ok(vec![floats(dtype, vec![count], &all)?]);
        }
        let (start, delta) = (start.to_i64s()[0], delta.to_i64s()[0]);
        let all: Vec<i64> = (0..count as i64).map(|i| start + i * delta).collect();
        Ok(vec![integers(dtype, vec![count], &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let number = |index| cx.content(index)?.first().cloned().ok_or(OpError::MissingInput { index });
        let (start, delta) = (number(0)?, number(2)?);
        let out = Destination::contiguous(cx, 0)?;
        fill::range(cx, &start, &delta, &out.view)?;
        out.finish(cx)
    }
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Range))
}

fn cases() -> Vec<Case> {
    let case = |start: i64, limit: i64, delta: i64| {
        let scalar = |v: i64| Some(sample::scalar(DType::I64, v as f64));
        let inputs = vec![scalar(start), scalar(limit), scalar(delta)];
        let case = Case::new(format!("{start} to {limit} by {delta}"), Range, inputs);
        case.constants(&[0, 1, 2]).tolerance(Tolerance::EXACT)
    };
    vec![case(0, 5, 1), case(-3, 10, 4), case(10, -3, -4), case(0, 2000, 1), case(5, 5, 1), case(5, 2, 1)]
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
}
