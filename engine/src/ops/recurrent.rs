//! LSTM, GRU and RNN: one step for each element of a sequence, put one behind the other, so that its length has to be known.

use std::sync::Arc;

use super::{
    binary::Binary,
    branch::outputs,
    concat::Concat,
    constant_of_shape::ConstantOfShape,
    matmul::MatMul,
    repeat::stack,
    scan::{element, length},
    select::Where,
    shape::Shape,
    slice::Slice,
    squeeze::Squeeze,
    transpose::Transpose,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

#[path = "recurrent/activation.rs"]
mod activation;
#[path = "recurrent/cell.rs"]
mod cell;

use activation::{Function, functions};
use cell::{Cell, Step};

/// Inputs: the sequence `[length, batch, input]`, weights of input `[directions, gates * hidden, input]` and of the state
/// `[directions, gates * hidden, hidden]`, both biases `[directions, 2 * gates * hidden]`, lengths `[batch]`, first state
/// `[directions, batch, hidden]`, first cell state, peepholes `[directions, 3 * hidden]`. Outputs: all states `[length,
/// directions, batch, hidden]`, the last of each direction, the last cell states.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    cell: Cell,
    hidden: i64,
    /// Of each direction: whether it begins at the end, and its functions.
    directions: Vec<(bool, Vec<Function>)>,
    /// Greatest magnitude of the sums that the functions of the gates are given.
    clip: Option<f32>,
    /// Whether the batch is the first dimension of the sequence and of the states.
    batch_first: bool,
}

const LENGTHS: usize = 4;
const FIRST: usize = 5;
const FIRST_CELL: usize = 6;
const PEEPHOLES: usize = 7;

/// Dimensions in another order.
fn transposed(parts: &mut Parts<'_, '_>, x: ValueId, perm: &[usize]) -> Result<ValueId, OpError> {
    parts.add(Transpose { perm: Some(perm.to_vec()) }, &[x])
}

/// Elements `start..end` of an axis.
fn range(
    parts: &mut Parts<'_, '_>,
    x: ValueId,
    axis: i64,
    [start, end]: [i64; 2],
) -> Result<ValueId, OpError> {
    let [start, end, axis] = [parts.integers(&[start])?, parts.integers(&[end])?, parts.integers(&[axis])?];
    parts.add(Slice, &[x, start, end, axis])
}

/// What one direction gives.
struct Run {
    /// The states, in the order of the sequence.
    states: Vec<ValueId>,
    last: ValueId,
    last_cell: ValueId,
}

impl Recurrent {
    /// State `index` of the inputs as `[batch, hidden]`; zeros when it is left out.
    fn first(
        &self,
        parts: &mut Parts<'_, '_>,
        index: usize,
        at: usize,
        sequence: ValueId,
    ) -> Result<ValueId, OpError> {
        if let Some(given) = parts.optional(index) {
            return element(parts, given, i64::from(self.batch_first), at as i64);
        }
        let batch = parts.add(Shape { start: 1, end: Some(2), total: false }, &[sequence])?;
        let hidden = parts.integers(&[self.hidden])?;
        let shape = parts.add(Concat { axis: 0 }, &[batch, hidden])?;
        let dtype = parts.fact(sequence)?.dtype;
        let value = HostTensor::from_f64s(dtype, vec![1], &[0.0])?;
        parts.add(ConstantOfShape { value }, &[shape])
    }

