//! `halfbyte bench`: the throughput of prefill and decode, as crate `bench` measures it.

mod compare;
mod duel;
mod frames;
mod page;
mod report;

use std::{fmt, fs, path::PathBuf, time::Duration};

use bench::{
    Conditions, Lengths, Report, Steps, Workload, csv, jsonl, lengths, measure, profile, roofline, sql,
    sustain, trace,
};
use clap::ValueEnum;
use engine::{generate::Generator, sampler::Sampling, session::Session};

use crate::{
    bars::Bars,
    cancel::Cancel,
    error::CliError,
    figures::{forget_peak_memory, memory_text, peak_memory},
    known::KnownArgs,
    model::{LoadArgs, recognise},
    output,
    start::Start,
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
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    heat: HeatArgs,
    /// Tell also where the time of steps goes: by kernel, operator and layer
    #[arg(long, conflicts_with = "instead")]
    profile: bool,
    /// Write that to a file too, call by call, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", requires = "profile")]
    trace: Option<PathBuf>,
    /// Show instead which of two sets of options is faster, in turns; each as on a command line
    #[arg(long, group = "instead", num_args = 2, value_names = ["A", "B"], allow_hyphen_values = true)]
    ab: Option<Vec<String>>,
    /// Show instead how the frames of a screen fare while the first test is run, for so long each way
    #[arg(long, group = "instead", value_name = "TIME", num_args = 0..=1, default_missing_value = "5s", value_parser = humantime::parse_duration)]
    ui: Option<Duration>,
    /// Show instead what each kernel takes in a step, against what the GPU can do at most
    #[arg(long, group = "instead")]
    roofline: bool,
    /// Show instead what this kind of GPU could do at most, from the plans and its published rates; needs no GPU. `all` shows
    /// every kind
    #[arg(long, group = "instead", value_name = "PROFILE")]
    predict: Option<String>,
    /// How to print the measurements
    #[arg(short = 'o', long, value_enum, default_value = "markdown", conflicts_with = "instead")]
    output: Format,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Write the measurements to a page too, with charts
    #[arg(long, value_name = "FILE", conflicts_with = "instead")]
    html: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compare two reports; the exit status is 1 where something has become slower
    Compare(compare::Args),
    /// Make a page from reports that `bench --json` wrote; several are compared
    Report(page::Args),
}

/// What to measure.
#[derive(Debug, clap::Args)]
struct WorkArgs {
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
}

/// How to deal with heat.
#[derive(Debug, clap::Args)]
struct HeatArgs {
    /// Repeat the last test for so long, and tell throughput over time, such as 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "instead")]
    sustained: Option<Duration>,
    /// Rest so long before each test
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    rest: Duration,
    /// Rest before each test until no sensor is hotter than this, for 10 minutes at most
    #[arg(long, value_name = "CELSIUS")]
    cool_to: Option<f64>,
}

impl WorkArgs {
    fn workload(&self) -> Result<Workload, CliError> {
        let [prefill, decode, depths] = [&self.prefill, &self.decode, &self.depth].map(|list| lengths(list));
        let work = Workload { prefill, decode, depths, repeat: self.repeat };
        let nothing = "there is nothing to measure: lengths and --repeat must not be 0";
        if work.is_empty() { Err(CliError::Usage(nothing.to_owned())) } else { Ok(work) }
    }
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Some(Command::Compare(args)) => return compare::run(args),
        Some(Command::Report(args)) => return page::run(args),
        None => {}
    }
    let work = args.work.workload()?;
    if args.model.listed()? {
        return Ok(());
    }
    let cancel = Cancel::watch()?;
    let bars = Bars::default();
    if let Some(time) = args.ui {
        return frames::run(&args.model, &args.how, &work, time, args.json, (&bars, &cancel));
    }
    match (&args.predict, args.ab.as_deref()) {
        (Some(profile), _) => predict(args, profile, &work),
        (_, Some([a, b])) => duel::run(&args.model, [a, b], &work, args.json, (&bars, &cancel)),
        _ => measured(args, &work, (&bars, &cancel)),
    }
}

/// A model in a session of so many positions.
fn open(model: &KnownArgs, how: &LoadArgs, positions: usize, bars: &Bars) -> Result<Generator, CliError> {
    let starting = how.start();
    let file = model.open()?;
    check_room(positions, how.context(model.limit(&file)?)?)?;
    let (loaded, _) = how.load(&file, starting, positions, bars)?;
    Ok(Generator::new(Session::new(loaded, positions)?, Sampling::default())?)
}

