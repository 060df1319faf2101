//! A cache whose sequences end at different positions, or that has room behind them.

use super::GroupQueryAttention;
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    op::Parts,
    ops::{
        binary::Binary, cast::Cast, concat::Concat, expand::Expand, range::Range, reshape::Reshape,
        scatter_elements::ScatterElements, select::Where,
    },
};

/// Sizes, and where each sequence's new positions begin.
pub(super) struct Ragged {
    batch: i64,
    seq: i64,
    past: i64,
    length: i64,
    /// `[batch, 1, 1, 1]`
    starts: ValueId,
    /// `[1, 1, seq, 1]`: 0, 1, …
    steps: ValueId,
}

impl Ragged {
    /// For the positions of the last new keys, `[batch]`.
    pub fn new(
        parts: &mut Parts<'_, '_>,
        last: ValueId,
        [batch, seq, past, length]: [i64; 4],
    ) -> Result<Self, OpError> {
        let last = parts.add(Cast { to: DType::I64 }, &[last])?;
        let before = parts.integers(&[1 - seq])?;
        let starts = parts.add(Binary::Add, &[last, before])?;
        // A prompt that is padded to the longest one ends before its last new position.
        let zero = parts.integers(&[0])?;
        let starts = parts.add(Binary::Max, &[starts, zero])?;
        let starts = reshaped(parts, starts, &[batch, 1, 1, 1])?;
        let steps = counted(parts, seq, &[1, 1, seq, 1])?;
        Ok(Self { batch, seq, past, length, starts, steps })
    }

    /// Positions of the new keys, `[batch, 1, seq, 1]`.
    fn places(&self, parts: &mut Parts<'_, '_>) -> Result<ValueId, OpError> {
        parts.add(Binary::Add, &[self.starts, self.steps])
    }

    /// Positions of the new keys, `[batch, seq]`.
    pub fn positions(&self, parts: &mut Parts<'_, '_>) -> Result<ValueId, OpError> {
        let places = self.places(parts)?;
        reshaped(parts, places, &[self.batch, self.seq])
    }

    /// `[batch, heads, max(past, length), width]`: what of the past is in use, the new keys or values, zeros.
    pub fn written(
        &self,
        parts: &mut Parts<'_, '_>,
        past: Option<ValueId>,
        new: ValueId,
    ) -> Result<ValueId, OpError> {
        let fact = parts.fact(new)?.clone();
        let known = fact.shape.iter().map(|d| d.constant().ok_or(OpError::NotConstant { index: 0 }));
        let shape = known.collect::<Result<Vec<_>, _>>()?;
        let zero = parts.number(0.0, fact.dtype)?;
        let zeros = |parts: &mut Parts<'_, '_>, positions: i64| {
            let shape = parts.integers(&[shape[0], shape[1], positions, shape[3]])?;
            parts.add(Expand, &[zero, shape])
        };
        let room = self.length.max(self.past);
        let base = match past {
            Some(past) if self.past > 0 => {
                let nothing = zeros(parts, room - self.past)?;
                let base = parts.add(Concat { axis: 2 }, &[past, nothing])?;
                let rows = counted(parts, room, &[1, 1, room, 1])?;
                let kept = parts.add(Binary::Less, &[rows, self.starts])?;
                parts.add(Where, &[kept, base, zero])?
            }
            _ => zeros(parts, room)?,
        };
        let whole = parts.integers(&shape)?;
        let places = self.places(parts)?;
        let places = parts.add(Expand, &[places, whole])?;
        parts.add(ScatterElements { axis: 2, reduction: None }, &[base, places, new])
    }

    /// Which of the first `length` keys a query sees, `[batch, 1, seq, length]`, and, on demand, a bias of their scores.
    pub fn mask(
        &self,
        parts: &mut Parts<'_, '_>,
        op: &GroupQueryAttention,
        bias: Option<ValueId>,
    ) -> Result<ValueId, OpError> {
        let keys = counted(parts, self.length, &[1, 1, 1, self.length])?;
        let end = if op.causal {
            self.places(parts)?
        } else {
            let last = parts.integers(&[self.seq - 1])?;
            parts.add(Binary::Add, &[self.starts, last])?
        };
        let mut seen = parts.add(Binary::LessOrEqual, &[keys, end])?;
        if let Some(window) = op.window {
            let window = parts.integers(&[-window])?;
            let start = parts.add(Binary::Add, &[end, window])?;
            let near = parts.add(Binary::Greater, &[keys, start])?;
            seen = parts.add(Binary::And, &[seen, near])?;
        }
        let Some(bias) = bias else { return Ok(seen) };
        let hidden = parts.number(f64::NEG_INFINITY, parts.fact(bias)?.dtype)?;
        parts.add(Where, &[seen, bias, hidden])
    }
}

fn reshaped(parts: &mut Parts<'_, '_>, value: ValueId, shape: &[i64]) -> Result<ValueId, OpError> {
    let shape = parts.integers(shape)?;
    parts.add(Reshape { allow_zero: true }, &[value, shape])
}

/// The numbers from 0 to `count` in a tensor of that many elements.
fn counted(parts: &mut Parts<'_, '_>, count: i64, shape: &[i64]) -> Result<ValueId, OpError> {
    let (zero, count, one) = (parts.integers(&[0])?, parts.integers(&[count])?, parts.integers(&[1])?);
    let all = parts.add(Range, &[zero, count, one])?;
    reshaped(parts, all, shape)
}
