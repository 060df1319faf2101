//! What tests across crates share: the repository's files, models with what another runtime computed on them, and
//! the GPU.

mod case;
pub mod conformance;
mod expected;
mod model;
pub mod tiny;

use std::path::{Path, PathBuf};

pub use case::{check_variants, plan_of_graph, run_of_plan};
pub use expected::{Expected, npy, tensor, tensors};
pub use model::{Choices, gpu, language_options, load, load_on};

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A file under `tests/fixtures`.
#[must_use]
pub fn fixture(path: &str) -> PathBuf {
    root().join("tests/fixtures").join(path)
}

/// The model folders of a fixture group, sorted; there is at least one.
#[must_use]
pub fn models(group: &str) -> Vec<PathBuf> {
    models_with(group, "model.onnx")
}

/// The folders of a fixture group that hold a file, sorted; there is at least one.
#[must_use]
pub fn models_with(group: &str, file: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixture(group)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.join(file).is_file()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "tests/fixtures/{group} holds no models");
    folders
}

/// The largest difference of two lists of numbers.
#[must_use]
pub fn largest_difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "different counts");
    got.iter()
        .zip(want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |m, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
}

/// Where the largest number is; of equals, the first, as in NumPy and in the sampler.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(i, _)| i as u32)
}