/// Whether a context holds what is to be run.
fn check_room(longest: usize, context: usize) -> Result<(), CliError> {
    if longest <= context {
        return Ok(());
    }
    let text = format!(
        "{longest} tokens are to be run, the context is {context}: measure fewer, or raise --context"
    );
    Err(CliError::Usage(text))
}

fn predict(args: &Args, profile: &str, work: &Workload) -> Result<(), CliError> {
    let file = args.model.open()?;
    let context = args.how.context(args.model.limit(&file)?)?;
    check_room(work.longest(), context)?;
    let model = recognise(&file)?;
    let profiles = match profile {
        "all" => ::devices::profiles().collect(),
        name => vec![::devices::by_name(name).map_err(|e| CliError::Usage(e.to_string()))?],
    };
    let of = |profile| {
        let options = args.how.options(&file, &::devices::Target::from_profile(profile), context)?;
        Ok::<_, CliError>(bench::predict(&model, profile, &options, args.how.chunk, &work.depths)?)
    };
    match profiles[..] {
        [profile] => show(args.json, &of(profile)?),
        _ => show(args.json, &Predictions(profiles.into_iter().map(of).collect::<Result<_, _>>()?)),
    }
}

/// Predictions for several kinds of GPU.
#[derive(serde::Serialize)]
struct Predictions(Vec<bench::Prediction>);

impl fmt::Display for Predictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|prediction| writeln!(f, "{prediction}"))
    }
}

fn measured(args: &Args, work: &Workload, (bars, cancel): (&Bars, &Cancel)) -> Result<(), CliError> {
    let starting = args.how.start();
    let file = args.model.open()?;
    let longest = work.longest();
    check_room(longest, args.how.context(args.model.limit(&file)?)?)?;
    let (model, mut start) = args.how.load(&file, starting, longest, bars)?;
    let mut session = Session::new(model.clone(), longest)?;
    start.end(&model);
    let steps = Steps {
        prefill: work.prefill.iter().max().copied().unwrap_or(0),
        depths: work.depths.clone(),
        repeat: work.repeat,
    };
    if args.roofline {
        return show(args.json, &roofline(&mut session, &steps)?);
    }
    let HeatArgs { sustained, rest, cool_to } = args.heat;
    // What measuring the device takes is none of the model's memory.
    let peak_of_load = peak_memory();
    let peaks = Some(model.gpu().peaks()?);
    forget_peak_memory();
    let conditions = Conditions { peaks, rest, cool_to, ..Conditions::here() };
    let profile = args.profile.then(|| profile(&mut session, &steps)).transpose()?;
    let mut generator = Generator::new(session, Sampling::default())?;
    cancel.begin();
    let measurements = measure(&mut generator, work, &conditions, &mut |done, total| {
        bars.show("bench", done as u64, total as u64);
        !cancel.requested()
    })?;
    let last = work.tests().last().copied();
    let sustained = last.zip(sustained).filter(|_| !cancel.requested()).map(|(test, time)| {
        sustain(&mut generator, test, time, &conditions.thermometer, &mut |done, total| {
            bars.show("sustained", done, total);
            !cancel.requested()
        })
    });
    bars.clear();
    cancel.end();
    let mut report = Report {
        peaks: conditions.peaks,
        sensors: conditions.thermometer.sensors().clone(),
        measurements,
        sustained: sustained.transpose()?,
        profile,
        ..report::of(&generator, &file, &args.how.formats_of(&file)?, &start, work.repeat)?
    };
    report.memory.process_peak_bytes = report.memory.process_peak_bytes.max(peak_of_load);
    if let (Some(path), Some(profile)) = (&args.trace, &report.profile) {
        let text = trace(profile, &report.device.to_string()).to_string();
        fs::write(path, text).map_err(CliError::file(path))?;
    }
    if let Some(path) = &args.html {
        page::write(path, std::slice::from_ref(&report))?;
    }
    print(&report, if args.json { Format::Json } else { args.output }, &start)
}

fn print(report: &Report, format: Format, start: &Start) -> Result<(), CliError> {
    match format {
        Format::Markdown => {
            output::text(&report.to_string())?;
            output::line(&format!("\n{}\n{}", start.text(), memory_text(&report.memory)))
        }
        Format::Json => output::json(&output::value(report)?),
        Format::Csv => output::text(&csv(&report.rows())),
        Format::Jsonl => output::text(&jsonl(&report.rows())),
        Format::Sql => output::text(&sql(&report.rows())),
    }
}

/// As JSON, or as text.
fn show<T: serde::Serialize + fmt::Display>(json: bool, found: &T) -> Result<(), CliError> {
    if json { output::json(&output::value(found)?) } else { output::text(&found.to_string()) }
}
