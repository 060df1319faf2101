//! Measurements with what they were taken on, as data and as a table.

use std::fmt;

use engine::gpu::Gpu;
use serde::Serialize;

use crate::Statistics;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Prompt tokens, in chunks.
    Prefill,
    /// Generated tokens, one by one.
    Decode,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        })
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Which of the two.
    pub kind: Kind,
    /// Tokens of one repetition.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// Tokens a second.
    pub rate: Statistics,
    /// Kernel calls for each token.
    pub dispatches_per_token: f64,
    /// Bytes copied on the GPU for each token, besides those that are read back.
    pub copied_bytes_per_token: f64,
    /// CPU time of the program's thread for each token, milliseconds.
    pub cpu_ms_per_token: f64,
    /// What it goes into.
    pub cpu_parts_ms: CpuParts,
    /// How long submissions kept the GPU, milliseconds.
    pub submit_ms: SubmitMs,
}

/// CPU time for each token, milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuParts {
    /// Evaluating sizes, places and parameters.
    pub bind: f64,
    /// Handing parameters and inputs to the driver.
    pub write: f64,
    /// Recording commands.
    pub record: f64,
    /// Submitting them.
    pub submit: f64,
    /// Waiting, and reading results.
    pub read: f64,
}

/// How long submissions kept the GPU, milliseconds: of all, this part no longer than that, to a fifth.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SubmitMs {
    /// Half of them.
    pub median: f64,
    /// Nine of ten.
    pub p90: f64,
    /// All.
    pub longest: f64,
}

/// The GPU, and the program that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// The driver's name for the GPU.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// `Vulkan` or `Metal`.
    pub backend: String,
    /// The profile it is taken for.
    pub profile: String,
    /// The road to 16-bit floats.
    pub f16: String,
    /// Version, and whether it was built with optimisation.
    pub build: String,
    /// Operating system and processor.
    pub system: String,
}

impl Device {
    /// Of an open GPU.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Self {
        let summary = gpu.summary();
        let adapter = &summary.adapter;
        let kind = if cfg!(debug_assertions) { "debug build, not worth comparing" } else { "release build" };
        Self {
            name: adapter.name.clone(),
            driver: adapter.driver.clone(),
            backend: adapter.backend.clone(),
            profile: adapter.profile.to_owned(),
            f16: format!("{:?}", summary.f16).to_lowercase(),
            build: format!("halfbyte {}, {kind}", env!("CARGO_PKG_VERSION")),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// All that was measured. `Display` makes a Markdown table.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub device: Device,
    /// Repetitions behind each number, after one that is not counted.
    pub repetitions: usize,
    /// Prompt tokens that are run at once.
    pub chunk: usize,
    /// Line by line.
    pub measurements: Vec<Measurement>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device { name, driver, backend, profile, f16, build, system } = &self.device;
        writeln!(f, "{name}, {driver}, {backend}, profile {profile}, f16 {f16}; {build}, {system}")?;
        writeln!(f, "{} repetitions after a warm-up, chunk {}\n", self.repetitions, self.chunk)?;
        writeln!(
            f,
            "| what | tokens | depth | tokens/s | spread | dispatches/token | bytes copied/token | CPU ms/token | submit ms: median, longest |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for m in &self.measurements {
            writeln!(
                f,
                "| {} | {} | {} | {:.2} | ± {:.1} % | {:.1} | {:.0} | {:.3} | {:.2}, {:.2} |",
                m.kind,
                m.tokens,
                m.depth,
                m.rate.median,
                m.rate.spread() * 100.0,
                m.dispatches_per_token,
                m.copied_bytes_per_token,
                m.cpu_ms_per_token,
                m.submit_ms.median,
                m.submit_ms.longest,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{CpuParts, Device, Kind, Measurement, Report, SubmitMs};
    use crate::Statistics;

    #[test]
    fn the_table_is_markdown() {
        let text = |t: &str| t.to_owned();
        let device = Device {
            name: text("G"),
            driver: text("D 1"),
            backend: text("Vulkan"),
            profile: text("software"),
            f16: text("none"),
            build: text("halfbyte 1"),
            system: text("linux x86_64"),
        };
        let rate = Statistics::of(&[9.0, 10.0, 11.0]).unwrap();
        let line = Measurement {
            kind: Kind::Decode,
            tokens: 32,
            depth: 7,
            rate,
            dispatches_per_token: 180.0,
            copied_bytes_per_token: 0.0,
            cpu_ms_per_token: 0.25,
            cpu_parts_ms: CpuParts { bind: 0.0, write: 0.0, record: 0.2, submit: 0.05, read: 0.0 },
            submit_ms: SubmitMs { median: 3.0, p90: 3.5, longest: 4.0 },
        };
        let report = Report { device, repetitions: 3, chunk: 128, measurements: vec![line] };
        let shown = report.to_string();
        assert!(
            shown.ends_with("| decode | 32 | 7 | 10.00 | ± 10.0 % | 180.0 | 0 | 0.250 | 3.00, 4.00 |\n"),
            "{shown}"
        );
    }
}
