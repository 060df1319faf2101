//! ONNX's own backend tests on this machine's GPU; `make conformance` runs it:
//!
//! ```text
//! cargo run -p tests --example conformance -- DATA [FILTER…] [--report FILE] [--archive FILE]
//! ```
//!
//! `DATA` holds the folders `node`, `simple`, `pytorch-operator` and `pytorch-converted` (`scripts/fetch_onnx_tests.sh`).
//! Only tests with a `FILTER` in `GROUP/NAME` or for their operator are run, if there is one. `--report` writes counts and
//! failures as Markdown, `--archive` the fixed part that `make test` runs. Exits with 1 when a test fails that
//! `docs/operators-declined.md` does not decline, or one passes that it does.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use tests::conformance::{Declined, Outcome, Runner, Summary, Test, pack, pick, tests};

const USAGE: &str = "usage: conformance DATA [FILTER…] [--report FILE] [--archive FILE]";

#[derive(Debug, Default)]
struct Arguments {
    data: PathBuf,
    filters: Vec<String>,
    report: Option<PathBuf>,
    archive: Option<PathBuf>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut read = Self { data: words.next()?.into(), ..Self::default() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--report" => read.report = Some(words.next()?.into()),
                "--archive" => read.archive = Some(words.next()?.into()),
                option if option.starts_with('-') => return None,
                _ => read.filters.push(word),
            }
        }
        Some(read)
    }

    fn wants(&self, test: &Test) -> bool {
        let fits = |f: &String| test.name.contains(f) || test.operator == *f;
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

fn run(arguments: &Arguments) -> io::Result<bool> {
    let declined = Declined::read();
    let mut chosen = tests(&arguments.data)?;
    chosen.retain(|test| arguments.wants(test));
    if chosen.is_empty() {
        return Err(io::Error::other(format!("no such test in {}", arguments.data.display())));
    }
    let mut runner = Runner::new().map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    let (count, mut summary) = (chosen.len(), Summary::default());
    for (index, test) in chosen.into_iter().enumerate() {
        // Without a line end: should the driver take the process with it, this names the culprit.
        write!(out, "[{}/{count}] {} ", index + 1, test.name)?;
        out.flush()?;
        let outcome = Outcome::judge(&test, runner.run(&test), &declined);
        match &outcome {
            Outcome::Passed => writeln!(out, "passed")?,
            Outcome::Declined(_) => writeln!(out, "declined")?,
            Outcome::Failed(text) => writeln!(out, "FAILED: {text}")?,
        }
        summary.add(test, outcome);
    }
    let stale = if arguments.filters.is_empty() { summary.stale(&declined) } else { Vec::new() };
    let report = format!("{}\n{}", summary.table(), summary.failures());
    writeln!(out, "\n{report}{} of {count} tests fail", summary.failed())?;
    for pattern in &stale {
        writeln!(out, "docs/operators-declined.md names {pattern:?}, which is no test")?;
    }
    if let Some(path) = &arguments.report {
        fs::write(path, report)?;
    }
    if let Some(path) = &arguments.archive {
        let picked = pick(summary.passed())?;
        fs::write(path, pack(&picked)?)?;
        writeln!(out, "{} tests are in {}", picked.len(), path.display())?;
    }
    Ok(summary.failed() == 0 && stale.is_empty())
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("conformance: {e}");
            ExitCode::from(2)
        }
    }
}
