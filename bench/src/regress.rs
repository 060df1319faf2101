//! Two reports, test by test: what has become slower.

use std::fmt;

use serde::Serialize;

use crate::{Report, Statistics};

/// A test of both reports.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// As llama-bench names it.
    pub test: String,
    /// Tokens a second before.
    pub before: Statistics,
    /// And after.
    pub after: Statistics,
    /// Of the medians, after to before.
    pub ratio: f64,
    /// Whether it is slower by more than the margin.
    pub slower: bool,
}

/// What has changed. `Display` makes a Markdown table.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    /// The part of a rate by which it may be less.
    pub margin: f64,
    /// Tests that both reports have.
    pub tests: Vec<Change>,
    /// Tests that one of them has not.
    pub missing: Vec<String>,
    /// What else differs, so that rates may differ for it: in words.
    pub differs: Vec<String>,
}

impl Changes {
    /// From one report to another.
    #[must_use]
    pub fn between(before: &Report, after: &Report, margin: f64) -> Self {
        let mut changes =
            Self { margin, tests: Vec::new(), missing: Vec::new(), differs: differs(before, after) };
        for old in &before.measurements {
            let test = old.test();
            match after.measurements.iter().find(|new| new.test() == test) {
                Some(new) => {
                    let ratio = new.rate.median / old.rate.median;
                    let slower = ratio < 1.0 - margin;
                    changes.tests.push(Change { test, before: old.rate, after: new.rate, ratio, slower });
                }
                None => changes.missing.push(format!("{test} is not in the second report")),
            }
        }
        for new in after.measurements.iter().map(crate::Measurement::test) {
            if before.measurements.iter().all(|old| old.test() != new) {
                changes.missing.push(format!("{new} is not in the first report"));
            }
        }
        changes
    }

    /// Tests that have become slower by more than the margin, or are gone.
    #[must_use]
    pub fn regressions(&self) -> usize {
        let gone = self.missing.iter().filter(|text| text.ends_with("second report")).count();
        self.tests.iter().filter(|change| change.slower).count() + gone
    }
}

fn differs(before: &Report, after: &Report) -> Vec<String> {
    let of = |r: &Report| {
        let (device, settings, program) = (&r.device, &r.settings, &r.program);
        [
            ("device", device.name.clone()),
            ("driver", device.driver.clone()),
            ("model", format!("{} {}", r.model.name, r.model.format)),
            ("activations", settings.activations.clone()),
            ("KV cache", settings.kv_cache.clone()),
            ("chunk", settings.chunk.to_string()),
            ("commit", program.commit.clone().unwrap_or_default()),
            ("build", if program.optimised { "release" } else { "debug" }.to_owned()),
        ]
    };
    let pairs = of(before).into_iter().zip(of(after)).filter(|(old, new)| old != new);
    pairs.map(|((what, old), (_, new))| format!("{what}: {old} before, {new} after")).collect()
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.differs.iter().try_for_each(|text| writeln!(f, "{text}"))?;
        writeln!(f, "\n| test | before t/s | after t/s | ratio | |")?;
        writeln!(f, "|---|---:|---:|---:|---|")?;
        for Change { test, before, after, ratio, slower } in &self.tests {
            let mark = if *slower { "slower" } else { "" };
            writeln!(
                f,
                "| {test} | {:.2} ± {:.2} | {:.2} ± {:.2} | {ratio:.3} | {mark} |",
                before.median, before.sd, after.median, after.sd
            )?;
        }
        self.missing.iter().try_for_each(|text| writeln!(f, "\n{text}"))?;
        let margin = self.margin * 100.0;
        match self.regressions() {
            0 => writeln!(f, "\nnothing is slower by more than {margin:.1} %"),
            n => writeln!(
                f,
                "\n{n} of {} tests are slower by more than {margin:.1} %, or gone",
                self.tests.len()
            ),
        }
    }
}
