//! Loop: a subgraph that runs again and again. Its runs are put one behind the other, so their number has to be known.

use std::sync::Arc;

use super::{branch::outputs, concat::Concat, slice::Slice, squeeze::Squeeze};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Graph, ValueId},
    host::HostTensor,
    op::{Body, Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: greatest number of runs, whether the first one is made, first values of what runs hand on. The body takes the
/// number of the run, the condition and the values; it gives the next condition, the next values, and what is stacked.
#[derive(Debug)]
pub struct Loop {
    body: Body,
    handed_on: usize,
}

/// Values of one shape along a new axis.
///
/// # Errors
/// When their shapes differ.
pub fn stack(parts: &mut Parts<'_, '_>, values: &[ValueId], axis: i64) -> Result<ValueId, OpError> {
    let op = Squeeze { insert: true, axes: Some(vec![axis]) };
    let all = values.iter().map(|id| parts.add(op.clone(), &[*id]));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    parts.add(Concat { axis }, &all)
}

/// What [`stack`] makes of no value, were it one like `value`.
fn empty(parts: &mut Parts<'_, '_>, value: ValueId) -> Result<ValueId, OpError> {
    let one = stack(parts, &[value], 0)?;
    let zero = parts.integers(&[0])?;
    parts.add(Slice, &[one, zero, zero, zero])
}

impl Composite for Loop {
    fn name(&self) -> &'static str {
        "Loop"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let known = |parts: &Parts<'_, '_>, id: Option<ValueId>, index| {
            let found = id.map(|id| parts.known(id)?.ok_or(OpError::NotConstant { index }));
            found.transpose()
        };
        let limit = known(parts, parts.optional(0), 0)?.unwrap_or(i64::MAX);
        let mut condition = parts.optional(1);
        let placed = parts.place(&self.body)?;
        let first: Result<Vec<_>, _> = (2..2 + self.handed_on).map(|at| parts.input(at)).collect();
        let mut values = first?;
        let mut stacked = vec![Vec::new(); self.body.output_count() - 1 - self.handed_on];
        let yes = parts.number(1.0, DType::Bool)?;
        let run = |parts: &mut Parts<'_, '_>, n: i64, condition: Option<ValueId>, values: &[ValueId]| {
            let n = parts.constant(HostTensor::from_i64(vec![], &[n])?);
            let arguments = [&[n, condition.unwrap_or(yes)], values].concat();
            parts.run(&placed, &arguments)
        };
        for n in 0..limit {
            if known(parts, condition, 1)? == Some(0) {
                break;
            }
            let results = run(parts, n, condition, &values)?;
            let (next, rest) = results.split_first().ok_or_else(|| invalid("the body gives nothing"))?;
            let (handed, others) = rest.split_at(self.handed_on);
            stacked.iter_mut().zip(others).for_each(|(list, id)| list.push(*id));
            (condition, values) = (Some(*next), handed.to_vec());
        }
        let mut results = values.clone();
        if stacked.iter().any(Vec::is_empty) {
            let one = run(parts, 0, condition, &values)?;
            for id in &one[1 + self.handed_on..] {
                results.push(empty(parts, *id)?);
            }
        } else {
            for list in &stacked {
                results.push(stack(parts, list, 0)?);
            }
        }
        outputs(parts, &results)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let body = node.body("body")?.ok_or_else(|| invalid("attribute \"body\" is missing"))?;
    let handed_on = node.input_count().saturating_sub(2);
    body.expect(2 + handed_on, body.output_count().max(1 + handed_on))?;
    if node.output_count() > body.output_count() - 1 {
        return Err(invalid("it has more outputs than its body"));
    }
    Ok(composite(Loop { body, handed_on }))
}

fn cases() -> Vec<Case> {
    use super::{binary::Binary, cast::Cast};
    // sum += run number + y, which is captured; runs while the number is below 3; the sums are stacked.
    let body = |watched: bool| {
        let mut graph = Graph::default();
        let add = |op: Arc<dyn Op>, inputs: &[ValueId], graph: &mut Graph| {
            let inputs = inputs.iter().copied().map(Some).collect();
            graph.add_node("part", op, inputs, None)
        };
        let [n, go, sum, y] = ["n", "go", "sum", "y"].map(|name| graph.add_value(name, None));
        let three = graph.add_constant("three", sample::scalar(DType::I64, 3.0));
        let number = add(Arc::new(Cast { to: DType::F32 }), &[n], &mut graph);
        let more = add(Arc::new(Binary::Add), &[number, y], &mut graph);
        let next = add(Arc::new(Binary::Add), &[sum, more], &mut graph);
        let below = add(Arc::new(Binary::Less), &[n, three], &mut graph);
        graph.inputs = vec![n, go, sum];
        graph.outputs = vec![if watched { below } else { go }, next, next];
        Body::new(graph, vec![(y, 3)])
    };
    let case = |name: &str, watched: bool, limit: Option<i64>, go: Option<bool>| {
        let inputs = vec![
            limit.map(|n| sample::scalar(DType::I64, n as f64)),
            go.map(|go| sample::of(DType::Bool, &[], &[f64::from(go)])),
            Some(sample::floats(&[2, 3], 1)),
            Some(sample::floats(&[3], 2)),
        ];
        let op = Loop { body: body(watched), handed_on: 1 };
        Case::composite(name, op, inputs).constants(&[0, 1]).tolerance(Tolerance::F32)
    };
    vec![
        case("five runs", false, Some(5), Some(true)),
        case("no condition", false, Some(2), None),
        case("until the condition fails", true, None, Some(true)),
        case("limit before the condition fails", true, Some(2), Some(true)),
        case("no run", false, Some(0), Some(true)),
        case("false from the start", true, Some(4), Some(false)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Loop", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{Body, Loop, sample};
    use crate::{
        dtype::DType,
        graph::{Graph, Node},
        infer::infer,
        op::composite,
    };

    /// A loop whose body hands its condition on, as a graph.
    fn around(body: Graph, limit: Option<i64>) -> Graph {
        let mut graph = Graph::default();
        let limit = limit.map(|n| graph.add_constant("limit", sample::scalar(DType::I64, n as f64)));
        let op = composite(Loop { body: Body::new(body, Vec::new()), handed_on: 0 });
        graph.nodes.push(Node { name: "loop".into(), op, inputs: vec![limit, None], outputs: vec![] });
        graph
    }

    fn nothing() -> Graph {
        let mut graph = Graph::default();
        graph.inputs = ["n", "go"].map(|name| graph.add_value(name, None)).to_vec();
        graph.outputs = vec![graph.inputs[1]];
        graph
    }

    #[test]
    fn loops_without_end_and_loops_within_loops_are_refused() {
        let error = infer(&mut around(nothing(), None)).unwrap_err().to_string();
        assert!(error.contains("more than 65536 nodes"), "{error}");
        let mut outer = around(nothing(), Some(60_000));
        outer.inputs = ["n", "go"].map(|name| outer.add_value(name, None)).to_vec();
        outer.outputs = vec![outer.inputs[1]];
        let error = infer(&mut around(outer, Some(60_000))).unwrap_err().to_string();
        assert!(error.contains("node \"loop\" (Loop)") && error.contains("more than 65536 nodes"), "{error}");
    }

    #[test]
    fn a_number_of_runs_that_is_data_waits_for_inputs() {
        let mut graph = around(nothing(), Some(1));
        let input = graph.nodes[0].inputs[0].unwrap();
        let value = graph.value_mut(input);
        value.constant = None;
        value.fact.as_mut().unwrap().content = None;
        let error = infer(&mut graph).unwrap_err();
        let crate::error::EngineError::Op { source, .. } = &error else { panic!("{error}") };
        assert!(source.lacks_inputs(), "{error}");
    }
}
