//! Models on the tests' GPU.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use engine::{
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
    /// Most tokens of one run.
    pub chunk: usize,
    /// Most positions of a session.
    pub context: usize,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            format: WeightFormat::F32,
            fuse: true,
            padding: false,
            all_logits: true,
            activations: Elem::F32,
            chunk: 128,
            context: 512,
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

/// Options for the tests' GPU.
#[must_use]
pub fn rule(choices: Choices) -> LanguageOptions {
    LanguageOptions {
        lower: LowerOptions { target: gpu().target(), activations: choices.activations },
        passes: PassOptions { formats: WeightFormats::uniform(choices.format), fuse: choices.fuse },
        context: choices.context,
        padding: choices.padding,
        all_logits: choices.all_logits,
    }
}

/// A model file on the tests' GPU.
#[must_use]
pub fn load(path: &Path, choices: Choices) -> Arc<LoadedModel> {
    let file = ModelFile::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let model = LanguageModel::recognise(file.graph.clone()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    LoadedModel::load(gpu(), &model, &file.source, rule(choices), choices.chunk, &|_| {})
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
