//! What can go wrong between a model's bytes and its tokens: one error, with the path to the place.

mod gpu;

use std::fmt;

pub use gpu::GpuError;

/// Where in the work an error arose: `stage > node "name" (Op) > cause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The stage, such as `import`, `infer` or `plan`.
    pub stage: &'static str,
    /// The node's name and operator, where one node is to blame.
    pub node: Option<(String, String)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stage)?;
        match &self.node {
            Some((name, op)) => write!(f, " > node {name:?} ({op})"),
            None => Ok(()),
        }
    }
}

/// What an operator finds wrong with its node: its attributes, its inputs, or what the device can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// An input or attribute breaks the operator's definition.
    #[error("{0}")]
    Invalid(String),
    /// The definition allows it, this engine does not (yet).
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A required input is left out.
    #[error("input {index} is missing")]
    MissingInput {
        /// Position in the node's input list.
        index: usize,
    },
    /// A value that must be known before the model runs is not: a shape that depends on data.
    #[error("input {index} must be known before the model runs, but it is computed from data")]
    NotConstant {
        /// Position in the node's input list.
        index: usize,
    },
    /// What runs is decided by data, and so is the type of what comes of it.
    #[error("{0}")]
    DependsOnData(String),
    /// A node of a subgraph refused its inputs.
    #[error("node {node:?} ({op}) > {source}")]
    Inside {
        /// The node's name.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What the operator said.
        source: Box<OpError>,
    },
    /// Two sizes that must agree do not.
    #[error(transparent)]
    Unify(#[from] symbolic::UnifyError),
    /// A size cannot be computed.
    #[error(transparent)]
    Eval(#[from] symbolic::EvalError),
    /// A host tensor is malformed.
    #[error(transparent)]
    Host(#[from] crate::host::HostError),
}

impl OpError {
    /// Whether the node may be fine once the inputs of a run, or their sizes, are known.
    #[must_use]
    pub fn lacks_inputs(&self) -> bool {
        match self {
            Self::NotConstant { .. } | Self::DependsOnData(_) => true,
            Self::Inside { source, .. } => source.lacks_inputs(),
            _ => false,
        }
    }
}

/// Shorthand for [`OpError::Invalid`] with a formatted text.
#[must_use]
pub fn invalid(text: impl Into<String>) -> OpError {
    OpError::Invalid(text.into())
}

/// Any failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ONNX file is malformed.
    #[error("import > {0}")]
    Import(#[from] onnx_import::ImportError),
    /// Operators that the engine does not have, all of them at once.
    #[error("import > {} of the model's operators are not supported:\n{}", .0.len(), .0.join("\n"))]
    UnsupportedOperators(Vec<String>),
    /// An operator refused its node.
    #[error("{place} > {source}")]
    Op {
        /// Which stage and node.
        place: Place,
        /// What the operator said.
        source: OpError,
    },
    /// The model as a whole cannot be used so.
    #[error("{stage} > {text}")]
    Model {
        /// The stage that found out.
        stage: &'static str,
        /// What is wrong and what to do.
        text: String,
    },
    /// A tensor given to a run does not fit the model's input.
    #[error("input {name:?}: {text}")]
    Input {
        /// The input's name.
        name: String,
        /// What is wrong and what is expected.
        text: String,
    },
    /// More tokens than the session's cache holds.
    #[error(
        "the context holds {capacity} tokens: {past} are in it and {new} more do not fit; \
         start a new session, shorten the prompt, or ask for a larger context"
    )]
    ContextFull {
        /// Tokens the cache can hold.
        capacity: usize,
        /// Tokens in it.
        past: usize,
        /// Tokens that were to be added.
        new: usize,
    },
    /// A packed file or host tensor is malformed.
    #[error(transparent)]
    Host(#[from] crate::host::HostError),
    /// A kernel cannot be made.
    #[error("kernel > {0}")]
    Shader(#[from] shaders::ShaderError),
    /// The GPU or its driver failed.
    #[error("gpu > {0}")]
    Gpu(#[from] GpuError),
    /// A sampling parameter or the logits are unusable.
    #[error(transparent)]
    Sample(#[from] crate::sampler::SampleError),
    /// A size cannot be evaluated or solved.
    #[error("sizes > {0}")]
    Eval(#[from] symbolic::EvalError),
}

impl EngineError {
    /// A failure that concerns the whole model.
    #[must_use]
    pub fn model(stage: &'static str, text: impl Into<String>) -> Self {
        Self::Model { stage, text: text.into() }
    }

    /// Adds stage and node to an operator's refusal.
    #[must_use]
    pub fn at(stage: &'static str, name: &str, op: &str, source: OpError) -> Self {
        Self::Op { place: Place { stage, node: Some((name.to_owned(), op.to_owned())) }, source }
    }
}
