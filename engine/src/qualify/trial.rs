//! One case on a device.

use std::collections::BTreeMap;

use shaders::Kernel;

use crate::{
    error::EngineError,
    gpu::{Gpu, Run, Weights},
    graph::{Graph, Node},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, Planned},
    op::{Case, Choice, Elem, Target, Tolerance, fact_of},
    passes::{PassOptions, WeightFormats},
    plan::{Cache, Plan},
    weights::{WeightSource, held},
};

/// How near sums of a few hundred products come in f16, or in 8 bits, where what lies halfway between two whole numbers may
/// become either: a 127th of the largest of a span, of up to 2 in the cases, times a weight, 8e-3, and that several times.
const SUMS: Tolerance = Tolerance { absolute: 3e-2, relative: 2e-2 };

/// The kernel whose products are of halves whatever the activations are. It decodes weights by an fma in f16, which software
/// Vulkan rounds twice: sums of 64 products are then off by up to 1.2e-2, instead of 3e-3.
const COOPERATIVE: &str = "linear_coop";

/// How near f16 comes where it only holds numbers.
const HELD: Tolerance = Tolerance { absolute: 1e-2, relative: 1e-2 };

/// A case that is planned, with what it should give.
#[derive(Debug)]
pub struct Trial {
    planned: Planned,
    inputs: BTreeMap<String, HostTensor>,
    /// What is in the caches before each run, in device form.
    caches: Vec<Vec<u8>>,
    want: Vec<HostTensor>,
    tolerance: Tolerance,
}

/// How near f16 comes where f32 is to come so near.
pub(super) fn rounded(tolerance: Tolerance) -> Tolerance {
    tolerance.or(HELD)
}

/// A result that is not the reference's, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which run, from 1.
    pub run: usize,
    /// What is wrong.
    pub text: String,
}

impl Trial {
    /// Plans a case as a graph of one node. Kernels that hold numbers as f16, or multiply in it, are to come as near as that
    /// does whatever the activations are; those that multiply in 8 bits, to the reference that rounds likewise.
    ///
    /// # Errors
    /// When the reference or the device refuses it.
    pub fn new(target: Target, case: &Case, activations: Elem) -> Result<Self, EngineError> {
        let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
        let refused = |e| EngineError::at("reference", &case.name, case.op.name(), e);
        let want = case.op.reference(&hosts).map_err(refused)?;
        let (graph, inputs) = graph_of(case, want.len());
        let mut trial = Self::of_graph(target, graph, inputs, &[], want, activations)?;
        trial.tolerance = case.tolerance;
        let in_bytes = trial.multiplies_in("i8");
        let in_halves = trial.multiplies_in("f16") || trial.kernels().any(|k| k.spec.kernel() == COOPERATIVE);
        if in_halves || in_bytes {
            trial.tolerance = case.tolerance.or(SUMS);
        } else if trial.kernels().any(|kernel| kernel.reflection.uses_f16) {
            trial.tolerance = rounded(case.tolerance);
        }
        if in_bytes {
            trial.want = case.op.reference_in_bytes(&hosts).map_err(refused)?;
        }
        Ok(trial)
    }

