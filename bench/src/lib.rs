//! Throughput of a loaded language model: prompt tokens a second, and generated tokens a second.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # fn show(model: &Arc<engine::session::LoadedModel>) -> Result<(), engine::EngineError> {
//! let plan = bench::Plan { prefill: vec![64], decode: vec![32], depths: vec![0], repeat: 5 };
//! let report = bench::measure(model, &plan, &mut |_, _| true)?;
//! assert_eq!(report.measurements.len(), 2);
//! let table = report.to_string(); // in Markdown
//! # Ok(())
//! # }
//! ```
//!
//! What is timed is what a program waits for: recording, the GPU's work, and reading the logits back. Tokens are
//! arbitrary, since none of the kernels looks at what they are. Sampling and text are left out.
#![forbid(unsafe_code)]

mod measure;
mod report;
mod statistics;

pub use measure::{Plan, measure};
pub use report::{Device, Kind, Measurement, Report};
pub use statistics::Statistics;
