//! Scan: a subgraph that runs along an axis of its inputs. Its runs are put one behind the other, so that the axis must have a
//! known size.

use std::sync::Arc;

use super::{branch::outputs, repeat::stack, slice::Slice, squeeze::Squeeze};
use crate::{
    error::{OpError, invalid},
    graph::{Graph, Node, ValueId},
    op::{
        Body, Case, Composite, Infer, OnnxNode, Op, Operator, Parts, Placed, Tolerance, composite, sample,
        standard,
    },
};

/// Inputs: first values of what runs hand on, then what is scanned. The body takes the values and an element of each; it
/// gives the next values, and what is stacked.
#[derive(Debug)]
pub struct Scan {
    body: Body,
    handed_on: usize,
    /// Axis of each scanned input, and whether it is gone along backwards.
    scanned: Vec<(i64, bool)>,
    /// New axis of each stacked output, and whether the last run comes first.
    stacked: Vec<(i64, bool)>,
    /// Opset 8: the first input holds lengths, and the runs of each batch, dimension 0 of everything, are made apart.
    batched: bool,
}

/// Element `at` of an axis, which goes away.
///
/// # Errors
/// When there is no such axis.
pub fn element(parts: &mut Parts<'_, '_>, value: ValueId, axis: i64, at: i64) -> Result<ValueId, OpError> {
    let (start, end, axes) = (parts.integers(&[at])?, parts.integers(&[at + 1])?, parts.integers(&[axis])?);
    let one = parts.add(Slice, &[value, start, end, axes])?;
    parts.add(Squeeze { insert: false, axes: Some(vec![axis]) }, &[one])
}

/// The size of input `index` along an axis, known before the run.
///
/// # Errors
/// When there is no such axis, or its size is not known.
pub fn length(parts: &Parts<'_, '_>, index: usize, value: ValueId, axis: i64) -> Result<i64, OpError> {
    let fact = parts.fact(value)?;
    let axis = Infer::axis(axis, fact.rank())?;
    fact.shape[axis].constant().ok_or(OpError::NotConstant { index })
}

impl Scan {
    /// The outputs for one batch.
    fn scan(
        &self,
        parts: &mut Parts<'_, '_>,
        placed: &Placed<'_>,
        mut values: Vec<ValueId>,
        scanned: &[ValueId],
    ) -> Result<Vec<ValueId>, OpError> {
        let mut lengths = Vec::with_capacity(scanned.len());
        for (at, (value, (axis, _))) in scanned.iter().zip(&self.scanned).enumerate() {
            lengths.push(length(parts, self.handed_on + at, *value, *axis)?);
        }
        let runs = lengths.first().copied().ok_or_else(|| invalid("nothing is scanned"))?;
        if lengths.iter().any(|n| *n != runs) {
            return Err(invalid(format!("the scanned inputs are {lengths:?} long")));
        }
        if runs == 0 {
            return Err(OpError::Unsupported("a scan over nothing".into()));
        }
        let mut stacked = vec![Vec::new(); self.stacked.len()];
        for n in 0..runs {
            let mut arguments = values;
            for (value, (axis, backwards)) in scanned.iter().zip(&self.scanned) {
                let at = if *backwards { runs - 1 - n } else { n };
                arguments.push(element(parts, *value, *axis, at)?);
            }
            values = parts.run(placed, &arguments)?;
            let others = values.split_off(self.handed_on);
            stacked.iter_mut().zip(others).for_each(|(list, id)| list.push(id));
        }
        for (mut list, (axis, backwards)) in stacked.into_iter().zip(&self.stacked) {
            if *backwards {
                list.reverse();
            }
            values.push(stack(parts, &list, *axis)?);
        }
        Ok(values)
    }

    fn by_batch(
        &self,
        parts: &mut Parts<'_, '_>,
        placed: &Placed<'_>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>, OpError> {
        let first = *inputs.first().ok_or_else(|| invalid("nothing is scanned"))?;
        let batches = length(parts, 1, first, 0)?;
        let mut all = vec![Vec::new(); self.handed_on + self.stacked.len()];
        for batch in 0..batches {
            let own = inputs.iter().map(|id| element(parts, *id, 0, batch)).collect::<Result<Vec<_>, _>>()?;
            let (values, scanned) = own.split_at(self.handed_on);
            let results = self.scan(parts, placed, values.to_vec(), scanned)?;
            all.iter_mut().zip(results).for_each(|(list, id)| list.push(id));
        }
        if batches == 0 {
            return Err(OpError::Unsupported("a scan over no batches".into()));
        }
        all.iter().map(|list| stack(parts, list, 0)).collect()
    }
}

