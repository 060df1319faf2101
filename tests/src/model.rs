//! Models on the tests' GPU.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use devices::WeightMemory;
use engine::{
    EngineError,
    gpu::{Gpu, OpenOptions},
    host::WeightFormat,
    language::{LanguageModel, LanguageOptions},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    session::LoadedModel,
};

/// How a model is loaded in a test.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// Format of all weights.
    pub format: WeightFormat,
    /// Whether patterns are fused.
    pub fuse: bool,
    /// Whether prompts may be padded.
    pub padding: bool,
    /// Whether logits of all positions are returned.
    pub all_logits: bool,
    /// How activations are held.
    pub activations: Elem,
    /// How KV caches are held.
    pub cache: Elem,
    /// Most tokens of one run.
    pub chunk: usize,
    /// Most positions of a session.
    pub context: usize,
    /// What packed matrices lie in.
    pub weights: WeightMemory,
    /// Bytes of the largest binding to plan for, if not what the GPU allows.
    pub max_binding: Option<u64>,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            format: WeightFormat::F32,
            fuse: true,
            padding: false,
            all_logits: true,
            activations: Elem::F32,
            cache: Elem::F32,
            chunk: 128,
            context: 512,
            weights: WeightMemory::Buffer,
            max_binding: None,
        }
    }
}

/// The GPU that all tests of a process use.
#[must_use]
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        let opened = Gpu::open(&OpenOptions::default());
        Arc::new(opened.expect("the GPU tests need a Vulkan driver; see scripts/setup.sh"))
    })
    .clone()
}

/// What a choice means on a GPU.
#[must_use]
pub fn language_options(gpu: &Gpu, choices: Choices) -> LanguageOptions {
    let mut target = gpu.target();
    target.weights = choices.weights;
    target.max_binding = choices.max_binding.unwrap_or(target.max_binding);
    LanguageOptions {
        lower: LowerOptions { target, activations: choices.activations },
        passes: PassOptions { formats: WeightFormats::uniform(choices.format), fuse: choices.fuse },
        context: choices.context,
        cache: choices.cache,
        padding: choices.padding,
        all_logits: choices.all_logits,
    }
}

/// An open model on a GPU.
///
/// # Errors
/// What the engine says.
pub fn load_on(gpu: &Arc<Gpu>, file: &ModelFile, choices: Choices) -> Result<Arc<LoadedModel>, EngineError> {
    let model = LanguageModel::recognise(file.graph.clone())?;
    LoadedModel::load(
        gpu.clone(),
        &model,
        &file.source,
        language_options(gpu, choices),
        choices.chunk,
        &|_| {},
    )
}

/// A model file on the tests' GPU.
#[must_use]
pub fn load(path: &Path, choices: Choices) -> Arc<LoadedModel> {
    let file = ModelFile::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    load_on(&gpu(), &file, choices).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
