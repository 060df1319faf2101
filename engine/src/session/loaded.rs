//! A model on a device: weights, plans and pipelines, which its sessions share.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use symbolic::Bindings;

use crate::{
    error::EngineError,
    gpu::{Gpu, Progress, Weights},
    graph::Graph,
    language::{LanguageModel, LanguageOptions, Phase, Prepared, Symbols},
    op::{Choices, Elem, WeightPacking},
    plan::{Plan, PlanOptions},
    weights::WeightSource,
};

/// A language model with its weights on a device.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    pub(super) gpu: Arc<Gpu>,
    pub(super) weights: Weights,
    pub(super) prefill: Phased,
    pub(super) decode: Phased,
    pub(super) symbols: Symbols,
    pub(super) options: LanguageOptions,
    pub(super) chunk: usize,
    pub(super) vocabulary: usize,
    pub(super) cache_heads: usize,
    /// Positions of caches that the model itself gives a length.
    pub(super) room: Option<usize>,
    /// Positions that the shortest circular cache keeps.
    pub(super) window: Option<usize>,
    pub(super) inputs: InputNames,
    /// Of what the session remembers, the masks: 0 and 1 alone.
    pub(super) masks: Vec<String>,
    times: LoadTimes,
}

/// What loading took. Weights go up while pipelines are made, so that the whole is less than the sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadTimes {
    /// Planning both phases.
    pub plan: Duration,
    /// Bringing the weights to the device.
    pub upload: Duration,
    /// Making the pipelines.
    pub pipelines: Duration,
    /// All.
    pub whole: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Phased {
    pub graph: Arc<Graph>,
    pub plan: Arc<Plan>,
    made_for: PlanOptions,
}

#[derive(Clone, Debug)]
pub(super) struct InputNames {
    pub tokens: String,
    pub mask: Option<String>,
    pub positions: Option<String>,
}

impl LoadedModel {
    /// Plans both phases, then brings the weights to the device and makes the pipelines, both at once. `progress` is
    /// called from several threads.
    ///
    /// # Errors
    /// When the model cannot be planned, weights are missing, or the device refuses.
    pub fn load(
        gpu: Arc<Gpu>,
        model: &LanguageModel,
        source: &WeightSource,
        mut options: LanguageOptions,
        chunk: usize,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Arc<Self>, EngineError> {
        let start = Instant::now();
        options.context = options.context.min(model.room().unwrap_or(usize::MAX));
        let chunk = chunk.clamp(1, options.context.max(1));
        let prepare = |phase| model.prepare(phase, &options).map(phased);
        let (prefill, decode) = both(|| prepare(Phase::Prefill { chunk }), || prepare(Phase::Decode));
        let (prefill, decode) = (prefill?, decode?);
        check_caches(&prefill, &decode)?;
        let plan = start.elapsed();
        let plans = [(&*prefill.graph, &*prefill.plan), (&*decode.graph, &*decode.plan)];
        let ((weights, upload), (made, pipelines)) = both(
            || timed(|| Weights::upload(&gpu, &plans, source, progress)),
            || {
                timed(|| {
                    gpu.make_pipelines(&plans.map(|(_, plan)| plan), progress)?;
                    gpu.prepare_choice(options.lower.activations)
                })
            },
        );
        let weights = weights?;
        made?;
        let (tokens, mask, positions) = model.input_names();
        let inputs = InputNames {
            tokens: tokens.to_owned(),
            mask: mask.map(str::to_owned),
            positions: positions.map(str::to_owned),
        };
        let masks = model.memories().filter(|m| model.is_flag(m)).map(str::to_owned).collect();
        let vocabulary = model
            .vocabulary()
            .ok_or_else(|| EngineError::model("load", "the size of the vocabulary is not a number"))?;
        let cache_heads = model.cache_heads().unwrap_or(1);
        let symbols = Symbols::new(chunk, options.context);
        Ok(Arc::new(Self {
            gpu,
            weights,
            prefill,
            decode,
            symbols,
            options,
            chunk,
            vocabulary,
            cache_heads,
            room: model.room(),
            window: model.window(),
            inputs,
            masks,
            times: LoadTimes { plan, upload, pipelines, whole: start.elapsed() },
        }))
    }

    /// The same model, its weights shared, with plans that follow other choices among kernels.
    ///
    /// # Errors
    /// When it cannot be planned so, or the device refuses a kernel.
    pub fn choosing(&self, choices: Choices) -> Result<Self, EngineError> {
        let choices = Arc::new(choices);
        let (prefill, decode) = (self.prefill.choosing(&choices)?, self.decode.choosing(&choices)?);
        self.gpu.make_pipelines(&[&prefill.plan, &decode.plan], &|_| {})?;
        let mut other = Self { prefill, decode, ..self.clone() };
        other.options.lower.target.choices = choices;
        Ok(other)
    }

    /// The graphs of prefill and decode, and their plans.
    pub(crate) fn phases(&self) -> [(&Graph, &Plan); 2] {
        [&self.prefill, &self.decode].map(|phase| (&*phase.graph, &*phase.plan))
    }

    /// How it was loaded.
    pub(crate) fn options(&self) -> &LanguageOptions {
        &self.options
    }

    /// The device it is on.
    #[must_use]
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Positions that the longest session may hold.
    #[must_use]
    pub fn context(&self) -> usize {
        self.options.context
    }

    /// Most tokens of one step.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Tokens that there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Bytes of weights on the device.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Weights of its matrices, of which each counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let mut matrices = BTreeMap::new();
        for weight in &self.decode.plan.weights {
            if let WeightPacking::Matrix { .. } = weight.packing {
                matrices.insert(weight.value, weight.n as u64 * weight.k as u64);
            }
        }
        matrices.values().sum()
    }