impl Composite for Scan {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let start = usize::from(self.batched);
        if self.batched && parts.optional(0).is_some() {
            return Err(OpError::Unsupported("lengths of the sequences of a scan".into()));
        }
        let inputs = start..start + self.handed_on + self.scanned.len();
        let inputs = inputs.map(|at| parts.input(at)).collect::<Result<Vec<_>, _>>()?;
        let placed = parts.place(&self.body)?;
        let results = if self.batched {
            self.by_batch(parts, &placed, &inputs)?
        } else {
            let (values, scanned) = inputs.split_at(self.handed_on);
            self.scan(parts, &placed, values.to_vec(), scanned)?
        };
        outputs(parts, &results)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let body = node.body("body")?.ok_or_else(|| invalid("attribute \"body\" is missing"))?;
    let batched = node.version() < 9;
    let inputs = node.input_count().saturating_sub(usize::from(batched));
    let scanned = node.int("num_scan_inputs")?.and_then(|n| usize::try_from(n).ok());
    let fits = |scanned: &usize| (1..=inputs).contains(scanned);
    let scanned =
        scanned.filter(fits).ok_or_else(|| invalid("\"num_scan_inputs\" does not fit the inputs"))?;
    let handed_on = inputs - scanned;
    body.expect(inputs, body.output_count().max(handed_on))?;
    if node.output_count() > body.output_count() {
        return Err(invalid("it has more outputs than its body"));
    }
    let stacked = body.output_count() - handed_on;
    let list = |name: &str, count: usize| match node.ints(name)? {
        None => Ok(vec![0; count]),
        Some(list) if list.len() == count => Ok(list.to_vec()),
        Some(list) => Err(invalid(format!("attribute {name:?} has {} values, not {count}", list.len()))),
    };
    let along = |axes: &str, directions: &str, count| {
        let directions = list(directions, count)?.into_iter().map(|d| d != 0);
        Ok::<_, OpError>(list(axes, count)?.into_iter().zip(directions).collect())
    };
    let (scanned, stacked) = if batched {
        let directions = list("directions", scanned)?;
        (directions.into_iter().map(|d| (0, d != 0)).collect(), vec![(0, false); stacked])
    } else {
        (
            along("scan_input_axes", "scan_input_directions", scanned)?,
            along("scan_output_axes", "scan_output_directions", stacked)?,
        )
    };
    Ok(composite(Scan { body, handed_on, scanned, stacked, batched }))
}

fn cases() -> Vec<Case> {
    use super::binary::Binary;
    // sum += element; the sums are stacked.
    let body = || {
        let mut graph = Graph::default();
        let [sum, element, next] = ["sum", "element", "next"].map(|name| graph.add_value(name, None));
        let (op, inputs) = (Arc::new(Binary::Add), vec![Some(sum), Some(element)]);
        graph.nodes.push(Node { name: "part".into(), op, inputs, outputs: vec![next] });
        graph.inputs = vec![sum, element];
        graph.outputs = vec![next, next];
        Body::new(graph, Vec::new())
    };
    let case = |name: &str, scanned: (i64, bool), stacked: (i64, bool), shapes: [&[usize]; 2]| {
        let inputs = shapes.iter().zip(1..).map(|(shape, seed)| Some(sample::floats(shape, seed))).collect();
        let (scanned, stacked) = (vec![scanned], vec![stacked]);
        let op = Scan { body: body(), handed_on: 1, scanned, stacked, batched: false };
        Case::composite(name, op, inputs).tolerance(Tolerance::F32)
    };
    let batched = Scan {
        body: body(),
        handed_on: 1,
        scanned: vec![(0, false)],
        stacked: vec![(0, false)],
        batched: true,
    };
    let inputs = vec![None, Some(sample::floats(&[2, 5], 1)), Some(sample::floats(&[2, 3, 5], 2))];
    vec![
        case("rows", (0, false), (0, false), [&[5], &[4, 5]]),
        case("columns backwards", (-1, true), (1, false), [&[5], &[5, 3]]),
        case("stacked from the end", (0, false), (-1, true), [&[2, 3], &[4, 2, 3]]),
        Case::composite("batches apart", batched, inputs),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Scan", 8..=27)], decode, cases };
