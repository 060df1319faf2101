//! Which model a command is for: one in a file, or a known one without files.

use std::path::{Path, PathBuf};

use bench::models::{self, Named};
use engine::open::{ModelFile, onnx_model};
use onnx_import::LeaveAbsent;

use crate::{error::CliError, output, words::context_limit};

/// What tells the noise of one run from that of others; all runs have the same.
const SEED: u64 = 0;

/// A file, or a known model.
#[derive(Debug, clap::Args)]
pub struct KnownArgs {
    /// A model packed by `halfbyte quantize`, or an exported .onnx file
    #[arg(required_unless_present = "known", conflicts_with = "known")]
    model: Option<PathBuf>,
    /// Instead of a file a known model, with noise for weights; `--model help` lists them
    #[arg(long = "model", id = "known", value_name = "NAME")]
    known: Option<String>,
}

impl KnownArgs {
    /// Lists the known models if that is what is asked for.
    pub fn listed(&self) -> Result<bool, CliError> {
        if self.known.as_deref() != Some("help") {
            return Ok(false);
        }
        for Named { name, source, architecture } in models::all() {
            let size = format!("{} layers of {}", architecture.layers, architecture.hidden);
            output::line(&format!("{name:14} {size:20} {source}"))?;
        }
        Ok(true)
    }

    fn known(&self) -> Result<Option<&'static Named>, CliError> {
        let Some(name) = &self.known else { return Ok(None) };
        let names = || models::all().iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
        let unknown = || CliError::Usage(format!("--model {name}: known models are {}", names()));
        models::named(name).map(Some).ok_or_else(unknown)
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        let known = self.known.as_deref().map(Path::new);
        known.or(self.model.as_deref()).unwrap_or(Path::new(""))
    }

    /// Opens it to be run.
    pub fn open(&self) -> Result<ModelFile, CliError> {
        let opened = match self.known()? {
            Some(model) => model.open(SEED),
            None => ModelFile::open(self.path()),
        };
        opened.map_err(CliError::model(self.path()))
    }

    /// Opens it to be looked at.
    pub fn inspect(&self) -> Result<ModelFile, CliError> {
        let opened = match self.known()? {
            Some(model) => model.open(SEED),
            None => ModelFile::inspect(self.path()),
        };
        opened.map_err(CliError::model(self.path()))
    }

    /// As it was imported, without its weights.
    pub fn onnx(&self) -> Result<onnx_import::Model, CliError> {
        let model = match self.known()? {
            Some(model) => {
                onnx_import::import(model.architecture.onnx(model.name), &mut LeaveAbsent).map_err(Into::into)
            }
            None => onnx_model(self.path()),
        };
        model.map_err(CliError::model(self.path()))
    }

    /// Most positions that it was made for, if that is known.
    pub fn limit(&self, file: &ModelFile) -> Result<Option<usize>, CliError> {
        match self.known()? {
            Some(model) => Ok(Some(model.architecture.positions)),
            None => context_limit(file),
        }
    }
}
