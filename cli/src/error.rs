//! Why a command failed. Its text says what was wrong, where, and what to do; the exit code is 1, or 2 for wrong usage.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use engine::EngineError;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The engine failed on a model.
    #[error("{path}: {source}")]
    Model {
        /// The model.
        path: String,
        /// What the engine said.
        source: Box<EngineError>,
    },
    /// The engine failed, with no model to blame.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// Tokenizer or chat template.
    #[error(transparent)]
    Text(#[from] text::TextError),
    /// A GGUF file.
    #[error("{path}: {source}")]
    Gguf {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<gguf::GgufError>,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The terminal or pipe that output goes to.
    #[error("output cannot be written: {0}")]
    Output(io::Error),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl From<EngineError> for CliError {
    fn from(source: EngineError) -> Self {
        Self::Engine(Box::new(source))
    }
}

impl CliError {
    /// An engine failure on the model at `path`.
    pub fn model(path: &Path) -> impl Fn(EngineError) -> Self {
        move |source| match source {
            source @ EngineError::Gpu(_) => source.into(),
            source => {
                let path = path.display().to_string();
                if source.to_string().contains(&path) {
                    return source.into();
                }
                Self::Model { path, source: Box::new(source) }
            }
        }
    }

    /// A failure to read or write `path`.
    pub fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    /// A failure in words.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Whether it only means that nobody reads the output any more.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The text with every cause that it does not name already.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(inner) = cause {
            let more = inner.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = inner.source();
        }
        text
    }
}
