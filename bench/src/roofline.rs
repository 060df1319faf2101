//! How near each kernel comes to what the device can do: its time, and its bytes and operations as the plan tells them,
//! against peaks measured in the same run.

use std::{collections::BTreeMap, fmt};

use engine::{
    EngineError,
    gpu::{Clock, Peaks},
    op::{Slot, WeightPacking, WeightPart},
    plan::{Call, Plan, Work},
    session::Session,
};
use serde::Serialize;

use crate::{Device, Kind, measure::tokens_of};

/// The kernel whose multiply-adds are those of cooperative matrices.
const COOPERATIVE: &str = "linear_coop";

/// The calls of one kernel for matrices of one size, in one step.
#[derive(Clone, Debug, Serialize)]
pub struct KernelTime {
    /// The kernel and, for a product, the weights' format and the matrix, `[rows, columns]`.
    pub kernel: String,
    /// Calls in a step.
    pub calls: usize,
    /// Seconds of all of them: the median of the repetitions.
    pub seconds: f64,
    /// Bytes that they have to move.
    pub bytes: u64,
    /// Operations that they have to do.
    pub flops: u64,
    /// Those of them that cooperative matrices do.
    pub coop_flops: u64,
}

/// A decode step, or a chunk of prefill.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseTime {
    /// Which of the two.
    pub kind: Kind,
    /// Tokens of the step.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// By kernel, the longest first.
    pub kernels: Vec<KernelTime>,
}

/// Peaks and phases. `Display` makes Markdown tables.
#[derive(Clone, Debug, Serialize)]
pub struct Roofline {
    /// What it was measured on.
    pub device: Device,
    /// Whether times are those of the GPU's own clock, not of single submits.
    pub gpu_clock: bool,
    /// Bytes a second, read in vectors.
    pub read: f64,
    /// Bytes a second, copied in vectors: read and written.
    pub copy: f64,
    /// Operations a second in f32.
    pub f32: f64,
    /// Operations a second in f16, where there is f16.
    pub f16: Option<f64>,
    /// Operations a second by cooperative matrices, where there are such.
    pub coop: Option<f64>,
    /// By phase and depth.
    pub phases: Vec<PhaseTime>,
}

/// Steps to look at.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Tokens of a chunk of prefill; 0 for none.
    pub prefill: usize,
    /// Tokens in the cache before each.
    pub depths: Vec<usize>,
    /// Repetitions that count; one more goes before.
    pub repeat: usize,
}

/// Measures the peaks, and a chunk of prefill and a step of decode at each depth, in a session whose content is lost.
///
/// # Errors
/// When the session has no room for them, or the GPU fails.
pub fn roofline(session: &mut Session, steps: &Steps) -> Result<Roofline, EngineError> {
    let model = session.model().clone();
    let gpu = model.gpu();
    let Peaks { read, copy, f32, f16, coop } = gpu.peaks()?;
    let gpu_clock = gpu.clock() == Clock::Timestamps;
    let chunk = steps.prefill.min(session.chunk());
    let mut phases = Vec::new();
    for depth in &steps.depths {
        for (kind, tokens) in [(Kind::Prefill, chunk), (Kind::Decode, 1)] {
            // A chunk of one token would be a step of decode.
            if kind == Kind::Decode || tokens > 1 {
                let kernels = phase(session, tokens, *depth, steps.repeat)?;
                phases.push(PhaseTime { kind, tokens, depth: *depth, kernels });
            }
        }
    }
    Ok(Roofline { device: Device::of(gpu), gpu_clock, read, copy, f32, f16, coop, phases })
}

fn phase(
    session: &mut Session,
    tokens: usize,
    depth: usize,
    repeat: usize,
) -> Result<Vec<KernelTime>, EngineError> {
    let model = session.model().clone();
    let text = tokens_of(depth + tokens);
    let mut trials: Vec<Vec<f64>> = Vec::new();
    for repetition in 0..=repeat.max(1) {
        let left = session.truncate(depth);
        for part in text[left..depth].chunks(session.chunk()) {
            session.run(part)?;
        }
        let times = session.profile(&text[depth..])?;
        if repetition > 0 {
            trials.push(times.iter().map(std::time::Duration::as_secs_f64).collect());
        }
    }
    let plan = model.plan(tokens == 1);
    let bindings = model.bindings(tokens, depth, session.capacity());
    let mut kernels: BTreeMap<String, (usize, Work, Vec<f64>)> = BTreeMap::new();
    for (index, call) in plan.calls.iter().enumerate() {
        let work = plan.work(index, &bindings)?;
        let (calls, sum, times) =
            kernels.entry(label(plan, call)).or_insert_with(|| (0, Work::default(), vec![0.0; trials.len()]));
        *calls += 1;
        *sum = [*sum, work].into_iter().sum();
        for (time, trial) in times.iter_mut().zip(&trials) {
            *time += trial[index];
        }
    }
    let mut kernels: Vec<KernelTime> = kernels
        .into_iter()
        .map(|(kernel, (calls, Work { bytes, flops }, mut times))| {
            times.sort_by(f64::total_cmp);
            let coop_flops = if kernel.starts_with(COOPERATIVE) { flops } else { 0 };
            KernelTime { kernel, calls, seconds: times[times.len() / 2], bytes, flops, coop_flops }
        })
        .collect();
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(kernels)
}

