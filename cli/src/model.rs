//! The options by which a language model is opened and loaded, and the doing of it.

use std::{
    env,
    ops::Deref,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ::devices::WeightMemory;
use engine::{
    EngineError,
    gpu::{Gpu, OpenOptions},
    host::WeightFormat,
    language::{LanguageModel, LanguageOptions},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    session::{LoadedModel, Need},
    tune::{TuneOptions, is_open, tune},
};

use crate::{
    bars::Bars,
    error::CliError,
    output,
    start::{Start, Starting},
};

/// Positions that a session gets where neither the model nor the user says how many.
const CONTEXT: usize = 4096;

/// How long kernels are tuned at first load; see [`tune`].
const AT_LOAD: Duration = Duration::from_secs(2);

/// Activations that products round to 8 bits.
const I8: &str = "i8";

/// Which GPU.
#[derive(Clone, Debug, clap::Args)]
pub struct GpuArgs {
    /// Index of the GPU, a part of its name, or its profile (see `halfbyte devices`)
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// How intermediate values are held: f32 or f16; the device's preference otherwise. i8: held as it prefers, and rounded to
    /// 8 bits where products with packed weights read them, which changes results a little
    #[arg(long, value_name = "TYPE", value_parser = ["f32", "f16", I8])]
    activations: Option<String>,
    #[command(flatten)]
    cache: CacheArgs,
    /// What packed matrices lie in where kernels read both: storage buffers, or textures, which some GPUs read through caches
    /// of their own [default: as the GPU's profile says]
    #[arg(long, value_name = "MEMORY", value_parser = ["buffer", "texture"])]
    weights: Option<String>,
    /// How long one submission should keep the GPU at most, so that the screen gets its turns; 0 does not cut steps
    /// [default: as the GPU's profile says]
    #[arg(long, value_name = "MS")]
    max_submit_ms: Option<u32>,
    /// Do not ask for low priority of the GPU's queue
    #[arg(long)]
    default_priority: bool,

    /// Record every step anew through wgpu, not once for all that are alike: slower, for drivers that execute what was
    /// recorded wrongly
    #[arg(long)]
    no_replay: bool,
}

/// How the KV cache is held.
#[derive(Clone, Debug, clap::Args)]
pub struct CacheArgs {
    /// How the KV cache is held: f32, f16, or f8, which takes half of f16's memory and is less exact; f16 where the device has it
    /// otherwise
    #[arg(long, value_name = "TYPE", value_parser = ["f32", "f16", "f8"])]
    kv_cache: Option<String>,
}

impl CacheArgs {
    /// How it is held on a device.
    pub fn kv_cache(&self, target: &::devices::Target) -> Result<Elem, CliError> {
        if self.kv_cache.as_deref() == Some("f8") {
            return Ok(Elem::F8);
        }
        let refused = "--kv-cache f16: this GPU does not store f16";
        Ok(held(self.kv_cache.as_deref(), target, refused)?.unwrap_or_else(|| preferred_cache(target)))
    }
}

impl GpuArgs {
    /// Opens it.
    pub fn open(&self) -> Result<Gpu, CliError> {
        let options = OpenOptions {
            adapter: self.adapter.clone(),
            low_priority: !self.default_priority,
            replay: !self.no_replay,
            cache_dir: cache_dir(),
            max_submit: self.max_submit_ms.map(|ms| Duration::from_millis(ms.into())),
            weights: self.weights(),
            ..OpenOptions::default()
        };
        let gpu = Gpu::open(&options).map_err(EngineError::from)?;
        Ok(gpu.with_integer_products(self.integer_products()))
    }

    fn weights(&self) -> Option<WeightMemory> {
        self.weights.as_deref().map(|word| match word {
            "texture" => WeightMemory::Texture,
            _ => WeightMemory::Buffer,
        })
    }

    /// How activations are held on it.
    pub fn activations(&self, target: &::devices::Target) -> Result<Elem, CliError> {
        let refused = "--activations f16: this GPU cannot compute in f16";
        let wanted = self.activations.as_deref().filter(|wanted| *wanted != I8);
        if self.integer_products() && target.integer_dot == ::devices::IntegerDot::None {
            output::note(
                "note: --activations i8: no 8-bit dot products are known of this GPU, so it may be slower",
            );
        }
        Ok(held(wanted, target, refused)?.unwrap_or_else(|| preferred_activations(target)))
    }

    /// Whether products may round what they multiply to 8 bits.
    fn integer_products(&self) -> bool {
        self.activations.as_deref() == Some(I8)
    }
}

/// How floats are to be held, if that was said; an error where it is f16 and the device has none.
fn held(wanted: Option<&str>, target: &::devices::Target, refused: &str) -> Result<Option<Elem>, CliError> {
    match wanted {
        Some("f16") if target.f16 == ::devices::F16::None => Err(CliError::Usage(refused.to_owned())),
        Some("f16") => Ok(Some(Elem::F16)),
        Some(_) => Ok(Some(Elem::F32)),
        None => Ok(None),
    }
}

/// How a device would rather hold activations.
pub fn preferred_activations(target: &::devices::Target) -> Elem {
    match target.activations() {
        ::devices::Activations::F32 => Elem::F32,
        ::devices::Activations::F16 => Elem::F16,
    }
}

/// How a device would rather hold KV caches: they are most of what a long conversation reads.
fn preferred_cache(target: &::devices::Target) -> Elem {
    if target.f16 == ::devices::F16::None { Elem::F32 } else { Elem::F16 }
}

/// Keeps the pipelines that a GPU has compiled for the next start. Without them that only takes longer, so a failure is
/// told and is no error.
pub fn keep_pipelines(gpu: &Gpu) {
    if let Err(e) = gpu.save_pipelines() {
        output::note(&format!("note: {e}; the next start will compile them again"));
    }
}

/// Where compiled pipelines are kept.
fn cache_dir() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("halfbyte"))
}

