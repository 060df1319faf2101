//! One step of a cell, in parts.

use super::{Function, range};
use crate::{
    error::OpError,
    graph::ValueId,
    op::Parts,
    ops::{binary::Binary, matmul::MatMul, unary::Unary},
};

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Gates: input, output, forget, candidate.
    Lstm {
        /// Whether the forget gate is 1 - the input gate.
        coupled: bool,
    },
    /// Gates: update, reset, candidate.
    Gru {
        /// Whether the reset gate scales the state's share of the candidate, and not the state.
        linear_first: bool,
    },
    /// No gates.
    Rnn,
}

/// What every step of one direction reads.
pub struct Step<'a> {
    pub hidden: i64,
    pub clip: Option<f32>,
    pub functions: &'a [Function],
    /// `[hidden, gates * hidden]`.
    pub of_state: ValueId,
    /// `[gates * hidden]`.
    pub state_bias: Option<ValueId>,
    /// For the gates input, output, forget: `[hidden]` each.
    pub peepholes: Option<[ValueId; 3]>,
}

impl Step<'_> {
    /// Function `index` of a sum, held within the clip.
    fn apply(&self, parts: &mut Parts<'_, '_>, index: usize, mut x: ValueId) -> Result<ValueId, OpError> {
        if let Some(clip) = self.clip {
            let dtype = parts.fact(x)?.dtype;
            let (low, high) = (parts.number(-f64::from(clip), dtype)?, parts.number(clip.into(), dtype)?);
            x = parts.add(Binary::Max, &[x, low])?;
            x = parts.add(Binary::Min, &[x, high])?;
        }
        self.functions[index.min(self.functions.len() - 1)].apply(parts, x)
    }

    /// Gate `index` of gates side by side, or of their weights or biases.
    fn gate(&self, parts: &mut Parts<'_, '_>, of: ValueId, index: i64) -> Result<ValueId, OpError> {
        range(parts, of, -1, [index * self.hidden, (index + 1) * self.hidden])
    }

    /// The state's share of gates `from..to`, with its bias.
    fn share(
        &self,
        parts: &mut Parts<'_, '_>,
        state: ValueId,
        [from, to]: [i64; 2],
    ) -> Result<ValueId, OpError> {
        let gates = [from * self.hidden, to * self.hidden];
        let weight = range(parts, self.of_state, 1, gates)?;
        let share = parts.add(MatMul, &[state, weight])?;
        let Some(bias) = self.state_bias else { return Ok(share) };
        let bias = range(parts, bias, 0, gates)?;
        parts.add(Binary::Add, &[share, bias])
    }

    /// `x + peephole * cell`, where there are peepholes.
    fn peek(
        &self,
        parts: &mut Parts<'_, '_>,
        x: ValueId,
        gate: usize,
        cell: ValueId,
    ) -> Result<ValueId, OpError> {
        let Some(peepholes) = self.peepholes else { return Ok(x) };
        let seen = parts.add(Binary::Mul, &[peepholes[gate], cell])?;
        parts.add(Binary::Add, &[x, seen])
    }
}

/// `1 - x`.
fn rest(parts: &mut Parts<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
    let one = parts.number(1.0, parts.fact(x)?.dtype)?;
    parts.add(Binary::Sub, &[one, x])
}

/// `a * b + c * d`.
fn products(parts: &mut Parts<'_, '_>, [a, b, c, d]: [ValueId; 4]) -> Result<ValueId, OpError> {
    let (first, second) = (parts.add(Binary::Mul, &[a, b])?, parts.add(Binary::Mul, &[c, d])?);
    parts.add(Binary::Add, &[first, second])
}

