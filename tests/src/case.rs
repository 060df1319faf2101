//! Operators' cases by the kernels that there are to choose from.

use engine::{
    EngineError,
    gpu::Gpu,
    graph::Graph,
    op::{Case, Choices, Elem, LowerOptions},
    ops::OPERATORS,
    plan::{Plan, PlanOptions},
    qualify::{Trial, check},
};
use symbolic::Symbol;

/// The plan of a typed graph on a GPU.
///
/// # Errors
/// When an operator cannot be planned there.
pub fn plan_of_graph(gpu: &Gpu, graph: &Graph) -> Result<Plan, EngineError> {
    let lower = LowerOptions { target: gpu.target(), activations: Elem::F32 };
    let capacity = Symbol::new("capacity");
    let (caches, kept, stepping) = Default::default();
    Plan::new(graph, &PlanOptions { lower, caches, kept, capacity, stepping })
}

/// Runs every operator's cases, and `more`, by each kernel to choose whose name begins with `word`; returns how many runs
/// there were, and what was wrong.
#[must_use]
pub fn check_variants(gpu: &Gpu, word: &str, more: Vec<Case>) -> (usize, Vec<String>) {
    let (mut run, mut wrong) = (0, Vec::new());
    for case in OPERATORS.iter().flat_map(|o| (o.cases)()).chain(more) {
        gpu.choose_by(Choices::default());
        let Ok(trial) = Trial::new(gpu.target(), &case, Elem::F32) else { continue };
        let [choice] = trial.choices() else { continue };
        for (round, name) in choice.candidates.iter().enumerate().filter(|(_, name)| name.starts_with(word)) {
            gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
            run += 1;
            if let Err(text) = check(gpu, &case, Elem::F32) {
                wrong.push(format!("{name}: {} / {}: {text}", case.op.name(), case.name));
            }
        }
    }
    gpu.choose_by(Choices::default());
    (run, wrong)
}
