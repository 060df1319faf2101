//! One run of any graph with named tensors: what `halfbyte infer` and the operator tests do.

use std::collections::BTreeMap;
use std::sync::Arc;

use symbolic::{Expr, SolveError, Substitution, Symbol};

use crate::{
    dtype::DType,
    error::EngineError,
    gpu::{Arena, Gpu, Run, Weights},
    graph::{Graph, ValueId},
    host::HostTensor,
    infer,
    op::{Elem, LowerOptions, Target},
    open::ModelFile,
    passes::{self, PassOptions},
    plan::{Cache, Plan, PlanOptions},
    weights::{WeightSource, held, tensor},
};

/// Integer inputs of up to this many elements can be shapes.
const SHAPE: usize = 64;
/// Float inputs of up to this many can be bounds of a range, or scales of dimensions.
const SCALES: usize = 8;

/// How a graph is run once.
#[derive(Clone, Debug)]
pub struct OnceOptions {
    /// Weight formats and fusion.
    pub passes: PassOptions,
    /// How float activations are held.
    pub activations: Elem,
}

/// Runs a model file on `inputs` and returns its outputs in their order.
///
/// # Errors
/// When an input is missing, unknown, or of another type or shape than the model declares (all are listed), or an
/// operator cannot run.
pub fn run(
    gpu: &Gpu,
    file: &ModelFile,
    inputs: &BTreeMap<String, HostTensor>,
    options: &OnceOptions,
) -> Result<Vec<(String, HostTensor)>, EngineError> {
    run_graph(gpu, file.graph.clone(), &file.source, inputs, options)
}

/// Runs a typed graph; see [`run`].
///
/// # Errors
/// As [`run`].
pub fn run_graph(
    gpu: &Gpu,
    graph: Graph,
    source: &WeightSource,
    inputs: &BTreeMap<String, HostTensor>,
    options: &OnceOptions,
) -> Result<Vec<(String, HostTensor)>, EngineError> {
    let planned = Planned::new(gpu, graph, inputs, options)?;
    let weights = Weights::upload(gpu, &[(&planned.graph, &*planned.plan)], source, &|_| {})?;
    let run = planned.start(gpu, &weights)?;
    planned.execute(gpu, &run, inputs)
}

/// A graph planned for inputs of certain sizes.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) graph: Graph,
    pub(crate) plan: Arc<Plan>,
    types: BTreeMap<String, (DType, Vec<usize>)>,
    /// Inputs that became constants of the plan.
    carried: BTreeMap<String, HostTensor>,
    /// Inputs that the plan takes to hold nothing but 0 and 1.
    flags: Vec<String>,
}

impl Planned {
    /// Types, fuses and plans a graph for inputs like these.
    ///
    /// # Errors
    /// As [`run`].
    pub(crate) fn new(
        gpu: &Gpu,
        graph: Graph,
        inputs: &BTreeMap<String, HostTensor>,
        options: &OnceOptions,
    ) -> Result<Self, EngineError> {
        Self::on(gpu.target(), graph, inputs, &[], options)
    }

    /// [`Planned::new`] for a device as it is described, with caches.
    pub(crate) fn on(
        target: Target,
        mut graph: Graph,
        inputs: &BTreeMap<String, HostTensor>,
        caches: &[Cache],
        options: &OnceOptions,
    ) -> Result<Self, EngineError> {
        let sizes = check_inputs(&graph, inputs)?;
        infer::specialise(&mut graph, &sizes);
        let mut carried = BTreeMap::new();
        let mut typed = graph.clone();
        let mut found = infer::infer(&mut typed);
        // Floats decide shapes more rarely: they stay data where integers are enough.
        for floats in [false, true] {
            if !matches!(&found, Err(EngineError::Op { source, .. }) if source.lacks_inputs()) {
                break;
            }
            carry_constants(&mut graph, inputs, floats, &mut carried);
            typed = graph.clone();
            found = infer::infer(&mut typed);
        }
        found?;
        graph = typed;
        find_flags(&mut graph, inputs);
        let flags = graph.flags.iter().map(|id| graph.value(*id).name.clone()).collect();
        passes::run(&mut graph, &options.passes)?;
        let lower = LowerOptions { target, activations: options.activations };
        let capacity = Symbol::new("capacity");
        let plan = Plan::new(
            &graph,
            &PlanOptions { lower, caches: caches.to_vec(), kept: Vec::new(), capacity, stepping: Vec::new() },
        )?;
        Ok(Self { graph, plan: Arc::new(plan), types: types(inputs), carried, flags })
    }

    /// Whether the plan is good for these inputs too.
    pub(crate) fn fits(&self, inputs: &BTreeMap<String, HostTensor>) -> bool {
        self.types == types(inputs)
            && self.carried.iter().all(|(name, known)| inputs.get(name) == Some(known))
            && self.flags.iter().all(|name| inputs.get(name).is_some_and(HostTensor::is_flag))
    }

    /// Makes the memory that it runs in.
    ///
    /// # Errors
    /// When the device has none.
    pub(crate) fn start(&self, gpu: &Gpu, weights: &Weights) -> Result<Run, EngineError> {
        let none = symbolic::Bindings::new();
        let arena = Arena::new(gpu, self.plan.arena_bytes(&none)?, &self.plan, &none)?;
        Run::new(gpu, &self.plan, weights, &self.graph, &arena, &none, &none)
    }