/// How weights are held.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Weight formats: m0e4-g32, -g64, -g128, affine8-g32, -g64, -g128, f16, f32")]
pub struct FormatArgs {
    /// Matrices of the layers [default: m0e4-g32]
    #[arg(long, value_name = "FORMAT")]
    format: Option<WeightFormat>,
    /// The embedding, and the output head that shares it [default: affine8-g32]
    #[arg(long, value_name = "FORMAT")]
    embedding: Option<WeightFormat>,
    /// An output head of its own [default: that of the embedding]
    #[arg(long, value_name = "FORMAT")]
    head: Option<WeightFormat>,
}

impl FormatArgs {
    /// As chosen, or the defaults.
    pub fn formats(&self) -> WeightFormats {
        use engine::host::GroupSize::G32;
        let layers = self.format.unwrap_or(WeightFormat::M0e4 { group: G32 });
        let embedding = self.embedding.unwrap_or(WeightFormat::Affine8 { group: G32 });
        WeightFormats { layers, embedding, head: self.head.unwrap_or(embedding) }
    }

    /// Those that a packed file has, or as chosen.
    pub fn formats_of(&self, file: &ModelFile) -> Result<WeightFormats, CliError> {
        let Some(packed) = file.formats else { return Ok(self.formats()) };
        let differs = |wanted: Option<WeightFormat>, has| wanted.is_some_and(|w| w != has);
        if differs(self.format, packed.layers)
            || differs(self.embedding, packed.embedding)
            || differs(self.head, packed.head)
        {
            return Err(CliError::Usage(format!(
                "{} is packed with --format {} --embedding {} --head {}: leave these options away, or pack again",
                file.path.display(),
                packed.layers,
                packed.embedding,
                packed.head
            )));
        }
        Ok(packed)
    }
}

/// A language model, and how to load it.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// A model packed by `halfbyte quantize`, or an exported .onnx file
    pub model: PathBuf,
    #[command(flatten)]
    how: LoadArgs,
}

/// How to load a language model.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    gpu: GpuArgs,
    /// Most tokens of prompt and answer together [default: what the model was made for]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Prompt tokens that are run at once
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub chunk: usize,
    #[command(flatten)]
    formats: FormatArgs,
    /// Leave out the search for faster kernels, 2 seconds of which follow loading where some were never timed on this GPU
    #[arg(long)]
    no_tune: bool,
}

impl ModelArgs {
    /// Opens the file; nothing is loaded yet.
    pub fn open(&self) -> Result<ModelFile, CliError> {
        ModelFile::open(&self.model).map_err(CliError::model(&self.model))
    }
}

/// A model is loaded as its arguments say.
impl Deref for ModelArgs {
    type Target = LoadArgs;

    fn deref(&self) -> &LoadArgs {
        &self.how
    }
}

impl LoadArgs {
    /// The same GPU once more, for frames that are due: with the driver's priority.
    pub fn screen(&self) -> Result<Gpu, CliError> {
        GpuArgs { default_priority: true, ..self.gpu.clone() }.open()
    }

