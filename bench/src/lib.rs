//! Throughput of a loaded language model: prompt tokens a second, and generated tokens a second.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use engine::{generate::Generator, sampler::Sampling, session::{LoadedModel, Session}};
//! # fn show(model: Arc<LoadedModel>) -> Result<(), engine::EngineError> {
//! let work = bench::Workload { prefill: vec![64], decode: vec![32], depths: vec![0], repeat: 5 };
//! let mut generator = Generator::new(Session::new(model, work.longest())?, Sampling::default())?;
//! let measured = bench::measure(&mut generator, &work, &bench::Conditions::here(), &mut |_, _| true)?;
//! assert_eq!(measured.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! What is timed is what a program waits for: recording, the GPU's work, the choice of the likeliest token, and its way
//! back. Prompts are arbitrary, since none of the kernels looks at what tokens are. Text is left out.
#![forbid(unsafe_code)]

mod cost;
mod duel;
mod frames;
mod lengths;
mod measure;
pub mod models;
mod predict;
mod profile;
mod regress;
mod report;
mod rivals;
mod roofline;
mod sensors;
mod signed_rank;
mod statistics;
mod sustain;
mod trace;

pub use duel::{CONFIDENCE, Duel, FEWEST, LOADS, Ratio, Round, SAME, Side, Verdict, duel};
pub use engine::gpu::Peaks;
pub use frames::{FrameReport, FrameTimes, Load, frames};
pub use lengths::{Lengths, NoLengths, lengths};
pub use measure::{Conditions, Repetition, Test, Workload, measure};
pub use predict::{Predicted, Prediction, Published, predict};
pub use profile::{CallTime, KernelTime, OperatorTime, PhaseTime, Steps, profile};
pub use regress::{Change, Changes};
pub use report::{
    Chosen, CpuParts, Device, Kind, Limits, Measurement, Memory, MemoryMap, Model, Profile, Program,
    Qualified, Reading, Report, Row, SCHEMA, Sample, Sensor, Sensors, Settings, StartTimes, SubmitMs,
    Sustained, csv, html, jsonl, sql,
};
pub use rivals::Rival;
pub use roofline::{Roofline, roofline};
pub use sensors::Thermometer;
pub use statistics::Statistics;
pub use sustain::sustain;
pub use trace::trace;
