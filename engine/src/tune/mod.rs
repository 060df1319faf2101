//! Tuning: a bounded search, on the device, for the fastest of the kernels that solve a model's problems.
//!
//! Rounds plan both phases anew, each problem with its next candidate, and run a few steps under the clock; the weights
//! stay where they are. What a candidate takes is the median over all layers that have its problem. Before it is timed, a round
//! has to give the logits of the model with the kernels that its profile prefers; what is taken from then on, defaults and
//! the fastest, has to give the reference's results, twice, in the operators' cases that are nearest to the problem. A
//! variant that does not is struck, and the next one is taken; cases of all that are only timed would take longer than the
//! search. The fastest are timed in turns with the defaults in the end, which they replace where they are faster by 2 % at least.
//! All of it is kept in the device's [`Record`](crate::record::Record): the next load follows it, and a later search goes on where this one stopped.

mod clock;
mod proof;
mod report;
mod search;

use std::{sync::Arc, time::Duration};

pub use report::{Report, Row};

use crate::{error::EngineError, session::LoadedModel};
use search::Search;

/// How to tune.
#[derive(Clone, Copy, Debug)]
pub struct TuneOptions {
    /// No round but the first begins after so much time.
    pub budget: Duration,
    /// Whether what is known of times already is measured again.
    pub afresh: bool,
}

/// A model that is tuned.
#[derive(Debug)]
pub struct Tuned {
    /// The same, its weights shared, with the best kernels that are known.
    pub model: Arc<LoadedModel>,
    /// What was found out.
    pub report: Report,
}

/// Tunes a model's kernels, and keeps what was found out where the GPU keeps its records. `progress` hears how many rounds
/// are done, and of how many at most.
///
/// # Errors
/// When the GPU fails, or has no room for two sessions of the model, or the record cannot be written.
pub fn tune(
    model: &Arc<LoadedModel>,
    options: TuneOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Tuned, EngineError> {
    Search::new(model, options)?.run(progress)
}

/// Whether there are kernels for this model of which the device's record tells nothing.
#[must_use]
pub fn is_open(model: &LoadedModel) -> bool {
    search::is_open(model)
}
