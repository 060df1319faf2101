//! What is known of plans: fusions, memory, dispatches, weights.

use std::collections::{BTreeMap, HashSet};

use engine::{
    EngineError,
    graph::Graph,
    language::{Prepared, Symbols},
    op::{LowerOptions, WeightPacking, WeightPart, WeightUse},
    passes::{self, PassOptions},
    plan::{Plan, PlanOptions},
};
use serde::Serialize;
use symbolic::{Bindings, Symbol};

use super::explain::Calls;

/// Characters of an arena's expression that are shown.
const SHOWN: usize = 200;
/// Weights that are listed by themselves.
const LARGEST: usize = 5;
/// Prompt lengths that are told of.
const PREFILLS: [usize; 3] = [1, 64, 512];
/// Cache lengths that are told of.
const PASTS: [usize; 3] = [0, 100, 2000];

/// A pattern, how often it applied, and why it did not.
#[derive(Debug, Serialize)]
pub(super) struct Fusion {
    pub pattern: String,
    pub applied: usize,
    pub refused: Vec<Refused>,
}

/// Places that were refused for one reason.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub reason: String,
    pub nodes: usize,
    pub example: String,
    /// The line of the graph where the first of them did not fit.
    pub line: String,
}

impl Fusion {
    /// What a run of the passes did.
    pub fn all(report: &passes::Report) -> Vec<Self> {
        let mut all: BTreeMap<&str, (usize, Vec<Refused>)> =
            report.applied.iter().map(|(pattern, n)| (*pattern, (*n, Vec::new()))).collect();
        for refusal in &report.refused {
            let reasons = &mut all.entry(refusal.pattern).or_default().1;
            match reasons.iter_mut().find(|r| r.reason == refusal.reason) {
                Some(known) => known.nodes += 1,
                None => reasons.push(Refused {
                    reason: refusal.reason.clone(),
                    nodes: 1,
                    example: refusal.node.clone(),
                    line: refusal.line.clone(),
                }),
            }
        }
        let fusion =
            |(pattern, (applied, refused)): (&str, _)| Self { pattern: pattern.to_owned(), applied, refused };
        all.into_iter().map(fusion).collect()
    }
}

/// One plan.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport {
    pub phase: &'static str,
    pub dispatches: usize,
    pub arena: String,
    pub sizes: Vec<Sizes>,
    pub calls: Vec<Calls>,
}

/// The arena at one binding.
#[derive(Debug, Serialize)]
pub(super) struct Sizes {
    pub at: String,
    pub arena_bytes: u64,
    /// The most that is alive at once.
    pub lower_bound_bytes: u64,
    pub ratio: f64,
}

impl Sizes {
    fn of(plan: &Plan, at: String, bindings: &Bindings) -> Result<Self, EngineError> {
        let (arena, bound) = (plan.arena_bytes(bindings)?, plan.lower_bound(bindings)?);
        let ratio = arena as f64 / bound.max(1) as f64;
        Ok(Self { at, arena_bytes: arena, lower_bound_bytes: bound, ratio })
    }
}

/// Prefill at the usual lengths as far as the chunk goes, decode at the usual pasts.
pub(super) fn of_phases(
    prefill: &Prepared,
    decode: &Prepared,
    chunk: usize,
    context: usize,
) -> Result<Vec<PlanReport>, EngineError> {
    let phase = |name, prepared: &Prepared, symbols: &Symbols, steps: &[(String, usize, usize)]| {
        let bind = |seq: usize, past: usize| {
            Bindings::new()
                .with(&symbols.seq, seq as i64)
                .with(&symbols.past, past as i64)
                .with(&symbols.capacity, context as i64)
        };
        let all: Vec<_> = steps.iter().map(|(at, seq, past)| (at.clone(), bind(*seq, *past))).collect();
        report(name, &prepared.graph, &prepared.plan, &all)
    };
    let prompts = PREFILLS.into_iter().filter(|n| *n <= chunk).map(|n| (format!("{n} tokens"), n, 0));
    let pasts = PASTS.into_iter().filter(|n| *n < context).map(|n| (format!("past {n}"), 1, n));
    Ok(vec![
        phase("prefill", prefill, &Symbols::new(chunk, context), &prompts.collect::<Vec<_>>())?,
        phase("decode", decode, &Symbols::new(1, context), &pasts.collect::<Vec<_>>())?,
    ])
}

/// A plan at some bindings, each under the name it is shown by.
fn report(
    phase: &'static str,
    graph: &Graph,
    plan: &Plan,
    bindings: &[(String, Bindings)],
) -> Result<PlanReport, EngineError> {
    let sizes = bindings.iter().map(|(at, bindings)| Sizes::of(plan, at.clone(), bindings));
    Ok(PlanReport {
        phase,
        dispatches: plan.dispatches(),
        arena: shortened(plan.arena.size.to_string()),
        sizes: sizes.collect::<Result<_, _>>()?,
        calls: Calls::all(graph, plan, bindings.first().map(|(_, b)| b))?,
    })
}

