//! A report as Markdown: llama-bench's columns, and what it does not tell.

use std::fmt::{self, Display};

use super::{Measurement, Program, Report, Sensor, Sustained};
use crate::{
    OperatorTime, PhaseTime,
    roofline::{clock, write_phase},
};

impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, commit, optimised, system } = self;
        write!(f, "halfbyte {version}")?;
        if let Some(commit) = commit {
            write!(f, " ({commit})")?;
        }
        let build = if *optimised { "release build" } else { "debug build, not worth comparing" };
        write!(f, ", {build}, {system}")
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(f, "{}; {}", self.device, self.program)?;
        writeln!(
            f,
            "{} repetitions after a warm-up, chunk {}, activations {}, KV cache {}",
            settings.repetitions, settings.chunk, settings.activations, settings.kv_cache
        )?;
        if let Some(peaks) = &self.peaks {
            writeln!(f, "{peaks}")?;
        }
        writeln!(f, "\n| model | size | params | backend | test | t/s |")?;
        writeln!(f, "|---|---:|---:|---|---:|---:|")?;
        for m in &self.measurements {
            writeln!(
                f,
                "| {} {} | {:.2} MiB | {:.2} M | {} | {} | {:.2} ± {:.2} |",
                self.model.name,
                self.model.format,
                self.memory.weights_bytes as f64 / f64::from(1 << 20),
                self.model.parameters as f64 / 1e6,
                self.device.backend,
                m.test(),
                m.rate.mean,
                m.rate.sd,
            )?;
        }
        let columns = [
            "test",
            "median t/s",
            "spread",
            "first token ms",
            "token ms: median, p5 to p95",
            "of read",
            "of arithmetic",
            "MB/token",
            "dispatches/token",
            "bytes copied/token",
            "CPU ms/token",
            "submit ms: median, longest",
        ];
        writeln!(f, "\n| {} |", columns.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(columns.len() - 1))?;
        for m in &self.measurements {
            writeln!(f, "| {} |", details(m).join(" | "))?;
        }
        self.write_heat(f)?;
        if let Some(sustained) = &self.sustained {
            writeln!(f, "\n{sustained}")?;
        }
        if let Some((profile, peaks)) = self.profile.as_ref().zip(self.peaks.as_ref()) {
            writeln!(f, "\n{}", clock(profile))?;
            for phase in &profile.phases {
                write_phase(f, phase, peaks)?;
                write_operators(f, phase)?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// How hot it was, where anything tells.
    fn write_heat(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absent = self.sensors.absent.join(", ");
        if self.sensors.present.is_empty() {
            return writeln!(f, "\nnothing here tells heat or power: no {absent}");
        }
        for (index, sensor) in self.sensors.present.iter().enumerate() {
            let shown = |value: Option<&Option<f64>>| match value {
                Some(Some(value)) => format!("{value:.1}"),
                _ => "-".to_owned(),
            };
            let values = self.measurements.iter().flat_map(|m| &m.heat).map(|r| shown(r.values.get(index)));
            let values: Vec<String> = values.collect();
            let pairs: Vec<String> = values.chunks(2).map(|pair| pair.join(" to ")).collect();
            let Sensor { name, kind, unit } = sensor;
            writeln!(f, "\n{name} {kind}, {unit}, test by test: {}", pairs.join("; "))?;
        }
        if absent.is_empty() { Ok(()) } else { writeln!(f, "\nnot told here: {absent}") }
    }
}

impl Display for Sustained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, samples, first, last } = self;
        let seconds: f64 = samples.iter().map(|s| s.seconds).sum();
        write!(
            f,
            "{test} for {seconds:.0} s, {} times: {first:.2} t/s in the first tenth, {last:.2} in the last, {:.0} % of it",
            samples.len(),
            100.0 * last / first
        )
    }
}

/// The operators of a phase, over all layers, as a Markdown table.
fn write_operators(f: &mut fmt::Formatter<'_>, phase: &PhaseTime) -> fmt::Result {
    let mut all: Vec<(&str, usize, f64)> = Vec::new();
    for OperatorTime { operator, calls, seconds, .. } in &phase.operators {
        match all.iter_mut().find(|(known, ..)| known == operator) {
            Some((_, count, sum)) => (*count, *sum) = (*count + calls, *sum + seconds),
            None => all.push((operator, *calls, *seconds)),
        }
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2));
    writeln!(f, "\n| operator | calls | ms |")?;
    writeln!(f, "|---|---:|---:|")?;
    all.iter()
        .try_for_each(|(name, calls, seconds)| writeln!(f, "| {name} | {calls} | {:.3} |", seconds * 1e3))
}

fn details(m: &Measurement) -> [String; 12] {
    let absent = || "-".to_owned();
    let percent = |part: Option<f64>| part.map_or_else(absent, |part| format!("{:.1} %", part * 100.0));
    let token = m.token_ms.map(|t| format!("{:.2}, {:.2} to {:.2}", t.median, t.p5, t.p95));
    [
        m.test(),
        format!("{:.2}", m.rate.median),
        format!("± {:.1} %", m.rate.spread() * 100.0),
        m.first_token_ms.map_or_else(absent, |t| format!("{:.1}", t.median)),
        token.unwrap_or_else(absent),
        percent(m.of_read),
        percent(m.of_arithmetic),
        format!("{:.2}", m.bytes_per_token / 1e6),
        format!("{:.1}", m.dispatches_per_token),
        format!("{:.0}", m.copied_bytes_per_token),
        format!("{:.3}", m.cpu_ms_per_token),
        format!("{:.2}, {:.2}", m.submit_ms.median, m.submit_ms.longest),
    ]
}