    /// The same, with submissions cut and low priority asked for, or not.
    pub fn yielding(&self, cut: bool, low_priority: bool) -> Self {
        let max_submit_ms = if cut { self.gpu.max_submit_ms } else { Some(0) };
        let gpu = GpuArgs { max_submit_ms, default_priority: !low_priority, ..self.gpu.clone() };
        Self { gpu, ..self.clone() }
    }

    /// Formats that a file has, or as chosen.
    pub fn formats_of(&self, file: &ModelFile) -> Result<WeightFormats, CliError> {
        self.formats.formats_of(file)
    }

    /// Begins to open the GPU, which takes time as reading the file does.
    pub fn start(&self) -> Starting {
        Starting::new(&self.gpu)
    }

    /// Most positions of a session, of a model that was made for `limit` where that is known.
    pub fn context(&self, limit: Option<usize>) -> Result<usize, CliError> {
        match (self.context, limit) {
            (Some(0), _) => {
                Err(CliError::Usage("--context is 0: it has to hold the prompt at least".to_owned()))
            }
            (Some(n), Some(limit)) if n > limit => Err(CliError::Usage(format!(
                "--context {n} is more than the {limit} that the model was made for"
            ))),
            (Some(n), _) => Ok(n),
            (None, limit) => Ok(limit.unwrap_or(CONTEXT)),
        }
    }

    /// The context of a long conversation, whose cache is made at once.
    pub fn long_context(&self, limit: Option<usize>) -> Result<usize, CliError> {
        let context = self.context(limit)?;
        Ok(if self.context.is_some() { context } else { context.min(CONTEXT) })
    }

    /// What its plans are made for on a device that offers this.
    pub fn options(
        &self,
        file: &ModelFile,
        offers: &::devices::Target,
        context: usize,
    ) -> Result<LanguageOptions, CliError> {
        let formats = self.formats_of(file)?;
        let activations = self.gpu.activations(offers)?;
        Ok(LanguageOptions {
            lower: LowerOptions { target: offers.into(), activations },
            passes: PassOptions { formats, fuse: true },
            context,
            cache: self.gpu.cache.kv_cache(offers)?,
            padding: false,
            all_logits: false,
        })
    }

    /// Brings the model to the GPU, and tunes its kernels for a while if that was not done before.
    pub fn load(
        &self,
        file: &ModelFile,
        starting: Starting,
        context: usize,
        bars: &Bars,
    ) -> Result<(Arc<LoadedModel>, Start), CliError> {
        let (loaded, mut start) = self.load_untuned(file, starting, context, bars)?;
        let emulated = loaded.gpu().summary().adapter.kind == "cpu";
        if self.no_tune || emulated || !is_open(&loaded) {
            return Ok((loaded, start));
        }
        let options = TuneOptions { budget: AT_LOAD, afresh: false };
        let before = Instant::now();
        let tuned = tune(&loaded, options, &mut |done, total| bars.show("tuning", done as u64, total as u64));
        bars.clear();
        keep_pipelines(loaded.gpu());
        start.tune = before.elapsed();
        match tuned {
            Ok(tuned) => Ok((tuned.model, start)),
            Err(e) => {
                output::note(&format!("note: kernels were not tuned: {e}"));
                Ok((loaded, start))
            }
        }
    }

    /// Brings the model to the GPU, if that has room for it and a session of `context` positions.
    pub fn load_untuned(
        &self,
        file: &ModelFile,
        starting: Starting,
        context: usize,
        bars: &Bars,
    ) -> Result<(Arc<LoadedModel>, Start), CliError> {
        let model = recognise(file)?;
        let (gpu, start) = starting.gpu()?;
        let mut options = self.options(file, gpu.offers(), context)?;
        options.lower.target = gpu.target();
        Need::of(&model, &options, self.chunk)
            .and_then(|need| need.check(&gpu))
            .map_err(CliError::model(&file.path))?;
        let loaded = LoadedModel::load(gpu, &model, &file.source, options, self.chunk, &|p| bars.loading(p));
        bars.clear();
        let loaded = loaded.map_err(CliError::model(&file.path))?;
        keep_pipelines(loaded.gpu());
        Ok((loaded, start))
    }
}

/// The language model in a file.
pub fn recognise(file: &ModelFile) -> Result<LanguageModel, CliError> {
    LanguageModel::recognise(file.graph.clone()).map_err(|e| {
        let path = file.path.display();
        CliError::other(format!("{path}: {e}; `halfbyte infer` runs models that generate no text"))
    })
}
