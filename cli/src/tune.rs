//! `halfbyte tune`: which of the kernels that solve a model's problems are the fastest on this GPU. What it finds is kept, and
//! followed by the commands that load a model.

use std::time::Duration;

use engine::tune::{TuneOptions, tune};

use crate::{
    bars::Bars,
    error::CliError,
    model::{ModelArgs, keep_pipelines},
    output,
    words::context_limit,
};

/// Find the fastest kernels for a model on this GPU, and keep what was found.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
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
    let bars = Bars::default();
    let file = args.model.open()?;
    let context = args.model.long_context(context_limit(&file)?)?;
    let model = args.model.load_untuned(&file, context, &bars)?;
    let options = TuneOptions { budget, afresh: !args.resume };
    let tuned = tune(&model, options, &mut |done, total| bars.show("tuning", done as u64, total as u64));
    bars.clear();
    let tuned = tuned.map_err(CliError::model(&args.model.model))?;
    keep_pipelines(model.gpu());
    if args.json {
        let json = serde_json::to_value(&tuned.report).map_err(|e| CliError::other(e.to_string()))?;
        return output::json(&json);
    }
    output::text(&tuned.report.to_string())
}
