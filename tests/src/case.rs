//! Operators' cases on a GPU.

use std::collections::BTreeMap;

use engine::{
    EngineError,
    gpu::Gpu,
    graph::{Graph, Node},
    host::{Fit, HostTensor, WeightFormat},
    infer::infer,
    infer_once::{OnceOptions, run_graph},
    op::{self, Case, Elem, LowerOptions, Tolerance},
    ops::OPERATORS,
    passes::{PassOptions, WeightFormats},
    plan::{Plan, PlanOptions},
    weights::WeightSource,
};
use symbolic::Symbol;

/// The graph of one node, with what the case gives as inputs.
#[must_use]
pub fn graph_of_case(case: &Case) -> (Graph, BTreeMap<String, HostTensor>) {
    let mut graph = Graph::default();
    let mut inputs = BTreeMap::new();
    let mut ids = Vec::new();
    for (index, tensor) in case.inputs.iter().enumerate() {
        let Some(tensor) = tensor else {
            ids.push(None);
            continue;
        };
        let name = format!("input{index}");
        if case.constants.contains(&index) {
            ids.push(Some(graph.add_constant(&name, tensor.clone())));
        } else {
            let mut fact = op::fact_of(tensor);
            fact.content = None;
            let id = graph.add_value(&name, Some(fact));
            graph.inputs.push(id);
            ids.push(Some(id));
            inputs.insert(name, tensor.clone());
        }
    }
    let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let count = case.op.reference(&hosts).unwrap_or_else(|e| panic!("{}: reference: {e}", case.name)).len();
    let outputs: Vec<_> = (0..count).map(|i| graph.add_value(&format!("output{i}"), None)).collect();
    graph.outputs.clone_from(&outputs);
    graph.nodes.push(Node { name: case.name.clone(), op: case.op.clone(), inputs: ids, outputs });
    (graph, inputs)
}

/// The plan of a case on a GPU.
///
/// # Errors
/// When the operator cannot be planned there.
pub fn plan_of_case(gpu: &Gpu, case: &Case) -> Result<Plan, EngineError> {
    let mut graph = graph_of_case(case).0;
    infer(&mut graph)?;
    plan_of_graph(gpu, &graph)
}

/// The plan of a typed graph on a GPU.
///
/// # Errors
/// When an operator cannot be planned there.
pub fn plan_of_graph(gpu: &Gpu, graph: &Graph) -> Result<Plan, EngineError> {
    let lower = LowerOptions { target: gpu.target(), activations: Elem::F32 };
    let capacity = Symbol::new("capacity");
    let (caches, kept, stepping) = Default::default();
    Plan::new(graph, &PlanOptions { lower, caches, kept, capacity, stepping })
}

/// Runs a case; the error says where it differs from the reference.
///
/// # Errors
/// As said, and when it cannot be run.
pub fn check_case(gpu: &Gpu, case: &Case, activations: Elem) -> Result<(), String> {
    let (mut graph, inputs) = graph_of_case(case);
    infer(&mut graph).map_err(|e| e.to_string())?;
    let options = OnceOptions {
        passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: false },
        activations,
    };
    let source = WeightSource::Model(Fit::Search);
    let got = run_graph(gpu, graph, &source, &inputs, &options).map_err(|e| e.to_string())?;
    let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let want = case.op.reference(&hosts).map_err(|e| e.to_string())?;
    for (index, ((_, got), want)) in got.iter().zip(&want).enumerate() {
        if got.shape() != want.shape() || got.dtype() != want.dtype() {
            return Err(format!(
                "output {index} is {} {:?}, not {} {:?}",
                got.dtype(),
                got.shape(),
                want.dtype(),
                want.shape()
            ));
        }
        let tolerance = case.tolerance;
        for (at, (a, b)) in got.to_f64s().into_iter().zip(want.to_f64s()).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan());
            let close = (a - b).abs() <= tolerance.absolute + tolerance.relative * b.abs();
            if !same && !close {
                return Err(format!("output {index}, element {at}: {a} instead of {b}"));
            }
        }
    }
    Ok(())
}

/// Runs `more` and every operator's cases by kernels to choose whose names begin with `word`: each case by as many as
/// `most`, the next ones for the next case. Returns how many runs there were, and what was wrong. Kernels that hold numbers
/// as f16 are to come as near as f16 does.
#[must_use]
pub fn check_variants(gpu: &Gpu, word: &str, more: Vec<Case>, most: usize) -> (usize, Vec<String>) {
    let (mut run, mut wrong) = (0, Vec::new());
    for case in more.into_iter().chain(OPERATORS.iter().flat_map(|o| (o.cases)())) {
        gpu.choose_by(op::Choices::default());
        let Ok(plan) = plan_of_case(gpu, &case) else { continue };
        let [choice] = plan.choices.as_slice() else { continue };
        let Tolerance { absolute, relative } = case.tolerance;
        let near = Tolerance { absolute: absolute.max(1e-2), relative: relative.max(1e-2) };
        let case = case.tolerance(near);
        let names: Vec<_> =
            choice.candidates.iter().enumerate().filter(|(_, n)| n.starts_with(word)).collect();
        for (round, name) in names.iter().cycle().skip(run).take(most.min(names.len())) {
            gpu.choose_by(op::Choices { round: Some(*round), ..op::Choices::default() });
            run += 1;
            if let Err(text) = check_case(gpu, &case, Elem::F32) {
                wrong.push(format!("{name}: {} / {}: {text}", case.op.name(), case.name));
            }
        }
    }
    gpu.choose_by(op::Choices::default());
    (run, wrong)
}
