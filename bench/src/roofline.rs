//! How near each kernel comes to what the device can do: its time, and its bytes and operations as the plan tells them,
//! against peaks measured in the same run.

use std::fmt;

use engine::{EngineError, session::Session};
use serde::Serialize;

use crate::{Device, Peaks, PhaseTime, Profile, Steps, profile::profile};

/// Peaks and phases. `Display` makes Markdown tables.
#[derive(Clone, Debug, Serialize)]
pub struct Roofline {
    /// What it was measured on.
    pub device: Device,
    /// What the device can do.
    pub peaks: Peaks,
    /// Where the time of steps goes.
    pub profile: Profile,
}

/// Measures the peaks, and a chunk of prefill and a step of decode at each depth, in a session whose content is lost.
///
/// # Errors
/// When the session has no room for them, or the GPU fails.
pub fn roofline(session: &mut Session, steps: &Steps) -> Result<Roofline, EngineError> {
    let model = session.model().clone();
    let peaks = model.gpu().peaks()?;
    Ok(Roofline { device: Device::of(model.gpu()), peaks, profile: profile(session, steps)? })
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}; {}", self.device, self.peaks, clock(&self.profile))?;
        self.profile.phases.iter().try_for_each(|phase| write_phase(f, phase, &self.peaks))
    }
}

/// By what its times were taken, in words.
pub(crate) fn clock(profile: &Profile) -> &'static str {
    if profile.gpu_clock {
        "times by the GPU's clock"
    } else {
        "times by submits of single calls, whose cost is included"
    }
}

/// The kernels of a phase as a Markdown table.
pub(crate) fn write_phase(f: &mut fmt::Formatter<'_>, phase: &PhaseTime, peaks: &Peaks) -> fmt::Result {
    let PhaseTime { kind, tokens, depth, kernels, .. } = phase;
    let total = phase.total();
    let rate = *tokens as f64 / total.seconds;
    writeln!(f, "\n{kind} of {tokens} at depth {depth}: {rate:.2} tokens/s by the kernels' times\n")?;
    writeln!(f, "| kernel | calls | ms | share | GB/s | of read | GFLOP/s | of its peak |")?;
    writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    for line in kernels.iter().chain([&total]) {
        let (bytes, flops) = (line.bytes as f64 / line.seconds, line.flops as f64 / line.seconds);
        let percent = |part: f64, all: f64| 100.0 * part / all;
        writeln!(
            f,
            "| {} | {} | {:.3} | {:.1} % | {:.2} | {:.0} % | {:.2} | {:.0} % |",
            line.kernel,
            line.calls,
            line.seconds * 1e3,
            percent(line.seconds, total.seconds),
            bytes / 1e9,
            percent(bytes, peaks.read),
            flops / 1e9,
            percent(peaks.least_seconds(line.flops as f64, line.coop_flops as f64), line.seconds),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Roofline;
    use crate::{Device, KernelTime, Kind, Peaks, PhaseTime, Profile};

    #[test]
    fn fractions_are_of_the_peaks() {
        let line = |kernel: &str, seconds, bytes, flops| KernelTime {
            kernel: kernel.to_owned(),
            calls: 2,
            seconds,
            bytes,
            flops,
            coop_flops: 0,
        };
        let mut kernels =
            vec![line("a", 0.003, 6_000_000, 9_000_000), line("b", 0.001, 2_000_000, 150_000_000)];
        kernels[1].coop_flops = 150_000_000;
        let phase = PhaseTime {
            kind: Kind::Decode,
            tokens: 1,
            depth: 7,
            kernels,
            operators: Vec::new(),
            calls: Vec::new(),
        };
        let roofline = Roofline {
            device: Device::default(),
            peaks: Peaks { read: 4e9, copy: 3e9, f32: 30e9, f16: None, coop: Some(300e9) },
            profile: Profile { gpu_clock: true, phases: vec![phase] },
        };
        let shown = roofline.to_string();
        assert!(shown.contains("decode of 1 at depth 7: 250.00 tokens/s"), "{shown}");
        assert!(shown.contains("| a | 2 | 3.000 | 75.0 % | 2.00 | 50 % | 3.00 | 10 % |\n"), "{shown}");
        assert!(shown.contains("| b | 2 | 1.000 | 25.0 % | 2.00 | 50 % | 150.00 | 50 % |\n"), "{shown}");
        assert!(shown.ends_with("| all | 4 | 4.000 | 100.0 % | 2.00 | 50 % | 39.75 | 20 % |\n"), "{shown}");
    }
}
