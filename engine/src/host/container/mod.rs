//! The packed model file: weights as the kernels read them, in one file that is memory-mapped and used as it is.
//!
//! It is a safetensors file of byte tensors: `NAME#weight` and `NAME#scales` for each packed matrix, `NAME#tensor` for each
//! plain tensor, and blobs (`graph.onnx`, `tokenizer.json`, …) under their own names. The key `halfbyte` of `__metadata__`
//! holds a JSON object that says what they are: version, layout, source, and sizes and formats in the file's order.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::PackedModel;
pub use write::{Contents, ModelWriter, WeightSpec};

/// The key of `__metadata__`.
const KEY: &str = "halfbyte";
/// Raised whenever older programs would misread a file.
const VERSION: u32 = 1;
/// The layout of packed matrices that the tables of `WeightFormat` describe: four rows side by side.
const LAYOUT: &str = "n4";

/// What the file holds, in the order of its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Index {
    version: u32,
    layout: String,
    source: String,
    weights: Vec<WeightEntry>,
    tensors: Vec<TensorEntry>,
    blobs: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct WeightEntry {
    name: String,
    n: usize,
    k: usize,
    format: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TensorEntry {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

/// What the index is read as first, so that a file of another version is told from a damaged one.
#[derive(Debug, Deserialize)]
struct IndexVersion {
    version: u32,
    layout: String,
}

fn weight_key(name: &str) -> String {
    format!("{name}#weight")
}

fn scales_key(name: &str) -> String {
    format!("{name}#scales")
}

fn tensor_key(name: &str) -> String {
    format!("{name}#tensor")
}

#[cfg(test)]
mod tests;
