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
    plan::Plan,
    weights::WeightSource,
};

/// How near sums in f16 come.
const SUMS: Tolerance = Tolerance { absolute: 3e-2, relative: 2e-2 };

/// A case that is planned, with what it should give.
#[derive(Debug)]
pub struct Trial {
    planned: Planned,
    inputs: BTreeMap<String, HostTensor>,
    want: Vec<HostTensor>,
    tolerance: Tolerance,
}

/// How near f16 comes where f32 is to come so near.
pub(super) fn rounded(Tolerance { absolute, relative }: Tolerance) -> Tolerance {
    Tolerance { absolute: absolute.max(1e-2), relative: relative.max(1e-2) }
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
    /// Plans a case as a graph of one node. Kernels that hold numbers as f16 are to come as near as f16 does.
    ///
    /// # Errors
    /// When the reference or the device refuses it.
    pub fn new(target: Target, case: &Case, activations: Elem) -> Result<Self, EngineError> {
        let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
        let want = case.op.reference(&hosts);
        let want = want.map_err(|e| EngineError::at("reference", &case.name, case.op.name(), e))?;
        let (mut graph, inputs) = graph_of(case, want.len());
        crate::infer::infer(&mut graph)?;
        let options = OnceOptions {
            passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: false },
            activations,
        };
        let planned = Planned::on(target, graph, &inputs, &options)?;
        let half = planned.plan.calls.iter().any(|call| call.kernel.reflection.uses_f16);
        let tolerance = if half { rounded(case.tolerance) } else { case.tolerance };
        Ok(Self { planned, inputs, want, tolerance })
    }

    /// The same, content with less where a kernel holds numbers as f16, whatever the activations are: such sums of a few hundred
    /// products are off by so much.
    #[must_use]
    pub fn near(mut self) -> Self {
        if self.kernels().any(|kernel| kernel.reflection.uses_f16) {
            let Tolerance { absolute, relative } = self.tolerance;
            self.tolerance =
                Tolerance { absolute: absolute.max(SUMS.absolute), relative: relative.max(SUMS.relative) };
        }
        self
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
        let mut started = None;
        for run in 1..=times {
            let result = self
                .start(gpu, &mut started)
                .and_then(|ready| self.planned.execute(gpu, ready, &self.inputs).map_err(|e| e.to_string()));
            let compared = result.and_then(|got| self.compare(&got));
            compared.map_err(|text| Wrong { run, text })?;
        }
        Ok(())
    }

    /// Submits it, to keep the GPU at work, and waits for it.
    pub(super) fn keep_busy(&self, gpu: &Gpu, started: &mut Option<Run>) -> Result<(), String> {
        let run = self.start(gpu, started)?;
        run.submit(gpu).and_then(|()| run.finish(gpu, 0)).map_err(|e| e.to_string())
    }

    fn start<'a>(&self, gpu: &Gpu, started: &'a mut Option<Run>) -> Result<&'a Run, String> {
        let fresh = match started.take() {
            Some(run) => run,
            None => {
                let source = WeightSource::Model(Fit::Search);
                let plans = [(&self.planned.graph, &*self.planned.plan)];
                let weights = Weights::upload(gpu, &plans, &source, &|_| {}).map_err(|e| e.to_string())?;
                self.planned.start(gpu, &weights).map_err(|e| e.to_string())?
            }
        };
        Ok(started.insert(fresh))
    }

    fn compare(&self, got: &[(String, HostTensor)]) -> Result<(), String> {
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
