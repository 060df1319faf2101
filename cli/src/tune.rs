//! `halfbyte tune`: which of the kernels that solve a model's problems are the fastest on this GPU. What it finds is kept, and
//! followed by the commands that load a model.

use std::time::Duration;

use engine::tune::{TuneOptions, tune};

use crate::{
    bars::Bars,
    error::CliError,
    known::KnownArgs,
    model::{LoadArgs, keep_pipelines},
    output,
};

/// Find the fastest kernels for a model on this GPU, and keep what was found.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: KnownArgs,
    #[command(flatten)]
    how: LoadArgs,
    /// No round of candidates begins after so many seconds
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    budget: f64,
    /// Go on where an earlier search has stopped, instead of measuring all of it anew
    #[arg(long)]
    resume: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let budget = Duration::try_from_secs_f64(args.budget)
        .map_err(|e| CliError::Usage(format!("--budget {}: {e}", args.budget)))?;
    if args.model.listed()? {
        return Ok(());
    }
    let bars = Bars::default();
    let starting = args.how.start();
    let file = args.model.open()?;
    let context = args.how.long_context(args.model.limit(&file)?)?;
    let (model, _) = args.how.load_untuned(&file, starting, context, &bars)?;
    let options = TuneOptions { budget, afresh: !args.resume };
    let tuned = tune(&model, options, &mut |done, total| bars.show("tuning", done as u64, total as u64));
    bars.clear();
    let tuned = tuned.map_err(CliError::model(&file.path))?;
    keep_pipelines(model.gpu());
    if args.json {
        let json = serde_json::to_value(&tuned.report).map_err(|e| CliError::other(e.to_string()))?;
        return output::json(&json);
    }
    output::text(&tuned.report.to_string())
}