    /// The weights and biases of direction `at`, with the input's share of all steps computed at once.
    fn step(
        &self,
        parts: &mut Parts<'_, '_>,
        at: usize,
        sequence: ValueId,
    ) -> Result<(Step<'_>, ValueId), OpError> {
        let gates = self.cell.gates() * self.hidden;
        let weight = |parts: &mut Parts<'_, '_>, index| {
            let given = parts.input(index)?;
            let own = element(parts, given, 0, at as i64)?;
            transposed(parts, own, &[1, 0])
        };
        let (of_input, of_state) = (weight(parts, 1)?, weight(parts, 2)?);
        let mut share = parts.add(MatMul, &[sequence, of_input])?;
        let mut state_bias = None;
        if let Some(biases) = parts.optional(3) {
            let own = element(parts, biases, 0, at as i64)?;
            let bias = range(parts, own, 0, [0, gates])?;
            share = parts.add(Binary::Add, &[share, bias])?;
            state_bias = Some(range(parts, own, 0, [gates, 2 * gates])?);
        }
        let mut peepholes = None;
        if let Some(given) = parts.optional(PEEPHOLES).filter(|_| self.cell.has_cell_state()) {
            let own = element(parts, given, 0, at as i64)?;
            let part = |n| range(parts, own, 0, [n * self.hidden, (n + 1) * self.hidden]);
            let all: Vec<_> = (0..3).map(part).collect::<Result<_, _>>()?;
            peepholes = <[ValueId; 3]>::try_from(all).ok();
        }
        let (hidden, clip, functions) = (self.hidden, self.clip, &self.directions[at].1);
        Ok((Step { hidden, clip, functions, of_state, state_bias, peepholes }, share))
    }

    fn run(
        &self,
        parts: &mut Parts<'_, '_>,
        at: usize,
        sequence: ValueId,
        steps: i64,
    ) -> Result<Run, OpError> {
        let (step, share) = self.step(parts, at, sequence)?;
        let mut state = self.first(parts, FIRST, at, sequence)?;
        let mut cell =
            if self.cell.has_cell_state() { self.first(parts, FIRST_CELL, at, sequence)? } else { state };
        let zero = parts.number(0.0, parts.fact(sequence)?.dtype)?;
        let backwards = self.directions[at].0;
        let mut states = Vec::new();
        for n in 0..steps {
            let n = if backwards { steps - 1 - n } else { n };
            let own = element(parts, share, 0, n)?;
            let mut next = self.cell.step(parts, &step, own, state, cell)?;
            let mut shown = next.0;
            if let Some(lengths) = parts.optional(LENGTHS) {
                // A sequence that is shorter keeps its state, and shows zeros.
                let number = parts.number(n as f64, parts.fact(lengths)?.dtype)?;
                let within = parts.add(Binary::Less, &[number, lengths])?;
                let within = parts.add(Squeeze { insert: true, axes: Some(vec![1]) }, &[within])?;
                shown = parts.add(Where, &[within, next.0, zero])?;
                next.0 = parts.add(Where, &[within, next.0, state])?;
                if self.cell.has_cell_state() {
                    next.1 = parts.add(Where, &[within, next.1, cell])?;
                }
            }
            (state, cell) = next;
            states.push(shown);
        }
        if backwards {
            states.reverse();
        }
        Ok(Run { states, last: state, last_cell: cell })
    }
}

impl Composite for Recurrent {
    fn name(&self) -> &'static str {
        self.cell.name()
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut sequence = parts.input(0)?;
        if parts.fact(sequence)?.rank() != 3 {
            return Err(invalid(format!("{} is no sequence", parts.fact(sequence)?)));
        }
        if self.batch_first {
            sequence = transposed(parts, sequence, &[1, 0, 2])?;
        }
        let steps = length(parts, 0, sequence, 0)?;
        if steps == 0 {
            return Err(OpError::Unsupported("a sequence without elements".into()));
        }
        let runs = (0..self.directions.len()).map(|at| self.run(parts, at, sequence, steps));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let by_direction = runs.iter().map(|run| stack(parts, &run.states, 0));
        let by_direction = by_direction.collect::<Result<Vec<_>, _>>()?;
        let mut all = stack(parts, &by_direction, 1)?;
        let last: Vec<_> = runs.iter().map(|run| run.last).collect();
        let cells: Vec<_> = runs.iter().map(|run| run.last_cell).collect();
        let axis = i64::from(self.batch_first);
        if self.batch_first {
            all = transposed(parts, all, &[2, 0, 1, 3])?;
        }
        let mut results = vec![all, stack(parts, &last, axis)?];
        if self.cell.has_cell_state() {
            results.push(stack(parts, &cells, axis)?);
        }
        outputs(parts, &results)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let flag = |name: &str| Ok::<_, OpError>(node.int_or(name, 0)? != 0);
    let cell = match node.op_type() {
        "LSTM" => Cell::Lstm { coupled: flag("input_forget")? },
        "GRU" => Cell::Gru { linear_first: flag("linear_before_reset")? },
        _ => Cell::Rnn,
    };
    let hidden = node.int("hidden_size")?.filter(|n| (1..=i64::from(i32::MAX)).contains(n));
    let hidden = hidden.ok_or_else(|| invalid("attribute \"hidden_size\" is missing, or no size"))?;
    let directions: &[bool] = match node.string("direction")?.unwrap_or("forward") {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(invalid(format!("direction {other:?} is not known"))),
    };
    let functions = functions(node, cell.functions(), directions.len())?;
    let clip = node.float("clip")?.filter(|clip| *clip > 0.0);
    let directions = directions.iter().copied().zip(functions).collect();
    Ok(composite(Recurrent { cell, hidden, directions, clip, batch_first: flag("layout")? }))
}

