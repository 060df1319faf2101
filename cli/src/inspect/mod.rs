//! `halfbyte inspect`: what a model is made of, and what would happen on a GPU. Everything up to the plan is data, so
//! no GPU is needed.

mod explain;
mod graph;
mod plans;
mod print;

use engine::{
    language::{LanguageModel, LanguageOptions, Phase},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
};
use serde::Serialize;

use crate::{
    error::CliError,
    known::KnownArgs,
    model::{CacheArgs, FormatArgs, preferred_activations},
    output,
};
use graph::{Contents, Port};
use plans::{Fusion, PlanReport, Weights};

/// Show what a model is made of, and what would happen on a GPU.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: KnownArgs,
    /// Plan for this kind of GPU
    #[arg(long, value_name = "NAME", default_value = "software")]
    profile: String,
    /// Most tokens of a session
    #[arg(long, value_name = "N", default_value_t = 4096)]
    context: usize,
    /// Prompt tokens that are run at once
    #[arg(long, value_name = "N", default_value_t = 512)]
    chunk: usize,
    /// For models that generate no text: a size, to tell how large the arena is; once for each
    #[arg(long = "size", value_name = "NAME=N", value_parser = named_size)]
    sizes: Vec<(String, i64)>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    formats: FormatArgs,
    /// Say what was not recognised, in which line of the graph, and which calls are left
    #[arg(long)]
    explain: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

fn named_size(text: &str) -> Result<(String, i64), String> {
    let parsed = text.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
    parsed.ok_or_else(|| "write it as NAME=N, such as --size batch=1".to_owned())
}

/// Everything that there is to say.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    contents: Contents,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unsupported: Vec<String>,
    profile: String,
    language_model: Option<Language>,
    /// Why it is no language model.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_a_language_model: Option<String>,
    formats: Option<String>,
    fusions: Vec<Fusion>,
    plans: Vec<PlanReport>,
    /// Why there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_planned: Option<String>,
    weights: Option<Weights>,
}

/// The roles that were found.
#[derive(Debug, Serialize)]
struct Language {
    tokens: String,
    mask: Option<String>,
    positions: Option<String>,
    vocabulary: Option<usize>,
    cache_tensors: usize,
    cache_bytes_per_token: Option<i64>,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let profile = ::devices::by_name(&args.profile).map_err(|e| CliError::Usage(e.to_string()))?;
    let target = ::devices::Target::from_profile(profile);
    if args.model.listed()? {
        return Ok(());
    }
    let onnx = args.model.onnx()?;
    let mut report = Report {
        model: args.model.path().display().to_string(),
        contents: Contents::of(&onnx),
        unsupported: engine::import::unsupported(&onnx),
        profile: profile.name.to_owned(),
        language_model: None,
        not_a_language_model: None,
        formats: None,
        fusions: Vec::new(),
        plans: Vec::new(),
        not_planned: None,
        weights: None,
    };
    drop(onnx);
    if report.unsupported.is_empty() {
        let file = args.model.inspect()?;
        report.contents.outputs = Port::all(&file.graph, &file.graph.outputs);
        let formats = args.formats.formats_of(&file)?;
        report.formats = Some(format!(
            "layers {}, embedding {}, head {}",
            formats.layers, formats.embedding, formats.head
        ));
        let lower = LowerOptions { target: (&target).into(), activations: preferred_activations(&target) };
        plan(args, &file, formats, (lower, args.cache.kv_cache(&target)?), &mut report)?;
    }
    if args.json {
        let json = serde_json::to_value(&report).map_err(|e| CliError::other(e.to_string()))?;
        return output::json(&json);
    }
    print::print(&report)?;
    if args.explain && !report.plans.is_empty() {
        explain::print(&report.fusions, &report.plans)?;
    }
    Ok(())
}

fn plan(
    args: &Args,
    file: &ModelFile,
    formats: WeightFormats,
    (lower, cache): (LowerOptions, Elem),
    report: &mut Report,
) -> Result<(), CliError> {
    let passes = PassOptions { formats, fuse: true };
    let model = match LanguageModel::recognise(file.graph.clone()) {
        Ok(model) => model,
        Err(e) => {
            report.not_a_language_model = Some(e.to_string());
            match plans::whole_graph(&file.graph, lower, &passes, &args.sizes) {
                Ok((plan, fusions, weights)) => {
                    report.plans = vec![plan];
                    report.fusions = fusions;
                    report.weights = Some(weights);
                }
                Err(e) => report.not_planned = Some(e.to_string()),
            }
            return Ok(());
        }
    };
    if let Some((name, _)) = args.sizes.first() {
        let text = format!("--size {name}: this is a language model, whose sizes are --context and --chunk");
        return Err(CliError::Usage(text));
    }
    let elem = cache.size() as i64;
    let (tokens, mask, positions) = model.input_names();
    report.language_model = Some(Language {
        tokens: tokens.to_owned(),
        mask: mask.map(str::to_owned),
        positions: positions.map(str::to_owned),
        vocabulary: model.vocabulary(),
        cache_tensors: model.cache_count(),
        cache_bytes_per_token: model.cache_elements_per_token().map(|n| n * elem),
    });
    let (chunk, context) = (args.chunk.clamp(1, args.context.max(1)), args.context);
    let options = LanguageOptions { lower, passes, context, cache, padding: false, all_logits: false };
    let prepare = |phase| model.prepare(phase, &options).map_err(CliError::model(args.model.path()));
    let prefill = prepare(Phase::Prefill { chunk })?;
    let decode = prepare(Phase::Decode)?;
    report.fusions = Fusion::all(&prefill.report);
    report.plans = plans::of_phases(&prefill, &decode, chunk, context)?;
    report.weights = Some(Weights::of(&[(&prefill.graph, &prefill.plan), (&decode.graph, &decode.plan)]));
    Ok(())
}
