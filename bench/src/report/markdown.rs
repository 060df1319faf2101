//! A report as Markdown: llama-bench's columns, and what it does not tell.

use std::fmt::{self, Display};

use super::{Measurement, Program, Report};

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
        self.measurements.iter().try_for_each(|m| writeln!(f, "| {} |", details(m).join(" | ")))
    }
}

impl Display for super::Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let giga = |rate: f64| rate / 1e9;
        write!(f, "peaks: read {:.2} GB/s, copy {:.2} GB/s, ", giga(self.read), giga(self.copy))?;
        write!(f, "multiply-add f32 {:.1} GFLOP/s", giga(self.f32))?;
        for (name, rate) in [("f16", self.f16), ("cooperative matrices", self.coop)] {
            if let Some(rate) = rate {
                write!(f, ", {name} {:.1} GFLOP/s", giga(rate))?;
            }
        }
        Ok(())
    }
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