/// A kernel with what it is made for; calls that differ in nothing of it are one line.
fn label(plan: &Plan, call: &Call) -> String {
    let mut label = call.spec.kernel().to_owned();
    if let Some(op) = call.spec.choice("OP") {
        label = format!("{label} {op}");
    }
    for slot in &call.slots {
        if let Slot::Weight { weight, part: WeightPart::Weight, count, .. } = slot {
            let weight = &plan.weights[weight.0 as usize];
            if let WeightPacking::Matrix { format, .. } = weight.packing {
                label = format!("{label} {format} [{count}, {}]", weight.k);
            }
        }
    }
    label
}

impl PhaseTime {
    /// Of all kernels.
    #[must_use]
    pub fn total(&self) -> KernelTime {
        let kernel = "all".to_owned();
        let mut all = KernelTime { kernel, calls: 0, seconds: 0.0, bytes: 0, flops: 0, coop_flops: 0 };
        for kernel in &self.kernels {
            all.calls += kernel.calls;
            all.seconds += kernel.seconds;
            all.bytes += kernel.bytes;
            all.flops += kernel.flops;
            all.coop_flops += kernel.coop_flops;
        }
        all
    }
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device { name, driver, backend, profile, f16, build, system } = &self.device;
        writeln!(f, "{name}, {driver}, {backend}, profile {profile}, f16 {f16}; {build}, {system}")?;
        let giga = |rate: f64| rate / 1e9;
        write!(f, "peaks: read {:.2} GB/s, copy {:.2} GB/s, ", giga(self.read), giga(self.copy))?;
        write!(f, "multiply-add f32 {:.1} GFLOP/s", giga(self.f32))?;
        for (name, rate) in [("f16", self.f16), ("cooperative matrices", self.coop)] {
            if let Some(rate) = rate {
                write!(f, ", {name} {:.1} GFLOP/s", giga(rate))?;
            }
        }
        let clock = if self.gpu_clock {
            "the GPU's clock"
        } else {
            "submits of single calls, whose cost is included"
        };
        writeln!(f, "; times by {clock}")?;
        self.phases.iter().try_for_each(|phase| self.write_phase(f, phase))
    }
}

impl Roofline {
    /// Seconds that operations take at the rates which their kernels can use: of cooperative matrices, else of f32.
    fn least_seconds(&self, line: &KernelTime) -> f64 {
        let coop = line.coop_flops as f64;
        (line.flops as f64 - coop) / self.f32 + coop / self.coop.unwrap_or(self.f32)
    }

    fn write_phase(&self, f: &mut fmt::Formatter<'_>, phase: &PhaseTime) -> fmt::Result {
        let PhaseTime { kind, tokens, depth, kernels } = phase;
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
                percent(bytes, self.read),
                flops / 1e9,
                percent(self.least_seconds(line), line.seconds),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{KernelTime, PhaseTime, Roofline};
    use crate::{Device, Kind};

    #[test]
    fn fractions_are_of_the_peaks() {
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
        let line = |kernel: &str, seconds, bytes, flops| KernelTime {
            kernel: text(kernel),
            calls: 2,
            seconds,
            bytes,
            flops,
            coop_flops: 0,
        };
        let mut kernels =
            vec![line("a", 0.003, 6_000_000, 9_000_000), line("b", 0.001, 2_000_000, 150_000_000)];
        kernels[1].coop_flops = 150_000_000;
        let phase = PhaseTime { kind: Kind::Decode, tokens: 1, depth: 7, kernels };
        let roofline = Roofline {
            device,
            gpu_clock: true,
            read: 4e9,
            copy: 3e9,
            f32: 30e9,
            f16: None,
            coop: Some(300e9),
            phases: vec![phase],
        };
        let shown = roofline.to_string();
        assert!(shown.contains("decode of 1 at depth 7: 250.00 tokens/s"), "{shown}");
        assert!(shown.contains("| a | 2 | 3.000 | 75.0 % | 2.00 | 50 % | 3.00 | 10 % |\n"), "{shown}");
        assert!(shown.contains("| b | 2 | 1.000 | 25.0 % | 2.00 | 50 % | 150.00 | 50 % |\n"), "{shown}");
        assert!(shown.ends_with("| all | 4 | 4.000 | 100.0 % | 2.00 | 50 % | 39.75 | 20 % |\n"), "{shown}");
    }
}
