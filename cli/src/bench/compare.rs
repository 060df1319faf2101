//! `halfbyte bench compare`: whether anything became slower from one report to another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bench::{Changes, Report, SCHEMA};

use crate::{error::CliError, output};

/// Compare two reports that `bench --json` wrote; the exit status is 1 where something has become slower.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The report to compare with
    before: PathBuf,
    /// The report to judge
    after: PathBuf,
    /// Per cent by which a median may be lower
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    margin: f64,
    /// Print what has changed as JSON
    #[arg(long)]
    json: bool,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let changes = Changes::between(&read(&args.before)?, &read(&args.after)?, args.margin / 100.0);
    if args.json {
        output::json(&output::value(&changes)?)?;
    } else {
        output::text(&changes.to_string())?;
    }
    match changes.regressions() {
        0 => Ok(()),
        n => Err(CliError::other(format!(
            "{} against {}: {n} slower",
            args.after.display(),
            args.before.display()
        ))),
    }
}

/// Reads a report.
pub fn read(path: &Path) -> Result<Report, CliError> {
    let text = fs::read_to_string(path).map_err(CliError::file(path))?;
    let refused = |what: &str| {
        CliError::other(format!("{}: {what}; write it by `halfbyte bench … --json`", path.display()))
    };
    let report: Report = serde_json::from_str(&text).map_err(|e| refused(&format!("no report: {e}")))?;
    if report.schema != SCHEMA {
        return Err(refused(&format!(
            "a report of form {}, this program reads form {SCHEMA}",
            report.schema
        )));
    }
    Ok(report)
}
