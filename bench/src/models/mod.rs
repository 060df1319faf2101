//! Models without files: an architecture is written as an ONNX graph, as exporters write it, and goes through import, fusion
//! and planning like any other; its matrices are noise that the device makes.
//!
//! ```
//! let model = bench::models::named("llama2-7b").expect("a model of that name");
//! assert_eq!(model.architecture.layers, 32);
//! let file = model.open(0)?; // no weights yet, so that this takes no memory to speak of
//! engine::language::LanguageModel::recognise(file.graph)?;
//! # Ok::<(), engine::EngineError>(())
//! ```

mod architecture;
mod decoder;
mod nodes;
mod positions;
mod table;

use bytes::Bytes;
use engine::{EngineError, open::ModelFile};

pub use architecture::{Activation, Architecture, HeadsNorm, Rope, Sliding, Stretch};

/// A known model.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is called here.
    pub name: &'static str,
    /// Where its sizes are from: its name on the Hugging Face hub.
    pub source: &'static str,
    /// What it is.
    pub architecture: Architecture,
}

/// The model of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Named> {
    all().iter().find(|model| model.name == name)
}

/// All known models.
#[must_use]
pub fn all() -> &'static [Named] {
    table::NAMED
}

impl Named {
    /// The model, with noise for weights; see [`Architecture::open`].
    ///
    /// # Errors
    /// As [`Architecture::open`].
    pub fn open(&self, seed: u64) -> Result<ModelFile, EngineError> {
        self.architecture.open(self.name, seed)
    }
}

impl Architecture {
    /// The model as ONNX: parameters have the names that transformers gives them, matrices lie `[k, n]` and have no data,
    /// gains are 1 and biases 0.
    #[must_use]
    pub fn onnx(&self, name: &str) -> Bytes {
        decoder::write(name, self).into()
    }

    /// A model file of this architecture, with noise for weights. The same seed gives the same noise.
    ///
    /// # Errors
    /// When sizes do not fit each other.
    pub fn open(&self, name: &str, seed: u64) -> Result<ModelFile, EngineError> {
        ModelFile::noise(name, self.onnx(name), seed)
    }
}
