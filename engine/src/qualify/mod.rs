//! Whether kernels are right on a device: operators' cases, run on the GPU and compared with the CPU's reference. Drivers
//! return wrong results for particular kernels, and some only from the second run on.

mod cached;
mod report;
mod save;
mod trial;

use crate::{
    dtype::DType,
    gpu::Gpu,
    op::{Case, Elem, Tolerance},
};

pub use report::{Failure, Qualification, Row, qualify};
pub use save::save;
pub use trial::{Trial, Wrong};

/// Runs a case, planned for a device as that prefers, and compares it with the reference.
///
/// # Errors
/// In words: what is wrong, or why it cannot be run.
pub fn check(gpu: &Gpu, case: &Case, activations: Elem) -> Result<(), String> {
    let trial = Trial::new(gpu.target(), case, activations).map_err(|e| e.to_string())?;
    trial.run(gpu, 1).map_err(|wrong| wrong.text)
}

/// A case as it can be run in half precision: none where f16 does not hold its floats, or where its result is to be exact and
/// f16 rounds them.
#[must_use]
pub fn in_half(case: Case) -> Option<Case> {
    let Tolerance { absolute, relative } = case.tolerance;
    let exact = absolute == 0.0 && relative == 0.0;
    let floats = case.inputs.iter().flatten().filter(|t| t.dtype().is_float());
    let held = floats
        .flat_map(|t| t.to_f64s().into_iter().zip(t.cast(DType::F16).to_f64s()))
        .all(|(wide, half)| wide == half || wide.is_nan() || half.is_finite() && !exact);
    let tolerance = trial::rounded(case.tolerance);
    held.then(|| case.tolerance(tolerance))
}
