//! How long every candidate kernel takes for the products of a layer, and how far its results are from those of the first:
//! `cargo run --release -p tests --example product_times -- [HIDDEN QKV GATED HEAD] [TOKENS] [f32|f16] [PROFILE] | sort`. The sizes are those
//! of Llama-2-7B by default; TOKENS are those of a chunk of prefill. The products run one after the other, so that
//! no cache holds the weights of the next. Weights are M0E4 in groups of 32; those of the head in 8 bits too.

use std::{error::Error, sync::Arc, time::Duration};

use engine::{
    dtype::DType,
    gpu::{Arena, Gpu, OpenOptions, Run, Weights},
    graph::{Fact, Graph, ValueId},
    host::{Fit, GroupSize, HostTensor, WeightFormat},
    op::{Choices, Elem, LowerOptions, Op, Slot, sample},
    ops::{
        gated::Activation, gated_linear::GatedLinear, heads_linear::HeadsLinear, linear::Linear, rope::Rope,
    },
    plan::{Plan, PlanOptions},
    weights::WeightSource,
};
use symbolic::{Bindings, Expr, Symbol};

const REPEAT: usize = 15;
const HEAD_DIM: usize = 64;
const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const AFFINE: WeightFormat = WeightFormat::Affine8 { group: GroupSize::G32 };

/// What is built up: a graph of independent products.
struct Products {
    graph: Graph,
    tokens: usize,
    seed: u64,
}

impl Products {
    fn input(&mut self, shape: &[usize]) -> ValueId {
        let fact = Fact::new(DType::F32, shape.iter().map(|d| Expr::from(*d)).collect());
        let id = self.graph.add_value(&format!("x{}", self.graph.inputs.len()), Some(fact));
        self.graph.inputs.push(id);
        id
    }

    /// Random numbers, after a million the same again.
    fn constant(&mut self, shape: &[usize]) -> ValueId {
        self.seed += 1;
        let some = sample::floats_in(&[1_000_003], self.seed, -0.5, 0.5).to_f32s();
        let values: Vec<f32> = some.iter().copied().cycle().take(shape.iter().product()).collect();
        let tensor = HostTensor::from_f32(shape.to_vec(), &values).expect("as many as the shape says");
        self.graph.add_constant(&format!("w{}", self.seed), tensor)
    }

    fn add(&mut self, name: String, op: impl Op, inputs: &[Option<ValueId>], outputs: usize) {
        let outputs: Vec<_> =
            (0..outputs).map(|i| self.graph.add_value(&format!("{name} {i}"), None)).collect();
        self.graph.outputs.extend(&outputs);
        let (op, inputs) = (Arc::new(op), inputs.to_vec());
        self.graph.nodes.push(engine::graph::Node { name, op, inputs, outputs });
    }

    /// The products of a layer and of the head, for one token and for many.
    fn layer(&mut self, [hidden, qkv, gated, head]: [usize; 4]) {
        let [heads, gates, vocabulary] =
            [[qkv, hidden], [gated, hidden], [head, hidden]].map(|s| self.constant(&s));
        let (out, down) = (self.constant(&[hidden, hidden]), self.constant(&[hidden, gated / 2]));
        let gain = Some(self.constant(&[hidden]));
        let epsilon = Some(1e-5);
        for tokens in [1, self.tokens] {
            let x = Some(self.input(&[1, tokens, hidden]));
            let residual = Some(self.input(&[1, tokens, hidden]));
            let middle = Some(self.input(&[1, tokens, gated / 2]));
            let table = Some(self.input(&[1, tokens, HEAD_DIM]));
            let kv = (qkv - hidden) / 2 / HEAD_DIM;
            let rope = Rope { interleaved: false, rotary_dim: HEAD_DIM, full_table: false };
            let heads_of = [hidden / HEAD_DIM, kv, kv];
            let product = HeadsLinear {
                format: M0E4,
                heads: heads_of,
                head_dim: HEAD_DIM,
                turn: Some((rope, 2)),
                in_rows: false,
                epsilon,
                head_epsilon: None,
            };
            self.add(format!("qkv {tokens}"), product, &[x, Some(heads), None, gain, table], 3);
            let plain = || Linear::new(M0E4, false);
            self.add(format!("out {tokens}"), plain(), &[x, Some(out), residual], 1);
            let product = GatedLinear { format: M0E4, activation: Activation::Silu, epsilon };
            self.add(format!("gate {tokens}"), product, &[x, Some(gates), None, gain], 1);
            self.add(format!("down {tokens}"), plain(), &[middle, Some(down), residual], 1);
            if tokens == 1 {
                let head = |format| Linear { epsilon, ..Linear::new(format, false) };
                let inputs = [x, Some(vocabulary), None, None, gain];
                self.add("head".to_owned(), head(M0E4), &inputs, 1);
                self.add("head8".to_owned(), head(AFFINE), &inputs, 1);
            }
        }
    }
}

fn plan_of(gpu: &Gpu, graph: &Graph, activations: Elem, round: usize) -> Result<Plan, Box<dyn Error>> {
    gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
    let lower = LowerOptions { target: gpu.target(), activations };
    let capacity = Symbol::new("capacity");
    let options = PlanOptions { lower, caches: Vec::new(), kept: Vec::new(), capacity, stepping: Vec::new() };
    Ok(Plan::new(graph, &options)?)
}

