//! Where the time of steps goes: by kernel with its bytes and operations as the plan tells them, by operator and layer, and
//! call by call.

use std::{collections::BTreeMap, time::Duration};

use engine::{
    EngineError,
    gpu::Clock,
    graph::Graph,
    op::{RootKind, Slot, WeightPacking, WeightPart},
    plan::{Call, Plan, Work},
    session::Session,
};
use serde::{Deserialize, Serialize};

use crate::{Kind, Profile, cost::COOPERATIVE, measure::tokens_of};

/// One call of a kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallTime {
    /// The node that it is for.
    pub node: String,
    /// The kernel with what it is made for, as in [`KernelTime::kernel`].
    pub kernel: String,
    /// Seconds: the median of the repetitions.
    pub seconds: f64,
}

/// The calls of one kernel for matrices of one size, in one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelTime {
    /// The kernel and, for a product, the weights' format and the matrix, `[rows, columns]`.
    pub kernel: String,
    /// Calls in a step.
    pub calls: usize,
    /// Seconds of all of them: the median of the repetitions.
    pub seconds: f64,
    /// Bytes that they have to move.
    pub bytes: u64,
    /// Operations that they have to do.
    pub flops: u64,
    /// Those of them that cooperative matrices do.
    pub coop_flops: u64,
}

/// The calls of one operator in one layer, in one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperatorTime {
    /// Its name.
    pub operator: String,
    /// The layer that its nodes' names tell; nothing where they tell none.
    pub layer: Option<u32>,
    /// Calls in a step.
    pub calls: usize,
    /// Seconds of all of them: the median of the repetitions.
    pub seconds: f64,
}

/// A decode step, or a chunk of prefill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which of the two.
    pub kind: Kind,
    /// Tokens of the step.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// By kernel, the longest first.
    pub kernels: Vec<KernelTime>,
    /// By operator and layer, in the order of the step.
    pub operators: Vec<OperatorTime>,
    /// Call by call.
    pub calls: Vec<CallTime>,
}

/// Steps to look at.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Tokens of a chunk of prefill; 0 for none.
    pub prefill: usize,
    /// Tokens in the cache before each.
    pub depths: Vec<usize>,
    /// Repetitions that count; one more goes before.
    pub repeat: usize,
}

/// Takes the times of a chunk of prefill and a step of decode at each depth, in a session whose content is lost.
///
/// # Errors
/// When the session has no room for them, or the GPU fails.
pub fn profile(session: &mut Session, steps: &Steps) -> Result<Profile, EngineError> {
    let gpu_clock = session.model().gpu().clock() == Clock::Timestamps;
    let chunk = steps.prefill.min(session.chunk());
    let mut phases = Vec::new();
    for depth in &steps.depths {
        for (kind, tokens) in [(Kind::Prefill, chunk), (Kind::Decode, 1)] {
            // A chunk of one token would be a step of decode.
            if kind == Kind::Decode || tokens > 1 {
                let trials = trials(session, tokens, *depth, steps.repeat)?;
                phases.push(phase(session, kind, tokens, *depth, &trials)?);
            }
        }
    }
    Ok(Profile { gpu_clock, phases })
}

/// Seconds of each call, repetition by repetition.
fn trials(
    session: &mut Session,
    tokens: usize,
    depth: usize,
    repeat: usize,
) -> Result<Vec<Vec<f64>>, EngineError> {
    let text = tokens_of(depth + tokens);
    let mut trials = Vec::new();
    for repetition in 0..=repeat.max(1) {
        let left = session.truncate(depth);
        for part in text[left..depth].chunks(session.chunk()) {
            session.run(part)?;
        }
        let times = session.profile(&text[depth..])?;
        if repetition > 0 {
            trials.push(times.iter().map(Duration::as_secs_f64).collect());
        }
    }
    Ok(trials)
}

