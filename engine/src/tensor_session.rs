//! Any model on a device, run on named tensors again and again: an encoder, a classifier, the first step of a decoder.
//! Its weights are brought there once; plans are kept for the sizes that came last.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    error::EngineError,
    gpu::{Gpu, Run, Weights},
    host::HostTensor,
    infer_once::{OnceOptions, Planned},
    open::ModelFile,
};

/// Combinations of input sizes of which the plan and its memory are kept.
const KEPT: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct TensorSession {
    gpu: Arc<Gpu>,
    file: ModelFile,
    options: OnceOptions,
    weights: Weights,
    /// The latest last.
    kept: Vec<(Planned, Run)>,
}

impl TensorSession {
    /// A session of a model. Nothing is brought to the device before the first run, which knows the sizes.
    #[must_use]
    pub fn new(gpu: Arc<Gpu>, file: ModelFile, options: OnceOptions) -> Self {
        Self { gpu, file, options, weights: Weights::default(), kept: Vec::new() }
    }

    /// Runs the model and returns its outputs in their order. Inputs of other sizes than those of the last few runs are
    /// planned for anew.
    ///
    /// # Errors
    /// When an input is missing, unknown, or of another type or shape than the model declares (all are listed), or an
    /// operator cannot run.
    pub fn run(
        &mut self,
        inputs: &BTreeMap<String, HostTensor>,
    ) -> Result<Vec<(String, HostTensor)>, EngineError> {
        let known = self.kept.iter().position(|(planned, _)| planned.fits(inputs));
        let (planned, run) = match known {
            Some(at) => self.kept.remove(at),
            None => {
                let planned = Planned::new(&self.gpu, self.file.graph.clone(), inputs, &self.options)?;
                let plans = [(&planned.graph, &*planned.plan)];
                self.weights.add(&self.gpu, &plans, &self.file.source, &|_| {})?;
                let run = planned.start(&self.gpu, &self.weights)?;
                (planned, run)
            }
        };
        let outputs = planned.execute(&self.gpu, &run, inputs);
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push((planned, run));
        outputs
    }

    /// Bytes of weights on the device.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Kernel calls of the latest run.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.kept.last().map_or(0, |(planned, _)| planned.plan.dispatches())
    }

    /// Names of the inputs that the model takes.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.file.graph.inputs.iter().map(|id| self.file.graph.value(*id).name.as_str())
    }
}
