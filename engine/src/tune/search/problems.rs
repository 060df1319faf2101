//! What there is to choose in a model's plans.

use std::collections::BTreeMap;

use crate::{op::Problem, record::Record, session::LoadedModel};

/// A problem of the model.
#[derive(Debug)]
pub(super) struct Open {
    pub problem: Problem,
    pub candidates: Vec<String>,
    /// The operator that has it.
    pub operator: &'static str,
    /// Nodes in prefill and in decode.
    pub nodes: [usize; 2],
}

/// The problems of a model's plans, by their text.
pub(super) fn problems(model: &LoadedModel) -> BTreeMap<String, Open> {
    let mut found: BTreeMap<String, Open> = BTreeMap::new();
    for (phase, (graph, plan)) in model.phases().into_iter().enumerate() {
        for choice in &plan.choices {
            let node = plan.calls.get(choice.calls.start).map(|call| call.node.as_str());
            let node = graph.nodes.iter().find(|n| Some(n.name.as_str()) == node);
            let open = found.entry(choice.problem.to_string()).or_insert_with(|| Open {
                problem: choice.problem.clone(),
                candidates: choice.candidates.clone(),
                operator: node.map_or("", |n| n.op.name()),
                nodes: [0, 0],
            });
            open.nodes[phase] += 1;
        }
    }
    found
}

impl Open {
    /// The first candidate that is not struck.
    pub fn default(&self, record: &Record) -> Option<&String> {
        self.candidates.iter().find(|c| !record.is_struck(self.problem.family, c))
    }
}

/// See [`crate::tune::is_open`].
pub(in crate::tune) fn is_open(model: &LoadedModel) -> bool {
    let record = model.gpu().record();
    problems(model).iter().any(|(text, open)| {
        let tuned = record.problems.get(text);
        let timed = |c: &String| tuned.is_some_and(|t| t.micros.contains_key(c));
        open.candidates.iter().any(|c| !timed(c) && !record.is_struck(open.problem.family, c))
    })
}
