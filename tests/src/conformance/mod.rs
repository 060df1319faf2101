//! ONNX's own backend tests on the normal path (import, infer, passes, plan, GPU): a folder per test with a model, its
//! inputs and the outputs to compare with.
//!
//! `tests/examples/conformance.rs` runs all of them, `tests/gpu/conformance.rs` those in the archive of the fixtures.
//! Both judge by [`Declined`], the table in `docs/operators-declined.md`.

mod archive;
mod compare;
mod declined;
mod run;
mod suite;
mod summary;

pub use archive::{pack, pick, unpack};
pub use compare::{Tolerance, compare};
pub use declined::{Declined, Row};
pub use run::{Runner, Verdict};
pub use suite::{GROUPS, Test, tests};
pub use summary::{Outcome, Summary};