fn phase(
    session: &Session,
    kind: Kind,
    tokens: usize,
    depth: usize,
    trials: &[Vec<f64>],
) -> Result<PhaseTime, EngineError> {
    let model = session.model();
    let decode = kind == Kind::Decode;
    let plan = model.plan(decode);
    let bindings = model.bindings(tokens, depth, session.capacity());
    let operator_of: BTreeMap<&str, &str> =
        model.graph(decode).nodes.iter().map(|node| (node.name.as_str(), node.op.name())).collect();
    let layers = layers(model.graph(decode), plan);
    let (mut kernels, mut operators) = (BTreeMap::new(), Vec::new());
    let mut calls = Vec::with_capacity(plan.calls.len());
    for (index, call) in plan.calls.iter().enumerate() {
        if call.grid.is_empty(&bindings)? {
            continue;
        }
        let times = trials.iter().map(|trial| trial[index]);
        let work = plan.work(index, &bindings)?;
        let kernel = label(plan, call);
        let group: &mut Group = kernels.entry(kernel.clone()).or_default();
        group.add(work, times.clone());
        let operator = operator_of.get(call.node.as_str()).copied().unwrap_or_default();
        let key = (operator, layers[index]);
        match operators.iter_mut().find(|(known, _): &&mut (_, Group)| *known == key) {
            Some((_, group)) => group.add(work, times.clone()),
            None => {
                let mut group = Group::default();
                group.add(work, times.clone());
                operators.push((key, group));
            }
        }
        calls.push(CallTime { node: call.node.clone(), kernel, seconds: median(times.collect()) });
    }
    let mut kernels: Vec<KernelTime> = kernels
        .into_iter()
        .map(|(kernel, Group { calls, work: Work { bytes, flops }, times })| {
            let coop_flops = if kernel.starts_with(COOPERATIVE) { flops } else { 0 };
            KernelTime { kernel, calls, seconds: median(times), bytes, flops, coop_flops }
        })
        .collect();
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let operators = operators.into_iter().map(|((operator, layer), Group { calls, times, .. })| {
        OperatorTime { operator: operator.to_owned(), layer, calls, seconds: median(times) }
    });
    Ok(PhaseTime { kind, tokens, depth, kernels, operators: operators.collect(), calls })
}

/// Calls that are counted together.
#[derive(Debug, Default)]
struct Group {
    calls: usize,
    work: Work,
    /// Seconds of all of them, repetition by repetition.
    times: Vec<f64>,
}

