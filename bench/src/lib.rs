//! Throughput of a loaded language model: prompt tokens a second, and generated tokens a second.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use engine::{generate::Generator, sampler::Sampling, session::{LoadedModel, Session}};
//! # fn show(model: Arc<LoadedModel>) -> Result<(), engine::EngineError> {
//! let work = bench::Workload { prefill: vec![64], decode: vec![32], depths: vec![0], repeat: 5 };
//! let mut generator = Generator::new(Session::new(model, work.longest())?, Sampling::default())?;
//! let report = bench::measure(&mut generator, &work, &mut |_, _| true)?;
//! assert_eq!(report.measurements.len(), 2);
//! let table = report.to_string(); // in Markdown
//! # Ok(())
//! # }
//! ```
//!
//! What is timed is what a program waits for: recording, the GPU's work, the choice of the likeliest token, and its way
//! back. Prompts are arbitrary, since none of the kernels looks at what tokens are. Text is left out.
#![forbid(unsafe_code)]

mod cost;
mod measure;
pub mod models;
mod predict;
mod report;
mod rivals;
mod roofline;
mod statistics;

pub use measure::{Workload, measure};
pub use predict::{Predicted, Prediction, Published, predict};
pub use report::{CpuParts, Device, Kind, Measurement, Report, SubmitMs};
pub use rivals::Rival;
pub use roofline::{KernelTime, PhaseTime, Roofline, Steps, roofline};
pub use statistics::Statistics;