    /// Plans a graph with caches, which hold what is given for `past`, whose results may be as far from these as sums in f16
    /// are.
    ///
    /// # Errors
    /// When the device refuses it.
    pub(super) fn of_graph(
        target: Target,
        mut graph: Graph,
        inputs: BTreeMap<String, HostTensor>,
        caches: &[Cache],
        want: Vec<HostTensor>,
        activations: Elem,
    ) -> Result<Self, EngineError> {
        crate::infer::infer(&mut graph)?;
        let options = OnceOptions {
            passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: false },
            activations,
        };
        let planned = Planned::on(target, graph, &inputs, caches, &options)?;
        let filled = |cache: &Cache| -> Result<Vec<u8>, EngineError> {
            let name = &planned.graph.value(cache.past).name;
            let Some(tensor) = inputs.get(name) else { return Ok(Vec::new()) };
            Ok(held(name, tensor, cache.elem)?.to_vec())
        };
        let caches = caches.iter().map(filled).collect::<Result<_, _>>()?;
        Ok(Self { planned, inputs, caches, want, tolerance: SUMS })
    }

    fn multiplies_in(&self, math: &str) -> bool {
        self.kernels().any(|kernel| kernel.spec.choice("MATH") == Some(math))
    }

    /// Its plan.
    pub fn plan(&self) -> &Plan {
        &self.planned.plan
    }

    /// Which kernels were chosen, and which others there are.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.planned.plan.choices
    }

    /// The kernels that it runs.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.planned.plan.calls.iter().map(|call| &*call.kernel)
    }

    /// Runs it so many times; each result must be the reference's.
    ///
    /// # Errors
    /// The first run that is wrong.
    pub fn run(&self, gpu: &Gpu, times: usize) -> Result<(), Wrong> {
        self.run_behind(gpu, times, &|| Ok(()))
    }

    /// [`Trial::run`], each time behind other work, which `submit` gives the GPU.
    pub(super) fn run_behind(
        &self,
        gpu: &Gpu,
        times: usize,
        submit: &dyn Fn() -> Result<(), EngineError>,
    ) -> Result<(), Wrong> {
        let ready = self.start(gpu).map_err(|e| Wrong { run: 1, text: e.to_string() })?;
        for run in 1..=times {
            let mut filled = self.caches.iter().enumerate();
            let result = filled
                .try_for_each(|(cache, bytes)| ready.fill_cache(gpu, cache, bytes))
                .and_then(|()| submit())
                .and_then(|()| self.planned.execute(gpu, &ready, &self.inputs));
            let compared = result.map_err(|e| e.to_string()).and_then(|got| self.compare(&got));
            compared.map_err(|text| Wrong { run, text })?;
        }
        Ok(())
    }

    /// Makes all that running it takes.
    pub(super) fn start(&self, gpu: &Gpu) -> Result<Run, EngineError> {
        let source = WeightSource::Model(Fit::Search);
        let plans = [(&self.planned.graph, &*self.planned.plan)];
        self.planned.start(gpu, &Weights::upload(gpu, &plans, &source, &|_| {})?)
    }

    fn compare(&self, got: &[(String, HostTensor)]) -> Result<(), String> {
        if got.len() != self.want.len() {
            return Err(format!("{} outputs instead of {}", got.len(), self.want.len()));
        }
        for (index, ((_, got), want)) in got.iter().zip(&self.want).enumerate() {
            let (type_got, type_want) = ((got.dtype(), got.shape()), (want.dtype(), want.shape()));
            if type_got != type_want {
                return Err(format!("output {index} is {type_got:?}, not {type_want:?}"));
            }
            let pairs = got.to_f64s().into_iter().zip(want.to_f64s());
            for (at, (a, b)) in pairs.enumerate() {
                let same = a == b || (a.is_nan() && b.is_nan());
                let close = (a - b).abs() <= self.tolerance.absolute + self.tolerance.relative * b.abs();
                if !same && !close {
                    return Err(format!("output {index}, element {at}: {a} instead of {b}"));
                }
            }
        }
        Ok(())
    }
}

/// The graph of one node, with what the case gives as inputs.
fn graph_of(case: &Case, outputs: usize) -> (Graph, BTreeMap<String, HostTensor>) {
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
            let mut fact = fact_of(tensor);
            fact.content = None;
            let id = graph.add_value(&name, Some(fact));
            graph.inputs.push(id);
            ids.push(Some(id));
            inputs.insert(name, tensor.clone());
        }
    }
    let outputs: Vec<_> = (0..outputs).map(|i| graph.add_value(&format!("output{i}"), None)).collect();
    graph.outputs.clone_from(&outputs);
    graph.nodes.push(Node { name: case.name.clone(), op: case.op.clone(), inputs: ids, outputs });
    (graph, inputs)
}
