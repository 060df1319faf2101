//! KV caches in 8 bits: every kernel that writes or reads one gives what the reference gives of rounded keys and values, and
//! models with such caches go on as they began.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use engine::{
    EngineError,
    gpu::{Gpu, OpenOptions},
    graph::{Graph, ValueId},
    host::{HostTensor, f8},
    op::{Case, Choices, Elem, LowerOptions, Target, fact_of, sample},
    open::ModelFile,
    ops::{attention, heads_linear, heads_linear::HeadsLinear, tensor_scatter::TensorScatter},
    plan::{Cache, Plan, PlanOptions},
    session::Session,
    weights::{held, tensor},
};
use symbolic::{Bindings, Symbol};
use tests::{Choices as Loading, Expected, gpu, largest_difference, load, load_on, models, run_of_plan};

const PROFILES: [&str; 6] = ["lavapipe", "nvidia", "adreno-750", "adreno-830", "mali-g720", "apple-m1"];

/// A graph with two caches, and what it is given.
#[derive(Default)]
struct Held {
    graph: Graph,
    inputs: Vec<(String, HostTensor)>,
    caches: Vec<Cache>,
}

impl Held {
    fn input(&mut self, name: &str, tensor: &HostTensor) -> ValueId {
        let mut fact = fact_of(tensor);
        fact.content = None;
        let id = self.graph.add_value(name, Some(fact));
        self.graph.inputs.push(id);
        self.inputs.push((name.to_owned(), tensor.clone()));
        id
    }

    /// The inputs of a case.
    fn inputs(&mut self, case: &Case) -> Vec<Option<ValueId>> {
        let id = |(index, tensor): (usize, &Option<HostTensor>)| {
            let (tensor, name) = (tensor.as_ref()?, format!("input{index}"));
            Some(match case.constants.contains(&index) {
                true => self.graph.add_constant(&name, tensor.clone()),
                false => self.input(&name, tensor),
            })
        };
        case.inputs.iter().enumerate().map(id).collect()
    }

    /// A cache of four dimensions that holds all of a value.
    fn cache(&mut self, value: ValueId, like: &HostTensor) -> ValueId {
        let name = format!("past{}", self.caches.len());
        let past = self.graph.add_value(&name, Some(fact_of(like)));
        self.graph.inputs.push(past);
        let op = TensorScatter { axis: 2, circular: false, start: Some(0.into()) };
        let present =
            self.graph.add_node(&format!("of {name}"), Arc::new(op), vec![Some(past), Some(value)], None);
        self.caches.push(Cache { past, present, axis: 2, elem: Elem::F8, in_rows: false });
        present
    }

    fn plan(&mut self, target: Target, activations: Elem) -> Result<Plan, EngineError> {
        self.graph.outputs.extend(self.caches.iter().map(|cache| cache.present));
        engine::infer::infer(&mut self.graph)?;
        let lower = LowerOptions { target, activations };
        let (caches, capacity) = (self.caches.clone(), Symbol::new("capacity"));
        Plan::new(&self.graph, &PlanOptions { lower, caches, kept: vec![], capacity, stepping: vec![] })
    }

    /// The first output, and the caches.
    fn run(&self, gpu: &Gpu, plan: &Arc<Plan>) -> Result<[Vec<f32>; 3], EngineError> {
        let run = run_of_plan(gpu, &self.graph, plan, &Bindings::new())?;
        for (name, tensor) in &self.inputs {
            if let Some(port) = plan.inputs.iter().find(|port| port.name == *name) {
                run.write(gpu, name, &held(name, tensor, port.view.elem)?)?;
            }
        }
        run.submit(gpu)?;
        let port = &plan.outputs[0];
        let shape = port.view.dims.iter().map(|dim| dim.size.constant().unwrap() as usize).collect();
        let out = tensor(&run.read(gpu, 0)?, port.view.elem, engine::dtype::DType::F32, shape)?;
        let cache = |index| run.cache(gpu, index).map(|(bytes, _)| f8::unpack(&bytes));
        Ok([out.to_f32s(), cache(0)?, cache(1)?])
    }
}

fn rounded(tensor: &HostTensor) -> HostTensor {
    let values: Vec<f32> = tensor.to_f32s().into_iter().map(f8::rounded).collect();
    HostTensor::from_f32(tensor.shape().to_vec(), &values).unwrap()
}