fn bytes_of(tensor: &HostTensor, elem: Elem) -> Vec<u8> {
    match elem {
        Elem::F16 => tensor.cast(DType::F16).data().to_vec(),
        _ => tensor.data().to_vec(),
    }
}

fn floats_of(bytes: &[u8], elem: Elem) -> Vec<f32> {
    match elem {
        Elem::F16 => bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

fn write_inputs(gpu: &Gpu, run: &Run) -> Result<(), Box<dyn Error>> {
    for (index, port) in run.plan().inputs.iter().enumerate() {
        let shape: Option<Vec<usize>> =
            port.view.shape().iter().map(|d| d.constant().and_then(|d| usize::try_from(d).ok())).collect();
        let values = sample::floats(&shape.unwrap_or_default(), 100 + index as u64);
        run.write(gpu, &port.name, &bytes_of(&values, port.view.elem))?;
    }
    Ok(())
}

/// Largest difference over the root of the mean square of what is right.
fn deviation(got: &[f32], want: &[f32]) -> f32 {
    let square = want.iter().map(|w| w * w).sum::<f32>() / want.len() as f32;
    tests::largest_difference(got, want) / square.sqrt()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    let sizes = numbers.get(..4).map_or([4096, 12288, 22016, 32000], |s| [s[0], s[1], s[2], s[3]]);
    let tokens = if numbers.len() == 1 { numbers[0] } else { numbers.get(4).copied().unwrap_or(512) };
    let activations = if words.iter().any(|w| w == "f16") { Elem::F16 } else { Elem::F32 };
    let mut gpu = Gpu::open(&OpenOptions::default())?;
    if let Some(profile) = words.iter().find_map(|word| devices::by_name(word).ok()) {
        gpu = gpu.acting_as(profile);
    }
    println!("{}, {activations:?}, {:?}", gpu.summary().adapter.name, gpu.peaks()?);
    let mut products = Products { graph: Graph::default(), tokens, seed: 0 };
    products.layer(sizes);
    let mut graph = products.graph;
    engine::infer::infer(&mut graph)?;
    let first = Arc::new(plan_of(&gpu, &graph, activations, 0)?);
    let source = WeightSource::Model(Fit::default());
    let weights = Weights::upload(&gpu, &[(&graph, &*first)], &source, &|_| {})?;
    let rounds = first.choices.iter().map(|c| c.candidates.len()).max().unwrap_or(1);
    let mut right: Vec<Vec<f32>> = Vec::new();
    for round in 0..rounds {
        let plan = Arc::new(plan_of(&gpu, &graph, activations, round)?);
        gpu.make_pipelines(&[&plan], &|_| {})?;
        let none = Bindings::new();
        let arena = Arena::new(&gpu, plan.arena_bytes(&none)?, &plan, &none)?;
        let run = Run::new(&gpu, &plan, &weights, &graph, &arena, &none, &none)?;
        write_inputs(&gpu, &run)?;
        let samples = (0..=REPEAT).map(|_| run.profile(&gpu)).collect::<Result<Vec<_>, _>>()?;
        // A run may leave other values where its inputs were.
        write_inputs(&gpu, &run)?;
        run.submit(&gpu)?;
        let got: Vec<Vec<f32>> = (plan.outputs.iter().enumerate())
            .map(|(i, port)| Ok(floats_of(&run.read(&gpu, i)?, port.view.elem)))
            .collect::<Result<_, engine::EngineError>>()?;
        if round == 0 {
            right.clone_from(&got);
        }
        let far: Vec<f32> = got.iter().zip(&right).map(|(got, want)| deviation(got, want)).collect();
        let mut at = 0;
        for (node, choice) in graph.nodes.iter().zip(&plan.choices) {
            let outputs = at..at + node.outputs.len();
            at = outputs.end;
            if round >= choice.candidates.len() {
                continue;
            }
            let times = samples[1..].iter().map(|times| times[choice.calls.clone()].iter().sum()).collect();
            let time = median(times);
            let many = if choice.problem.family.starts_with("gemm") { tokens } else { 0 };
            let rate = rate(&plan, &choice.calls, many, time);
            let deviation = far[outputs].iter().copied().fold(0.0, f32::max);
            let (micros, kernel) = (time.as_secs_f64() * 1e6, &choice.candidates[choice.taken]);
            println!("{:8} {micros:10.1} µs {rate:>14}  {deviation:.0e}  {kernel}", node.name);
        }
    }
    Ok(())
}

/// GB/s of weights for one token, Tflop/s for many.
fn rate(plan: &Plan, calls: &std::ops::Range<usize>, tokens: usize, time: Duration) -> String {
    let (mut bytes, mut flops) = (0, 0.0);
    for slot in plan.calls[calls.clone()].iter().flat_map(|call| &call.slots) {
        let Slot::Weight { weight, part, count, .. } = slot else { continue };
        let held = &plan.weights[weight.0 as usize];
        bytes += held.bytes(*part, *count);
        if *part == engine::op::WeightPart::Weight {
            flops += 2.0 * (count * held.k * tokens) as f64;
        }
    }
    let seconds = time.as_secs_f64();
    if tokens == 0 {
        format!("{:.0} GB/s", bytes as f64 / seconds / 1e9)
    } else {
        format!("{:.2} Tflop/s", flops / seconds / 1e12)
    }
}