    /// Runs it and reads every output.
    ///
    /// # Errors
    /// When a number does not fit the device, or the GPU fails.
    pub(crate) fn execute(
        &self,
        gpu: &Gpu,
        run: &Run,
        inputs: &BTreeMap<String, HostTensor>,
    ) -> Result<Vec<(String, HostTensor)>, EngineError> {
        for port in &self.plan.inputs {
            if let Some(given) = inputs.get(&port.name) {
                run.write(gpu, &port.name, &held(&port.name, given, port.view.elem)?)?;
            }
        }
        run.submit(gpu)?;
        let (graph, plan) = (&self.graph, &self.plan);
        let mut outputs = Vec::with_capacity(plan.outputs.len());
        for (index, id) in graph.outputs.iter().enumerate() {
            let name = graph.value(*id).name.clone();
            let fact = graph
                .fact(*id)
                .ok_or_else(|| EngineError::model("infer", format!("{name:?} has no type")))?;
            if let Some(host) = graph.host(*id) {
                outputs.push((name, host.clone()));
                continue;
            }
            let shape = fact.shape.iter().map(|d| d.constant().and_then(|n| usize::try_from(n).ok()));
            let shape: Option<Vec<usize>> = shape.collect();
            let shape = shape.ok_or_else(|| {
                EngineError::model("infer", format!("the shape of {name:?} depends on data: {fact}"))
            })?;
            let bytes = run.read(gpu, index)?;
            outputs.push((name, tensor(&bytes, plan.outputs[index].view.elem, fact.dtype, shape)?));
        }
        Ok(outputs)
    }
}

fn types(inputs: &BTreeMap<String, HostTensor>) -> BTreeMap<String, (DType, Vec<usize>)> {
    inputs.iter().map(|(name, t)| (name.clone(), (t.dtype(), t.shape().to_vec()))).collect()
}

/// The sizes that the given shapes stand for, or everything that does not fit.
fn check_inputs(graph: &Graph, inputs: &BTreeMap<String, HostTensor>) -> Result<Substitution, EngineError> {
    let mut problems = Vec::new();
    let mut sizes: Vec<(Expr, i64)> = Vec::new();
    let mut places: Vec<(&str, usize)> = Vec::new();
    for id in &graph.inputs {
        let name = &graph.value(*id).name;
        let Some(fact) = graph.fact(*id) else { continue };
        let Some(given) = inputs.get(name) else {
            problems.push(format!("input {name:?} ({fact}) is not given"));
            continue;
        };
        if given.dtype() != fact.dtype {
            problems.push(format!("input {name:?} is {}, the model takes {fact}", given.dtype()));
        }
        let fits = given.shape().len() == fact.rank()
            && given
                .shape()
                .iter()
                .zip(&fact.shape)
                .all(|(g, d)| d.constant().is_none_or(|c| c == *g as i64));
        if fits {
            sizes.extend(fact.shape.iter().cloned().zip(given.shape().iter().map(|g| *g as i64)));
            places.extend((0..fact.rank()).map(|axis| (name.as_str(), axis)));
        } else {
            problems.push(format!("input {name:?} has shape {:?}, the model takes {fact}", given.shape()));
        }
    }
    let takes = |name: &String| graph.inputs.iter().any(|id| graph.value(*id).name == *name);
    problems.extend(inputs.keys().filter(|n| !takes(n)).map(|n| format!("the model has no input {n:?}")));
    let solved = symbolic::solve(&sizes).map_err(|e| {
        let text = match &e {
            SolveError::Mismatch { index, declared, actual, expected } => {
                let (name, axis) = places[*index];
                format!(
                    "axis {axis} of input {name:?} is {actual}; it is declared `{declared}`, which {expected}"
                )
            }
            SolveError::Undetermined { .. } => e.to_string(),
        };
        problems.push(format!("the shapes do not fit together: {text}"));
    });
    match solved {
        Ok(bindings) if problems.is_empty() => {
            let mut put = Substitution::new();
            for (symbol, value) in bindings.iter() {
                put.set(symbol, value);
            }
            Ok(put)
        }
        _ => Err(EngineError::model("infer", problems.join("\n  "))),
    }
}

/// Integer inputs that hold nothing but 0 and 1 in this run: a pass may take them for masks.
fn find_flags(graph: &mut Graph, inputs: &BTreeMap<String, HostTensor>) {
    let given = |id: &ValueId| inputs.get(&graph.value(*id).name).is_some_and(HostTensor::is_flag);
    graph.flags = graph.inputs.iter().copied().filter(given).collect();
}

/// Inputs that decide shapes, and conditions, are known before the run: small ones become constants, floats on demand.
fn carry_constants(
    graph: &mut Graph,
    inputs: &BTreeMap<String, HostTensor>,
    floats: bool,
    carried: &mut BTreeMap<String, HostTensor>,
) {
    for id in graph.inputs.clone() {
        let name = graph.value(id).name.clone();
        let decides = |t: &&HostTensor| {
            if t.dtype().is_float() { floats && t.len() <= SCALES } else { t.len() <= SHAPE }
        };
        let Some(given) = inputs.get(&name).filter(decides) else { continue };
        let constant = graph.add_constant(&format!("{name} (given)"), given.clone());
        graph.replace_uses(id, constant);
        graph.inputs.retain(|i| *i != id);
        carried.insert(name, given.clone());
    }
}
