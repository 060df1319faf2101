//! `halfbyte bench --ab A B`: two sets of options in turns.

use bench::{FEWEST, Side, Workload, duel};
use clap::Parser;
use engine::generate::Generator;

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
    let (mut first, mut second) = (open(model, a, work, bars)?, open(model, b, work, bars)?);
    cancel.begin();
    let found = duel([first.side(a), second.side(b)], work, &mut |done, total| {
        bars.show("pairs", done as u64, total as u64);
        !cancel.requested()
    });
    bars.clear();
    cancel.end();
    let found = found?;
    if json { output::json(&output::value(&found)?) } else { output::text(&found.to_string()) }
}

/// A side with its model loaded.
struct Opened {
    generator: Generator,
    slow_by: f64,
}

impl Opened {
    fn side(&mut self, options: &str) -> Side<'_> {
        Side { name: options.to_owned(), generator: &mut self.generator, slow_by: self.slow_by }
    }
}

fn open(model: &KnownArgs, options: &str, work: &Workload, bars: &Bars) -> Result<Opened, CliError> {
    let refused = |e: clap::Error| CliError::Usage(format!("--ab {options:?}: {}", e.kind()));
    let args = SideArgs::try_parse_from(options.split_whitespace()).map_err(refused)?;
    let generator = super::open(model, &args.how, work.longest(), bars)?;
    Ok(Opened { generator, slow_by: args.slow_by / 100.0 })
}