impl Group {
    fn add(&mut self, work: Work, times: impl ExactSizeIterator<Item = f64>) {
        self.calls += 1;
        self.work = [self.work, work].into_iter().sum();
        self.times.resize(times.len(), 0.0);
        self.times.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// The layer of each call: what the name of its node or of a weight that it reads tells. A call whose names tell nothing is in
/// the layer of the one before it; one that reads a weight which is a module's, and of no layer, as a norm behind the last of
/// them, is in none.
fn layers(graph: &Graph, plan: &Plan) -> Vec<Option<u32>> {
    let mut now = None;
    let told = |call: &Call| {
        let weights = call.slots.iter().filter_map(|slot| match slot {
            Slot::Weight { weight, .. } => Some(*weight),
            Slot::View(view) => match plan.roots.get(view.root.0 as usize)?.kind {
                RootKind::Constant(weight) => Some(weight),
                _ => None,
            },
        });
        let names: Vec<&str> =
            weights.map(|weight| graph.value(plan.weights[weight.0 as usize].value).name.as_str()).collect();
        let layer = [call.node.as_str()].iter().chain(&names).find_map(|name| layer(name));
        // Exporters number what they have folded or transposed; the path of a module's parameter has dots.
        (layer, layer.is_some() || names.iter().any(|name| name.contains('.')))
    };
    let mut of = |call| {
        if let (layer, true) = told(call) {
            now = layer;
        }
        now
    };
    plan.calls.iter().map(&mut of).collect()
}

/// The layer that a name tells: the first number that is a part of it by itself, as in `/model/layers.3/mlp` or
/// `model_layers_3_mlp`.
fn layer(node: &str) -> Option<u32> {
    let mut parts = node.split(|c: char| !c.is_ascii_alphanumeric());
    let named = |part: &str| ["layers", "layer", "h", "blocks", "block"].contains(&part);
    while let Some(part) = parts.next() {
        if named(part) {
            return parts.next()?.parse().ok();
        }
    }
    None
}

/// A kernel with what it is made for; calls that differ in nothing of it are one line.
fn label(plan: &Plan, call: &Call) -> String {
    let mut label = call.spec.kernel().to_owned();
    if let Some(op) = call.spec.choice("OP") {
        label = format!("{label} {op}");
    }
    for slot in &call.slots {
        if let Slot::Weight { weight, part: WeightPart::Weight, count, .. } = slot {
            let weight = &plan.weights[weight.0 as usize];
            if let WeightPacking::Matrix { format, .. } = weight.packing {
                label = format!("{label} {format} [{count}, {}]", weight.k);
            }
        }
    }
    label
}

impl PhaseTime {
    /// Of all kernels.
    #[must_use]
    pub fn total(&self) -> KernelTime {
        let kernel = "all".to_owned();
        let mut all = KernelTime { kernel, calls: 0, seconds: 0.0, bytes: 0, flops: 0, coop_flops: 0 };
        for kernel in &self.kernels {
            all.calls += kernel.calls;
            all.seconds += kernel.seconds;
            all.bytes += kernel.bytes;
            all.flops += kernel.flops;
            all.coop_flops += kernel.coop_flops;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use engine::{
        graph::Graph,
        host::WeightFormat,
        language::{LanguageModel, LanguageOptions, Phase},
        op::{Elem, LowerOptions},
        passes::{PassOptions, WeightFormats},
        plan::Plan,
    };

    use super::{layer, layers};
    use crate::models;

    /// A decode step of a known model with so many layers.
    fn decode(layers: usize) -> (Graph, Plan) {
        let known = models::named("llama3.2-1b").unwrap();
        let architecture = models::Architecture { layers, ..known.architecture.clone() };
        let model = LanguageModel::recognise(architecture.open(known.name, 0).unwrap().graph).unwrap();
        let target = devices::Target::from_profile(devices::by_name("adreno-750").unwrap());
        let options = LanguageOptions {
            lower: LowerOptions { target: (&target).into(), activations: Elem::F32 },
            passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F16), fuse: true },
            context: 64,
            cache: Elem::F32,
            padding: false,
            all_logits: false,
        };
        let prepared = model.prepare(Phase::Decode, &options).unwrap();
        (prepared.graph, prepared.plan)
    }

    #[test]
    fn calls_are_in_the_layers_that_names_tell() {
        let (mut graph, mut plan) = decode(3);
        let told = layers(&graph, &plan);
        assert_eq!((told.first(), told.last()), (Some(&None), Some(&None)), "{told:?}");
        // The first layer has the tables of rotary positions too.
        let counts = [0, 1, 2].map(|at| told.iter().filter(|layer| **layer == Some(at)).count());
        assert_eq!(counts, [10, 6, 6], "{told:?}");
        // A packed model has names of its own for its nodes, and for matrices that were merged or transposed.
        for call in plan.calls.iter_mut().filter(|call| !call.spec.kernel().starts_with("elementwise")) {
            call.node = "node_12".to_owned();
        }
        for (at, value) in graph.values.iter_mut().enumerate().filter(|(_, v)| v.name.contains("proj")) {
            value.name = format!("val_{at}");
        }
        assert_eq!(layers(&graph, &plan), told);
    }

    #[test]
    fn names_tell_layers() {
        let told = [
            ("/model/layers.3/self_attn/q_proj/MatMul", Some(3)),
            ("/model/layers.29/mlp + /model/layers.29/up", Some(29)),
            ("node_model_layers_11_mlp", Some(11)),
            ("/transformer/h.7/attn", Some(7)),
            ("/lm_head/MatMul", None),
            ("/model/layers/x", None),
        ];
        for (name, wanted) in told {
            assert_eq!(layer(name), wanted, "{name}");
        }
    }
}
