//! `halfbyte bench report`: saved reports as a page.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bench::{Report, html};

use super::compare::read;
use crate::{error::CliError, output};

/// Make a page from reports that `bench --json` wrote; several are compared.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The reports; the first is what others are compared with
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// The page; standard output otherwise
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let reports = args.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    match &args.output {
        Some(path) => write(path, &reports),
        None => output::text(&html(&reports)),
    }
}

/// Writes a page.
pub fn write(path: &Path, reports: &[Report]) -> Result<(), CliError> {
    fs::write(path, html(reports)).map_err(CliError::file(path))
}
