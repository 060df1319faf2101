//! Operators' cases by the kernels that there are to choose from.

use std::sync::Arc;

use engine::{
    EngineError,
    gpu::{Arena, Gpu, Run, Weights},
    graph::Graph,
    host::Fit,
    op::{Case, Choices, Elem, LowerOptions},
    ops::OPERATORS,
    plan::{Plan, PlanOptions},
    qualify::{Trial, check, in_half},
    weights::WeightSource,
};
use symbolic::{Bindings, Symbol};

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

/// A run of a plan in memory of its own, with the weights that its graph has.
///
/// # Errors
/// When a weight cannot be packed, or the device has no room.
pub fn run_of_plan(
    gpu: &Gpu,
    graph: &Graph,
    plan: &Arc<Plan>,
    bindings: &Bindings,
) -> Result<Run, EngineError> {
    let source = WeightSource::Model(Fit::Search);
    let weights = Weights::upload(gpu, &[(graph, &**plan)], &source, &|_| {})?;
    let arena = Arena::new(gpu, plan.arena_bytes(bindings)?, plan, bindings)?;
    Run::new(gpu, plan, &weights, graph, &arena, bindings, bindings)
}

/// Runs `more` and every operator's cases, with activations in f32 or f16, by kernels to choose whose names begin with `word`:
/// each case by as many as `most`, the next ones for the next case. Returns how many runs there were, and what was wrong.
#[must_use]
pub fn check_variants(
    gpu: &Gpu,
    activations: Elem,
    word: &str,
    more: Vec<Case>,
    most: usize,
) -> (usize, Vec<String>) {
    let (mut run, mut wrong) = (0, Vec::new());
    for case in more.into_iter().chain(OPERATORS.iter().flat_map(|o| (o.cases)())) {
        let Some(case) = (if activations == Elem::F16 { in_half(case) } else { Some(case) }) else {
            continue;
        };
        gpu.choose_by(Choices::default());
        let Ok(trial) = Trial::new(gpu.target(), &case, activations) else { continue };
        let [choice] = trial.choices() else { continue };
        let names: Vec<_> =
            choice.candidates.iter().enumerate().filter(|(_, n)| n.starts_with(word)).collect();
        for (round, name) in names.iter().cycle().skip(run).take(most.min(names.len())) {
            gpu.choose_by(Choices { round: Some(*round), ..Choices::default() });
            run += 1;
            if let Err(text) = check(gpu, &case, activations) {
                wrong.push(format!("{name}: {} / {}: {text}", case.op.name(), case.name));
            }
        }
    }
    gpu.choose_by(Choices::default());
    (run, wrong)
}