fn shortened(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The plan of a graph that is no language model; its arena in bytes where `sizes` give all symbols. A size that the plan
/// does not have is an error.
pub(super) fn whole_graph(
    graph: &Graph,
    lower: LowerOptions,
    options: &PassOptions,
    sizes: &[(String, i64)],
) -> Result<(PlanReport, Vec<Fusion>, Weights), EngineError> {
    let mut graph = graph.clone();
    let fusions = Fusion::all(&passes::run(&mut graph, options)?);
    let capacity = Symbol::new("capacity");
    let plan = Plan::new(
        &graph,
        &PlanOptions { lower, caches: Vec::new(), kept: Vec::new(), capacity, stepping: Vec::new() },
    )?;
    let symbols = plan.symbols();
    if let Some((name, _)) = sizes.iter().find(|(name, _)| symbols.iter().all(|s| s.name() != name)) {
        let known: Vec<&str> = symbols.iter().map(Symbol::name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let text = format!("--size {name}: the plan has no such size; it has {known}");
        return Err(EngineError::model("inspect", text));
    }
    let mut bindings = Bindings::new();
    let mut open = 0;
    for symbol in symbols {
        match sizes.iter().find(|(name, _)| name == symbol.name()) {
            Some((_, value)) => bindings.set(&symbol, *value),
            None => open += 1,
        }
    }
    let at = match bindings.iter().map(|(s, v)| format!("{s}={v}")).collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => "any size".to_owned(),
        given => given,
    };
    let known = if open == 0 { vec![(at, bindings)] } else { Vec::new() };
    let weights = Weights::of(&[(&graph, &plan)]);
    Ok((report("graph", &graph, &plan, &known)?, fusions, weights))
}

/// Constants as the device holds them.
#[derive(Debug, Serialize)]
pub(super) struct Weights {
    pub bytes: u64,
    pub by_format: Vec<FormatBytes>,
    pub largest: Vec<Weight>,
}

/// All weights of one format.
#[derive(Debug, Serialize)]
pub(super) struct FormatBytes {
    pub format: String,
    pub weights: usize,
    pub bytes: u64,
}

/// One weight.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Weight {
    pub name: String,
    pub format: String,
    /// `[n, k]` of a matrix, `[elements]` of plain data.
    pub shape: Vec<usize>,
    pub bytes: u64,
}

impl Weights {
    /// Those of several plans; what two share in one form is counted once.
    pub fn of(plans: &[(&Graph, &Plan)]) -> Self {
        let mut seen = HashSet::new();
        let mut all: Vec<Weight> = Vec::new();
        for (graph, plan) in plans {
            for wanted in &plan.weights {
                let name = graph.value(wanted.value).name.clone();
                if seen.insert((name.clone(), wanted.packing)) {
                    all.push(weight(name, wanted));
                }
            }
        }
        let mut formats: BTreeMap<String, FormatBytes> = BTreeMap::new();
        for each in &all {
            let entry = formats.entry(each.format.clone());
            let sum =
                entry.or_insert_with(|| FormatBytes { format: each.format.clone(), weights: 0, bytes: 0 });
            sum.weights += 1;
            sum.bytes += each.bytes;
        }
        let bytes = all.iter().map(|w| w.bytes).sum();
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
        all.truncate(LARGEST);
        Self { bytes, by_format: formats.into_values().collect(), largest: all }
    }
}

fn weight(name: String, wanted: &WeightUse) -> Weight {
    match wanted.packing {
        WeightPacking::Plain(elem) => Weight {
            name,
            format: format!("plain {}", elem.wgsl()),
            shape: vec![wanted.k],
            bytes: wanted.bytes(WeightPart::Weight, 1),
        },
        WeightPacking::Matrix { format, .. } => Weight {
            name,
            format: format.to_string(),
            shape: vec![wanted.n, wanted.k],
            bytes: wanted.bytes(WeightPart::Weight, wanted.n) + wanted.bytes(WeightPart::Scales, wanted.n),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Fusion, SHOWN, shortened};
    use engine::passes::{Refusal, Report};

    #[test]
    fn refusals_are_grouped_by_reason() {
        let refusal = |node: &str, reason: &str| Refusal {
            pattern: "Rope",
            node: node.to_owned(),
            reason: reason.to_owned(),
            line: format!("{node} = Concat(x)"),
        };
        let report = Report {
            applied: [("Rope", 2)].into(),
            refused: vec![refusal("a", "no cosine"), refusal("b", "odd head"), refusal("c", "no cosine")],
        };
        let all = Fusion::all(&report);
        let [rope] = all.as_slice() else { panic!("{all:?}") };
        let found: Vec<_> =
            rope.refused.iter().map(|r| (r.reason.as_str(), r.nodes, r.line.as_str())).collect();
        assert_eq!(found, [("no cosine", 2, "a = Concat(x)"), ("odd head", 1, "b = Concat(x)")]);
        assert_eq!(rope.applied, 2);
    }

    #[test]
    fn long_expressions_are_cut() {
        assert_eq!(shortened("64*seq".to_owned()), "64*seq");
        assert_eq!(shortened("é".repeat(SHOWN + 5)).chars().count(), SHOWN + 1);
    }
}