impl Cell {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm { .. } => "LSTM",
            Self::Gru { .. } => "GRU",
            Self::Rnn => "RNN",
        }
    }

    pub fn has_cell_state(self) -> bool {
        matches!(self, Self::Lstm { .. })
    }

    /// How many times `hidden` the weights have.
    pub fn gates(self) -> i64 {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }

    /// The functions where the node names none.
    pub fn functions(self) -> &'static [Unary] {
        match self {
            Self::Lstm { .. } => &[Unary::Sigmoid, Unary::Tanh, Unary::Tanh],
            Self::Gru { .. } => &[Unary::Sigmoid, Unary::Tanh],
            Self::Rnn => &[Unary::Tanh],
        }
    }

    /// The next state and cell state, from the input's share of the gates `[batch, gates * hidden]`.
    pub fn step(
        self,
        parts: &mut Parts<'_, '_>,
        step: &Step<'_>,
        input: ValueId,
        state: ValueId,
        cell: ValueId,
    ) -> Result<(ValueId, ValueId), OpError> {
        match self {
            Self::Rnn => {
                let share = step.share(parts, state, [0, 1])?;
                let sum = parts.add(Binary::Add, &[input, share])?;
                let next = step.apply(parts, 0, sum)?;
                Ok((next, next))
            }
            Self::Gru { linear_first } => {
                let next = gru(parts, step, input, state, linear_first)?;
                Ok((next, next))
            }
            Self::Lstm { coupled } => lstm(parts, step, input, [state, cell], coupled),
        }
    }
}

fn gru(
    parts: &mut Parts<'_, '_>,
    step: &Step<'_>,
    input: ValueId,
    state: ValueId,
    linear_first: bool,
) -> Result<ValueId, OpError> {
    let share = step.share(parts, state, [0, 2])?;
    let gates = range(parts, input, -1, [0, 2 * step.hidden])?;
    let gates = parts.add(Binary::Add, &[gates, share])?;
    let gates = step.apply(parts, 0, gates)?;
    let (update, reset) = (step.gate(parts, gates, 0)?, step.gate(parts, gates, 1)?);
    let share = if linear_first {
        let share = step.share(parts, state, [2, 3])?;
        parts.add(Binary::Mul, &[reset, share])?
    } else {
        let scaled = parts.add(Binary::Mul, &[reset, state])?;
        step.share(parts, scaled, [2, 3])?
    };
    let own = step.gate(parts, input, 2)?;
    let sum = parts.add(Binary::Add, &[own, share])?;
    let candidate = step.apply(parts, 1, sum)?;
    let kept = rest(parts, update)?;
    products(parts, [kept, candidate, update, state])
}

fn lstm(
    parts: &mut Parts<'_, '_>,
    step: &Step<'_>,
    input: ValueId,
    [state, cell]: [ValueId; 2],
    coupled: bool,
) -> Result<(ValueId, ValueId), OpError> {
    let share = step.share(parts, state, [0, 4])?;
    let sums = parts.add(Binary::Add, &[input, share])?;
    let sum = |parts: &mut Parts<'_, '_>, index| step.gate(parts, sums, index);
    let enter = sum(parts, 0)?;
    let enter = step.peek(parts, enter, 0, cell)?;
    let enter = step.apply(parts, 0, enter)?;
    let keep = if coupled {
        rest(parts, enter)?
    } else {
        let keep = sum(parts, 2)?;
        let keep = step.peek(parts, keep, 2, cell)?;
        step.apply(parts, 0, keep)?
    };
    let candidate = sum(parts, 3)?;
    let candidate = step.apply(parts, 1, candidate)?;
    let next_cell = products(parts, [keep, cell, enter, candidate])?;
    let show = sum(parts, 1)?;
    let show = step.peek(parts, show, 1, next_cell)?;
    let show = step.apply(parts, 0, show)?;
    // Not clipped: ONNX leaves it open, ONNX Runtime clips the sums alone.
    let bounded = step.functions[2.min(step.functions.len() - 1)].apply(parts, next_cell)?;
    Ok((parts.add(Binary::Mul, &[show, bounded])?, next_cell))
}
