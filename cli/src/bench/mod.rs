//! `halfbyte bench`: the throughput of prefill and decode, as crate `bench` measures it.

mod page;
mod report;

use std::path::PathBuf;

use bench::{Conditions, Lengths, Steps, Workload, csv, jsonl, lengths, measure, predict, roofline, sql};
use clap::ValueEnum;
use engine::{generate::Generator, sampler::Sampling, session::Session};

use crate::{
    bars::Bars,
    cancel::Cancel,
    error::CliError,
    figures::memory_text,
    known::KnownArgs,
    model::{LoadArgs, recognise},
    output,
};

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables to be read
    Markdown,
    /// A line for each test, for spreadsheets
    Csv,
    /// Everything, to be compared and drawn
    Json,
    /// An object a line for each test
    Jsonl,
    /// A table of a database, with a row for each test
    Sql,
}

/// Measure prefill and decode throughput.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    model: KnownArgs,
    #[command(flatten)]
    how: LoadArgs,
    /// Prompt lengths to measure: numbers, first-last, first-last+step or first-last*factor
    #[arg(short = 'p', long, value_name = "N,…", value_delimiter = ',', default_value = "64,512")]
    prefill: Vec<Lengths>,
    /// Numbers of generated tokens to measure, likewise
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',', default_value = "32")]
    decode: Vec<Lengths>,
    /// Tokens that are in the cache before each, likewise
    #[arg(short = 'd', long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    depth: Vec<Lengths>,
    /// Measured repetitions, after one that is not
    #[arg(short = 'r', long, value_name = "N", default_value_t = 5)]
    repeat: usize,
    /// Show instead what each kernel takes in a step, against what the GPU can do at most
    #[arg(long)]
    roofline: bool,
    /// Show instead what this kind of GPU could do at most, from the plans and its published rates; needs no GPU
    #[arg(long, value_name = "PROFILE", conflicts_with = "roofline")]
    predict: Option<String>,
    /// How to print the measurements
    #[arg(short = 'o', long, value_enum, default_value = "markdown", conflicts_with_all = ["roofline", "predict"])]
    output: Format,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Write the measurements to a page too, with charts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roofline", "predict"])]
    html: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a page from reports that `bench --json` wrote; several are compared
    Report(page::Args),
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    if let Some(Command::Report(args)) = &args.command {
        return page::run(args);
    }
    let work = Workload {
        prefill: lengths(&args.prefill),
        decode: lengths(&args.decode),
        depths: lengths(&args.depth),
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
        let found = predict(&recognise(&file)?, profile, &options, args.how.chunk, &work.depths)?;
        return show(args.json, &found);
    }
    let starting = starting.unwrap_or_else(|| args.how.start());
    let (model, mut start) = args.how.load(&file, starting, longest, &bars)?;
    let mut session = Session::new(model.clone(), longest)?;
    start.end(&model);
    if args.roofline {
        let prefill = work.prefill.iter().max().copied().unwrap_or(0);
        let steps = Steps { prefill, depths: work.depths, repeat: args.repeat };
        let found = roofline(&mut session, &steps)?;
        return show(args.json, &found);
    }
    let mut conditions = Conditions::here();
    conditions.peaks = Some(model.gpu().peaks()?.into());
    let mut generator = Generator::new(session, Sampling::default())?;
    cancel.begin();
    let measured = measure(&mut generator, &work, &conditions, &mut |done, total| {
        bars.show("bench", done as u64, total as u64);
        !cancel.requested()
    });
    bars.clear();
    cancel.end();
    let mut report = report::of(&generator, &file, &args.how.formats_of(&file)?, &start)?;
    report.settings.repetitions = work.repeat;
    report.peaks = conditions.peaks;
    report.sensors = conditions.thermometer.sensors().clone();
    report.measurements = measured?;
    if let Some(path) = &args.html {
        page::write(path, std::slice::from_ref(&report))?;
    }
    match if args.json { Format::Json } else { args.output } {
        Format::Markdown => {
            output::text(&report.to_string())?;
            output::line(&format!("\n{}\n{}", start.text(), memory_text(&report.memory)))
        }
        Format::Json => output::json(&output::value(&report)?),
        Format::Csv => output::text(&csv(&report.rows())),
        Format::Jsonl => output::text(&jsonl(&report.rows())),
        Format::Sql => output::text(&sql(&report.rows())),
    }
}

/// As JSON, or as text.
fn show<T: serde::Serialize + std::fmt::Display>(json: bool, found: &T) -> Result<(), CliError> {
    if !json {
        return output::text(&found.to_string());
    }
    output::json(&output::value(found)?)
}
