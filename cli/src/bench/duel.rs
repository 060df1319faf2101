//! `halfbyte bench --ab A B`: two sets of options in turns.

use bench::{FEWEST, Side, Workload, duel};
use clap::Parser;

use crate::{bars::Bars, cancel::Cancel, error::CliError, known::KnownArgs, model::LoadArgs, output};

/// The options of one side.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct SideArgs {
    #[command(flatten)]
    how: LoadArgs,
    /// Draw each repetition out by so many per cent, to see what is found
    #[arg(long, default_value_t = 0.0)]
    slow_by: f64,
}

/// Compares two sets of options, each as on a command line.
pub fn run(
    model: &KnownArgs,
    [a, b]: [&str; 2],
    work: &Workload,
    json: bool,
    (bars, cancel): (&Bars, &Cancel),
) -> Result<(), CliError> {
    if work.repeat < FEWEST {
        return Err(CliError::Usage(format!(
            "--ab takes --repeat {FEWEST} at least: fewer pairs tell nothing"
        )));
    }
    let args = [side_args(a)?, side_args(b)?];
    let side = |name: &str, args: &SideArgs| Side { name: name.to_owned(), slow_by: args.slow_by / 100.0 };
    let sides = [side(a, &args[0]), side(b, &args[1])];
    let mut open = |side: usize| super::open(model, &args[side].how, work.longest(), bars);
    cancel.begin();
    let found = duel(sides, &mut open, work, &mut |done, total| {
        bars.show("pairs", done as u64, total as u64);
        !cancel.requested()
    });
    bars.clear();
    cancel.end();
    let found = found?;
    if found.rounds.is_empty() {
        return Err(CliError::other("stopped before there were enough pairs to tell anything".to_owned()));
    }
    if json { output::json(&output::value(&found)?) } else { output::text(&found.to_string()) }
}

fn side_args(options: &str) -> Result<SideArgs, CliError> {
    let refused = |e: clap::Error| CliError::Usage(format!("--ab {options:?}: {}", e.kind()));
    SideArgs::try_parse_from(options.split_whitespace()).map_err(refused)
}
