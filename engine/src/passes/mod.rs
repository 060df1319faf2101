//! Passes: graph in, equal graph out, with what exporters spell out in dozens of nodes said in one.
//!
//! Each pattern looks for one telling node (a `ReduceMean`, a `Softmax`, …), and either rewrites what is around it
//! or says which part of the graph did not fit.

mod activation;
mod around;
mod attention;
mod cache;
mod cse;
mod element;
mod experts;
mod formula;
mod gate;
mod identity;
mod known;
mod linear;
mod mask;
mod merge;
mod norm;
mod pattern;
mod rope;
mod rotary_embedding;
pub(crate) mod rows;
mod scores;
mod unseen;

use std::collections::BTreeMap;

pub(crate) use cache::written_axis;
pub use linear::WeightFormats;
pub use mask::Mask;
pub(crate) use pattern::Cx;
pub use pattern::Refusal;

use crate::{error::EngineError, graph::Graph};
use pattern::{Pattern, rewrite};

/// What fusion did, for `inspect`.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each pattern applied.
    pub applied: BTreeMap<&'static str, usize>,
    /// Telling nodes whose surroundings did not fit, each with the reason.
    pub refused: Vec<Refusal>,
}

/// Which passes run.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// How weights of matrix products and embeddings are held on the device.
    pub formats: WeightFormats,
    /// Whether patterns are fused; off, only what the device needs is done.
    pub fuse: bool,
}

/// Drops nodes that change nothing or repeat others.
///
/// # Errors
/// When nodes depend on each other in a circle.
pub fn simplify(graph: &mut Graph) -> Result<(), EngineError> {
    graph.tidy()?;
    identity::run(graph)?;
    cse::run(graph)
}

/// Runs all passes on a typed graph.
///
/// # Errors
/// When a rewritten graph is not a graph any more, which is an error of a pass.
pub fn run(graph: &mut Graph, options: &PassOptions) -> Result<Report, EngineError> {
    let mut report = Report::default();
    known::run(graph);
    simplify(graph)?;
    cache::run(graph, &mut report)?;
    if options.fuse {
        let patterns: [&dyn Pattern; 8] = [
            &norm::LayerNorm,
            &norm::RmsNorm,
            &activation::Activation,
            &gate::Gate,
            &rope::Rope,
            &rotary_embedding::RotaryEmbedding,
            &attention::Attention,
            &unseen::UnseenRows,
        ];
        for pattern in patterns {
            rewrite(graph, pattern, &mut report)?;
            cse::run(graph)?;
        }
    }
    if options.fuse {
        rewrite(graph, &experts::Experts(options.formats.layers), &mut report)?;
    }
    linear::run(graph, &options.formats, &mut report)?;
    if options.fuse {
        around::run(graph, &mut report)?;
    }
    Ok(report)
}
