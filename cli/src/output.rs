//! The only place that prints. Results go to standard output, notes and errors to standard error.
#![allow(clippy::print_stderr)] // this is the module that may

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;

/// Text as it is, at once.
pub fn text(piece: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// A line of a result.
pub fn line(line: &str) -> Result<(), CliError> {
    text(&format!("{line}\n"))
}

/// A result for programs.
pub fn json(value: &Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}

/// Data as JSON.
pub fn value<T: Serialize>(data: &T) -> Result<Value, CliError> {
    serde_json::to_value(data).map_err(|e| CliError::other(e.to_string()))
}

/// A line beside the result.
pub fn note(line: &str) {
    eprintln!("{line}");
}

/// Says why a command failed.
pub fn error(error: &CliError) {
    eprintln!("error: {}", error.with_causes());
}