    /// How intermediate values are held, and how the KV cache is.
    #[must_use]
    pub fn elements(&self) -> [Elem; 2] {
        [self.options.lower.activations, self.options.cache]
    }

    /// Those of them that lie in textures.
    #[must_use]
    pub fn texture_bytes(&self) -> u64 {
        self.weights.texture_bytes()
    }

    /// What loading took.
    #[must_use]
    pub fn times(&self) -> LoadTimes {
        self.times
    }

    /// The plan of a phase: prefill, or decode.
    pub fn plan(&self, decode: bool) -> &Plan {
        if decode { &self.decode.plan } else { &self.prefill.plan }
    }

    /// The graph that it is the plan of.
    #[must_use]
    pub fn graph(&self, decode: bool) -> &Graph {
        if decode { &self.decode.graph } else { &self.prefill.graph }
    }

    /// Numbers for the plans' symbols.
    #[must_use]
    pub fn bindings(&self, seq: usize, past: usize, capacity: usize) -> Bindings {
        self.symbols.bindings(seq, past, capacity)
    }

    /// Names of the inputs that a session must be given before its first run; see
    /// [`Session::remember`](super::Session::remember).
    pub fn memories(&self) -> impl Iterator<Item = &str> {
        self.decode.plan.kept.iter().map(|port| port.name.as_str())
    }
}

/// Whether both phases lay out the caches that they share in one way.
fn check_caches(prefill: &Phased, decode: &Phased) -> Result<(), EngineError> {
    let caches = prefill.made_for.caches.iter().zip(&decode.made_for.caches);
    let mut apart = caches.filter(|(a, b)| a.in_rows != b.in_rows);
    let Some((cache, _)) = apart.next() else { return Ok(()) };
    let name = &prefill.graph.value(cache.present).name;
    let text = format!("prefill and decode lay out the KV cache {name:?} in two ways: hold it in f16 or f32");
    Err(EngineError::model("load", text))
}

/// Does two things at once, the first on this thread.
fn both<A, B: Send>(first: impl FnOnce() -> A, second: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        (first, second.join().unwrap_or_else(|e| resume_unwind(e)))
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

fn phased(prepared: Prepared) -> Phased {
    let Prepared { graph, plan, options, .. } = prepared;
    Phased { graph: Arc::new(graph), plan: Arc::new(plan), made_for: options }
}

impl Phased {
    fn choosing(&self, choices: &Arc<Choices>) -> Result<Self, EngineError> {
        let mut made_for = self.made_for.clone();
        made_for.lower.target.choices = choices.clone();
        let plan = Arc::new(Plan::new(&self.graph, &made_for)?);
        Ok(Self { graph: self.graph.clone(), plan, made_for })
    }
}