fn cases() -> Vec<Case> {
    let (length, batch, input, hidden) = (3, 2, 5, 4);
    let case = |name: &str, op: Recurrent, with: &[usize]| {
        let (directions, gates) = (op.directions.len(), op.cell.gates() as usize);
        let state = if op.batch_first { [batch, directions, hidden] } else { [directions, batch, hidden] };
        let x = if op.batch_first { [batch, length, input] } else { [length, batch, input] };
        let given = |index: usize, shape: &[usize]| {
            (index < 3 || with.contains(&index)).then(|| sample::floats_in(shape, index as u64, -1.0, 1.0))
        };
        let inputs = vec![
            given(0, &x),
            given(1, &[directions, gates * hidden, input]),
            given(2, &[directions, gates * hidden, hidden]),
            given(3, &[directions, 2 * gates * hidden]),
            with.contains(&LENGTHS).then(|| sample::of(DType::I32, &[batch], &[3.0, 1.0])),
            given(FIRST, &state),
            given(FIRST_CELL, &state),
            given(PEEPHOLES, &[directions, 3 * hidden]),
        ];
        Case::composite(format!("{}, {name}", op.name()), op, inputs).constants(&[1, 2, 3, PEEPHOLES])
    };
    let of = |cell: Cell, directions: &[bool]| {
        let functions: Vec<_> = cell.functions().iter().copied().map(Function::Plain).collect();
        let directions = directions.iter().map(|backwards| (*backwards, functions.clone())).collect();
        Recurrent { cell, hidden: hidden as i64, directions, clip: None, batch_first: false }
    };
    let lstm = Cell::Lstm { coupled: false };
    let cells = [lstm, Cell::Gru { linear_first: false }, Cell::Gru { linear_first: true }, Cell::Rnn];
    let mut cases: Vec<Case> = cells
        .iter()
        .map(|cell| {
            case(&format!("{cell:?}, both directions"), of(*cell, &[false, true]), &[3, LENGTHS, FIRST])
        })
        .collect();
    let batch_first = Recurrent { batch_first: true, ..of(lstm, &[false, true]) };
    let clipped = Recurrent { clip: Some(0.25), ..of(lstm, &[true]) };
    let other = vec![Function::ScaledTanh { alpha: 0.5, beta: 2.0 }];
    cases.extend([
        case("no state given", of(lstm, &[false]), &[]),
        case("peepholes and cell state", of(lstm, &[false]), &[3, FIRST, FIRST_CELL, PEEPHOLES]),
        case("coupled gates", of(Cell::Lstm { coupled: true }, &[false]), &[3]),
        case("batch first", batch_first, &[3, FIRST, FIRST_CELL]),
        case("clipped, backwards", clipped, &[3, LENGTHS]),
        case("scaled tanh", Recurrent { directions: vec![(false, other)], ..of(Cell::Rnn, &[false]) }, &[]),
    ]);
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[standard("LSTM", 1..=27), standard("GRU", 1..=27), standard("RNN", 1..=27)],
    decode,
    cases,
};
