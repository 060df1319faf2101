//! Measurements with everything that they were taken on and under. As JSON it can be read again, compared and drawn.

mod device;
mod heat;
mod html;
mod map;
mod markdown;
mod rows;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use device::{Device, Limits};
pub use heat::{Reading, Sample, Sensor, Sensors, Sustained};
pub use html::html;
pub use map::MemoryMap;
pub use rows::{Row, csv, jsonl, sql};

use crate::{Peaks, PhaseTime, Statistics, Test};

/// The form of the JSON; a program reads reports of its own form.
pub const SCHEMA: u32 = 1;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// One length at one depth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Which of the two.
    pub kind: Kind,
    /// Tokens of one repetition.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// When the first repetition began, RFC 3339 in UTC.
    pub began: String,
    /// Tokens a second.
    pub rate: Statistics,
    /// Those of each repetition, in their order.
    pub rates: Vec<f64>,
    /// Of prefill: milliseconds from the prompt to the first token of the answer.
    pub first_token_ms: Option<Statistics>,
    /// Of decode: milliseconds of each token, over all repetitions.
    pub token_ms: Option<Statistics>,
    /// Kernel calls for each token.
    pub dispatches_per_token: f64,
    /// Bytes that its kernels have to move, by the plan.
    pub bytes_per_token: f64,
    /// Operations that they have to do, by the plan.
    pub flops_per_token: f64,
    /// The part of the measured read bandwidth that these bytes are at the median rate.
    pub of_read: Option<f64>,
    /// The part of the time that these operations take at the measured rates which their kernels can use.
    pub of_arithmetic: Option<f64>,
    /// Bytes copied on the GPU for each token, besides those that are read back.
    pub copied_bytes_per_token: f64,
    /// CPU time of the program's thread for each token, milliseconds.
    pub cpu_ms_per_token: f64,
    /// What it goes into.
    pub cpu_parts_ms: CpuParts,
    /// How long submissions kept the GPU, milliseconds.
    pub submit_ms: SubmitMs,
    /// What the sensors said before the first repetition and behind the last.
    pub heat: [Reading; 2],
}

impl Measurement {
    /// As llama-bench names it, such as `pp512 @ d2000`.
    #[must_use]
    pub fn test(&self) -> String {
        Test { kind: self.kind, tokens: self.tokens, depth: self.depth }.to_string()
    }
}

/// CPU time for each token, milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SubmitMs {
    /// Half of them.
    pub median: f64,
    /// Nine of ten.
    pub p90: f64,
    /// All.
    pub longest: f64,
}

/// The program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// The commit that it was built from, if that is known.
    pub commit: Option<String>,
    /// Whether it was built with optimisation; without, nothing is worth comparing.
    pub optimised: bool,
    /// Operating system and processor.
    pub system: String,
}

/// The model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Its file, or the name of a known one.
    pub name: String,
    /// Weights of its matrices.
    pub parameters: u64,
    /// How its layers are held, such as `m0e4-g32`.
    pub format: String,
}

/// How it was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How intermediate values are held.
    pub activations: String,
    /// How the KV cache is held.
    pub kv_cache: String,
    /// Prompt tokens that are run at once.
    pub chunk: usize,
    /// Positions of the session.
    pub context: usize,
    /// How long one submission should keep the GPU at most, milliseconds; 0 where steps are not cut.
    pub max_submit_ms: f64,
    /// Repetitions behind each number, after one that is not counted.
    pub repetitions: usize,
}

/// What the start took, seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartTimes {
    /// `warm` where pipelines that an earlier start compiled were at hand, else `cold`.
    pub kind: String,
    /// All of it.
    pub seconds: f64,
    /// The file, its graph and its tokenizer.
    pub read_seconds: f64,
    /// The GPU, beside that.
    pub gpu_seconds: f64,
    /// Plans.
    pub plan_seconds: f64,
    /// Weights.
    pub upload_seconds: f64,
    /// Pipelines, beside them.
    pub pipelines_seconds: f64,
    /// The search for faster kernels.
    pub tune_seconds: f64,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Weights, shared by all sessions.
    pub weights_bytes: u64,
    /// Those of them that lie in textures.
    pub texture_bytes: u64,
    /// The session's KV cache.
    pub cache_bytes: u64,
    /// The session's arena.
    pub arena_bytes: u64,
    /// The most that the process has held, if the system tells.
    pub process_peak_bytes: Option<u64>,
}

impl Memory {
    /// What is needed on the GPU.
    #[must_use]
    pub fn needed(&self) -> u64 {
        self.weights_bytes + self.cache_bytes + self.arena_bytes
    }

    /// How many times that the process has held, if the system tells.
    #[must_use]
    pub fn peak_ratio(&self) -> Option<f64> {
        self.process_peak_bytes.map(|peak| peak as f64 / self.needed().max(1) as f64)
    }
}

/// Where the time of steps goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Whether times are those of the GPU's own clock, not of single submits.
    pub gpu_clock: bool,
    /// By phase and depth.
    pub phases: Vec<PhaseTime>,
}

/// A kernel that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// What for.
    pub problem: String,
    /// Its name.
    pub variant: String,
    /// Whether it was measured to be faster here than what the profile prefers.
    pub tuned: bool,
}

/// What is known of kernels being right on this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qualified {
    /// Kinds of problem and variants that gave the reference's results.
    pub sound: usize,
    /// Variants that no case has.
    pub unproven: usize,
    /// Variants that gave other results, with where and what.
    pub struck: Vec<String>,
}

/// All that was measured. `Display` makes Markdown tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was run.
    pub program: Program,
    /// What it was measured on.
    pub device: Device,
    /// The model.
    pub model: Model,
    /// How it was run.
    pub settings: Settings,
    /// What the start took.
    pub start: StartTimes,
    /// What it holds.
    pub memory: Memory,
    /// What the device can do.
    pub peaks: Option<Peaks>,
    /// Kernels that were chosen.
    pub choices: Vec<Chosen>,
    /// What is known of them.
    pub qualified: Qualified,
    /// What tells heat and power here.
    pub sensors: Sensors,
    /// Test by test.
    pub measurements: Vec<Measurement>,
    /// A long run.
    pub sustained: Option<Sustained>,
    /// Where the time of steps goes.
    pub profile: Option<Profile>,
    /// What lies where in the arena: in a chunk of prefill, and in a step of decode.
    pub maps: Vec<MemoryMap>,
}