/// Runs every kernel that a profile would choose from for cases, `check` being told what came of each.
fn every_candidate(
    cases: &[Case],
    activations: Elem,
    make: impl Fn(&Case) -> Held,
    check: impl Fn(&Case, [Vec<f32>; 3]) -> Result<(), String>,
) {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for profile in PROFILES {
        let gpu = Gpu::open(&OpenOptions::default()).unwrap();
        let gpu = gpu.acting_as(devices::by_name(profile).unwrap());
        for case in cases {
            for round in 0.. {
                gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
                let mut made = make(case);
                let plan = made.plan(gpu.target(), activations);
                let plan = Arc::new(plan.unwrap_or_else(|e| panic!("{}: {e}", case.name)));
                let longest = plan.choices.iter().map(|choice| choice.candidates.len()).max().unwrap_or(1);
                if round >= longest {
                    break;
                }
                let kernels: Vec<String> = plan.calls.iter().map(|call| call.spec.to_string()).collect();
                // What one case has shown of a kernel holds for others: all else is as with other caches.
                if !seen.insert(kernels.join(", ")) {
                    continue;
                }
                let result = made.run(&gpu, &plan).map_err(|e| e.to_string());
                if let Err(text) = result.and_then(|got| check(case, got)) {
                    wrong.push(format!("{profile}: {} / {}: {text}", case.name, kernels.join(", ")));
                }
            }
        }
    }
    println!("{} kernels", seen.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}

fn near(got: &[f32], want: &[f32], absolute: f32, relative: f32) -> Result<(), String> {
    let apart = |(a, b): (&f32, &f32)| a.is_nan() || (a - b).abs() > absolute + relative * b.abs();
    match got.iter().zip(want).position(apart) {
        _ if got.len() != want.len() => Err(format!("{} numbers instead of {}", got.len(), want.len())),
        Some(at) => Err(format!("element {at}: {} instead of {}", got[at], want[at])),
        None => Ok(()),
    }
}

/// A case of attention whose keys and values are held.
fn attention_of(case: &Case) -> Held {
    let mut made = Held::default();
    let mut inputs = made.inputs(case);
    for input in [1, 2] {
        inputs[input] = inputs[input].zip(case.inputs[input].as_ref()).map(|(v, like)| made.cache(v, like));
    }
    let out = made.graph.add_node("attention", case.op.clone(), inputs, None);
    made.graph.outputs = vec![out];
    made
}

fn attends(activations: Elem, tolerance: f32) {
    let cases: Vec<Case> = (attention::OPERATOR.cases)().into_iter().filter(in_words).collect();
    every_candidate(&cases, activations, attention_of, |case, [out, k, v]| {
        let mut inputs = case.inputs.clone();
        for input in [1, 2] {
            inputs[input] = inputs[input].as_ref().map(rounded);
        }
        for (got, input) in [(k, 1), (v, 2)] {
            // Activations in f16 are rounded twice.
            let step = if activations == Elem::F16 { 1.0 / 8.0 } else { 0.0 };
            near(&got, &inputs[input].as_ref().unwrap().to_f32s(), 0.0, step)?;
        }
        let given: Vec<Option<&HostTensor>> = inputs.iter().map(Option::as_ref).collect();
        let want = case.op.reference(&given).map_err(|e| e.to_string())?;
        near(&out, &want[0].to_f32s(), tolerance, tolerance)
    });
}

/// Widths that are no multiple of 4 have no words.
fn in_words(case: &Case) -> bool {
    case.inputs[1].as_ref().is_some_and(|k| k.shape()[3] % 4 == 0)
}

#[test]
fn every_kernel_of_attention_reads_8_bits() {
    attends(Elem::F32, 1e-4);
}

#[test]
fn every_kernel_of_attention_reads_8_bits_beside_halves() {
    if !gpu().target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    attends(Elem::F16, 3e-2);
}

/// Products of heads, also with queries and keys in the order of rows where they are turned by halves.
fn products() -> Vec<Case> {
    let tried = |case: &Case| case.name.contains("m0e4-g32") || case.name.starts_with("f16");
    let cases = (heads_linear::OPERATOR.cases)().into_iter().filter(tried);
    let in_rows = |case: Case| {
        let op: &dyn std::any::Any = case.op.as_ref();
        let op = op.downcast_ref::<HeadsLinear>().unwrap().clone();
        let name = format!("{}, in rows", case.name);
        [Case { name, op: Arc::new(HeadsLinear { in_rows: true, ..op }), ..case.clone() }, case]
    };
    cases.flat_map(in_rows).collect()
}

fn writes(activations: Elem, tolerance: f32) {
    let make = |case: &Case| {
        let mut made = Held::default();
        let inputs = made.inputs(case);
        let hosts: Vec<Option<&HostTensor>> = case.inputs.iter().map(Option::as_ref).collect();
        let want = case.op.reference(&hosts).unwrap();
        let names = ["q", "k", "v"].map(|name| made.graph.add_value(name, None));
        let (name, op) = (case.name.clone(), case.op.clone());
        made.graph.nodes.push(engine::graph::Node { name, op, inputs, outputs: names.to_vec() });
        made.graph.outputs = vec![names[0]];
        made.cache(names[1], &want[1]);
        made.cache(names[2], &want[2]);
        made
    };
    every_candidate(&products(), activations, make, |case, [q, k, v]| {
        let hosts: Vec<Option<&HostTensor>> = case.inputs.iter().map(Option::as_ref).collect();
        let want = case.op.reference(&hosts).map_err(|e| e.to_string())?;
        near(&q, &want[0].to_f32s(), tolerance, tolerance)?;
        // To the nearest: half a step of 3 bits of mantissa, or of 2^-9.
        let half = tolerance + 2f32.powi(-10);
        near(&k, &want[1].to_f32s(), half, tolerance + 1.0 / 16.0)?;
        near(&v, &want[2].to_f32s(), half, tolerance + 1.0 / 16.0)
    });
}

#[test]
fn every_kernel_of_products_writes_8_bits() {
    writes(Elem::F32, 1e-4);
}

#[test]
fn every_kernel_of_products_writes_8_bits_beside_halves() {
    if !gpu().target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    writes(Elem::F16, 5e-2);
}

/// Of what writes single positions without knowing where, there are no words.
const CIRCULAR: &str = "circular24";

/// What the caches of the first layer hold of a prompt, sorted in each head: keys may be in another order.
fn first_layer(path: &Path, prompt: &[u32], choices: Loading) -> Result<[Vec<f32>; 2], EngineError> {
    let file = ModelFile::open(path)?;
    let model = load_on(&gpu(), &file, choices)?;
    let mut session = Session::new(model.clone(), model.context().min(64))?;
    for part in prompt.chunks(5) {
        let logits = session.run(part)?;
        assert!(logits.iter().all(|l| l.is_finite()), "{}", path.display());
    }
    let sorted = |index: usize| {
        let mut all = session.cache(index)?;
        all.chunks_mut(16).for_each(|head| head.sort_by(f32::total_cmp));
        Ok::<_, EngineError>(all)
    };
    Ok([sorted(0)?, sorted(1)?])
}

/// Only of the first layer is what is held that of another cache, rounded.
#[test]
fn models_of_every_form_of_cache_hold_rounded_keys_and_values() {
    for folder in models("caches").into_iter().chain(models("tiny_llama")) {
        let (name, path) = (folder.display(), folder.join("model.onnx"));
        let prompt = Expected::read(&folder.join("expected")).prompt;
        for fuse in [true, false] {
            let run = |cache| first_layer(&path, &prompt, Loading { fuse, cache, ..Loading::default() });
            match run(Elem::F8) {
                Err(e) if folder.ends_with(CIRCULAR) => {
                    let text = e.to_string();
                    assert!(text.contains("TensorScatter") && text.contains("in f16 or f32"), "{text}");
                }
                got => {
                    let (got, want) =
                        (got.unwrap_or_else(|e| panic!("{name}: {e}")), run(Elem::F32).unwrap());
                    for (got, want) in got.iter().zip(&want) {
                        let close = near(got, want, 2f32.powi(-10) + 1e-4, 1.0 / 16.0 + 1e-4);
                        close.unwrap_or_else(|e| panic!("{name} fused {fuse}: {e}"));
                    }
                }
            }
        }
    }
}

#[test]
fn any_split_of_a_prompt_gives_the_same_cache() {
    for folder in models("tiny_llama") {
        let expected = Expected::read(&folder.join("expected"));
        let choices = Loading { cache: Elem::F8, all_logits: false, ..Loading::default() };
        let model = load(&folder.join("model.onnx"), choices);
        let run = |chunk: usize| {
            let mut session = Session::new(model.clone(), 64).unwrap();
            let logits = expected.prompt.chunks(chunk).map(|part| session.run(part).unwrap()).last();
            (logits.unwrap(), (0..4).map(|i| session.cache(i).unwrap()).collect::<Vec<_>>())
        };
        let (whole, caches) = run(64);
        // One more than all but the last: a decode step follows.
        for chunk in [1, 2, 3, 5, expected.prompt.len() - 1] {
            let (logits, parts) = run(chunk);
            for (a, b) in parts.iter().zip(&caches) {
                // What lies half way between two numbers may go either way.
                let apart = a.iter().zip(b).filter(|(a, b)| a != b).count();
                assert!(apart * 200 <= a.len(), "{} in {chunk}s: {apart} of {}", folder.display(), a.len());
                near(a, b, 0.0, 1.0 / 7.0).unwrap();
            }
            let apart = largest_difference(&logits, &whole);
            assert!(apart < 1e-2, "{} in {chunk}s: {apart}", folder.display());
        }
    }
}

#[test]
fn a_key_that_is_no_number_is_seen_by_those_behind_it() {
    let (queries, keys, width) = (6, 6, 64);
    let mut k = sample::floats(&[1, 1, keys, width], 2).to_f32s();
    k[2 * width + 5] = f32::NAN;
    let k = HostTensor::from_f32(vec![1, 1, keys, width], &k).unwrap();
    let op =
        attention::Attention { scale: 0.125, softcap: 0.0, causal: Some(0.into()), window: None, keys: None };
    let inputs = [sample::floats(&[1, 1, queries, width], 1), k, sample::floats(&[1, 1, keys, width], 3)];
    let case = Case::new("NaN", op, inputs.map(Some).to_vec());
    every_candidate(&[case], Elem::F32, attention_of, |_, [out, ..]| {
        let seen: Vec<bool> = out.chunks(width).map(|row| row.iter().all(|v| v.is_nan())).collect();
        let blind: Vec<bool> = out.chunks(width).map(|row| row.iter().all(|v| v.is_finite())).collect();
        let right = (0..queries).all(|row| if row < 2 { blind[row] } else { seen[row] });
        if right { Ok(()) } else { Err(format!("NaN in rows {seen:?}")) }
    });
}
