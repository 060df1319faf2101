//! `halfbyte inspect --explain`: what keeps a model from being fast, and where in its graph.

use std::collections::{BTreeMap, HashMap};

use engine::{
    EngineError,
    graph::{Graph, Node},
    plan::Plan,
};
use serde::Serialize;
use symbolic::Bindings;

use super::plans::{Fusion, PlanReport};
use crate::{error::CliError, figures::size, output::line};

/// The kernel calls of one operator.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    pub operator: &'static str,
    pub calls: usize,
    /// Bytes that they read and write, at the first size of the plan that is told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Where the first of them is in the graph.
    pub line: String,
}

impl Calls {
    /// Those of a plan, the most first.
    pub fn all(graph: &Graph, plan: &Plan, bindings: Option<&Bindings>) -> Result<Vec<Self>, EngineError> {
        let mut nodes: HashMap<&str, &Node> = HashMap::new();
        for node in &graph.nodes {
            nodes.entry(&node.name).or_insert(node);
        }
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for (index, call) in plan.calls.iter().enumerate() {
            let node = nodes.get(call.node.as_str());
            // What belongs to no node brings inputs and outputs to their place.
            let operator = node.map_or("input or output", |n| n.op.name());
            let of = all.entry(operator).or_insert_with(|| {
                let output = node.and_then(|n| n.outputs.first());
                let line = output.map_or_else(|| call.node.clone(), |output| graph.line(*output));
                Self { operator, calls: 0, bytes: bindings.map(|_| 0), line }
            });
            of.calls += 1;
            if let (Some(sum), Some(bindings)) = (&mut of.bytes, bindings) {
                *sum = sum.saturating_add(plan.traffic(index, bindings)?);
            }
        }
        let mut all: Vec<Self> = all.into_values().collect();
        all.sort_by_key(|c| (std::cmp::Reverse(c.calls), c.operator));
        Ok(all)
    }
}

/// What it costs that a pattern is not recognised.
fn cost(pattern: &str) -> &'static str {
    match pattern {
        "Attention" => {
            "every step of the formula is a call of its own, and the scores of all queries and keys go through memory: \
             long prompts become slow and take much memory"
        }
        "cache write" => "the whole cache is copied at every token",
        "RoPE" | "RMSNorm" | "LayerNorm" | "Gate" | "Activation" => {
            "several calls do what one would, each of which reads and writes the activations"
        }
        _ => "a few calls more",
    }
}

/// The explanation as text.
pub(super) fn print(fusions: &[Fusion], plans: &[PlanReport]) -> Result<(), CliError> {
    let refused = || fusions.iter().flat_map(|f| f.refused.iter().map(move |r| (f, r)));
    line("\nnot recognised")?;
    if refused().next().is_none() {
        line("  nothing: every pattern that was expected was found")?;
    }
    for (fusion, refused) in refused() {
        line(&format!("  {}, {} times: {}", fusion.pattern, refused.nodes, refused.reason))?;
        line(&format!("    first here: {}", refused.line))?;
        line(&format!("    in node:    {}", refused.example))?;
        line(&format!("    it costs:   {}", cost(&fusion.pattern)))?;
    }
    for plan in plans {
        let at = plan.sizes.first().map_or(String::new(), |s| format!(" at {}", s.at));
        line(&format!("\nkernel calls of {}{at}", plan.phase))?;
        for calls in &plan.calls {
            let bytes = calls.bytes.map_or(String::new(), size);
            line(&format!("  {:>5} {bytes:>11}  {:<20} {}", calls.calls, calls.operator, calls.line))?;
        }
    }
    Ok(())
}
