//! `halfbyte bench`: the throughput of prefill and decode, as crate `bench` measures it.

use bench::{Steps, Workload, measure, predict, roofline};
use engine::{generate::Generator, sampler::Sampling, session::Session};
use serde_json::json;

use crate::{
    bars::Bars,
    cancel::Cancel,
    error::CliError,
    figures::GpuMemory,
    known::KnownArgs,
    model::{LoadArgs, recognise},
    output,
};

/// Measure prefill and decode throughput.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: KnownArgs,
    #[command(flatten)]
    how: LoadArgs,
    /// Prompt lengths to measure
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "64,512")]
    prefill: Vec<usize>,
    /// Numbers of generated tokens to measure
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "32")]
    decode: Vec<usize>,
    /// Tokens that are in the cache before each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    /// Measured repetitions, after one that is not
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: usize,
    /// Show instead what each kernel takes in a step, against what the GPU can do at most
    #[arg(long)]
    roofline: bool,
    /// Show instead what this kind of GPU could do at most, from the plans and its published rates; needs no GPU
    #[arg(long, value_name = "PROFILE", conflicts_with = "roofline")]
    predict: Option<String>,
    /// Print the measurements as JSON
    #[arg(long)]
    json: bool,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let work = Workload {
        prefill: args.prefill.clone(),
        decode: args.decode.clone(),
        depths: args.depth.clone(),
        repeat: args.repeat,
    };
    if work.is_empty() {
        return Err(CliError::Usage(
            "there is nothing to measure: lengths and --repeat must not be 0".to_owned(),
        ));
    }
    if args.model.listed()? {
        return Ok(());
    }
    let cancel = Cancel::watch()?;
    let bars = Bars::default();
    let starting = args.predict.is_none().then(|| args.how.start());
    let file = args.model.open()?;
    let (longest, context) = (work.longest(), args.how.context(args.model.limit(&file)?)?);
    if longest > context {
        let text = format!(
            "{longest} tokens are to be run, the context is {context}: measure fewer, or raise --context"
        );
        return Err(CliError::Usage(text));
    }
    if let Some(profile) = &args.predict {
        let profile = ::devices::by_name(profile).map_err(|e| CliError::Usage(e.to_string()))?;
        let options = args.how.options(&file, &::devices::Target::from_profile(profile), context)?;
        let found = predict(&recognise(&file)?, profile, &options, args.how.chunk, &args.depth)?;
        return show(args.json, &found);
    }
    let starting = starting.unwrap_or_else(|| args.how.start());
    let (model, mut start) = args.how.load(&file, starting, longest, &bars)?;
    let mut session = Session::new(model.clone(), longest)?;
    start.end(&model);
    if args.roofline {
        let prefill = args.prefill.iter().max().copied().unwrap_or(0);
        let steps = Steps { prefill, depths: args.depth.clone(), repeat: args.repeat };
        let found = roofline(&mut session, &steps)?;
        return show(args.json, &found);
    }
    let mut generator = Generator::new(session, Sampling::default())?;
    cancel.begin();
    let report = measure(&mut generator, &work, &mut |done, total| {
        bars.show("bench", done as u64, total as u64);
        !cancel.requested()
    });
    bars.clear();
    cancel.end();
    let report = report?;
    let memory = GpuMemory::of(generator.session());
    if args.json {
        let mut json = serde_json::to_value(&report).map_err(|e| CliError::other(e.to_string()))?;
        json["model"] = json!(file.path);
        json["start"] = start.json();
        json["memory"] = memory.json();
        return output::json(&json);
    }
    output::text(&report.to_string())?;
    output::line(&format!("\n{}\n{}", start.text(), memory.text()))
}

/// As JSON, or as text.
fn show<T: serde::Serialize + std::fmt::Display>(json: bool, found: &T) -> Result<(), CliError> {
    if !json {
        return output::text(&found.to_string());
    }
    output::json(&serde_json::to_value(found).map_err(|e| CliError::other(e.to_string()))?)
}
