//! Every operator's cases: the GPU against the reference.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    dtype::DType,
    gpu::{Arena, Gpu, OpenOptions, Run, Weights},
    graph::{Fact, Graph, Node},
    host::WeightFormat,
    infer_once::{OnceOptions, run_graph},
    op::{Case, Choices, Elem, LowerOptions, Tolerance},
    ops::{OPERATORS, binary::Binary, range::Range},
    passes::{PassOptions, WeightFormats},
    plan::{Plan, PlanOptions},
    weights::WeightSource,
};
use symbolic::{Bindings, Expr, Symbol};

/// The graph of one node, with what the case gives as inputs.
fn graph_of(case: &Case) -> (Graph, BTreeMap<String, engine::host::HostTensor>) {
    let mut graph = Graph::default();
    let mut inputs = BTreeMap::new();
    let mut ids = Vec::new();
    for (index, tensor) in case.inputs.iter().enumerate() {
        let Some(tensor) = tensor else {
            ids.push(None);
            continue;
        };
        let name = format!("input{index}");
        if case.constants.contains(&index) {
            ids.push(Some(graph.add_constant(&name, tensor.clone())));
        } else {
            let mut fact = engine::op::fact_of(tensor);
            fact.content = None;
            let id = graph.add_value(&name, Some(fact));
            graph.inputs.push(id);
            ids.push(Some(id));
            inputs.insert(name, tensor.clone());
        }
    }
    let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let count = case.op.reference(&hosts).unwrap_or_else(|e| panic!("{}: reference: {e}", case.name)).len();
    let outputs: Vec<_> = (0..count).map(|i| graph.add_value(&format!("output{i}"), None)).collect();
    graph.outputs.clone_from(&outputs);
    graph.nodes.push(Node { name: case.name.clone(), op: case.op.clone(), inputs: ids, outputs });
    (graph, inputs)
}

fn check(gpu: &Gpu, case: &Case, activations: Elem) -> Result<(), String> {
    let (mut graph, inputs) = graph_of(case);
    engine::infer::infer(&mut graph).map_err(|e| e.to_string())?;
    let options = OnceOptions {
        passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: false },
        activations,
    };
    let source = WeightSource::Model(engine::host::Fit::Search);
    let got = run_graph(gpu, graph, &source, &inputs, &options).map_err(|e| e.to_string())?;
    let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let want = case.op.reference(&hosts).map_err(|e| e.to_string())?;
    for (index, ((_, got), want)) in got.iter().zip(&want).enumerate() {
        if got.shape() != want.shape() || got.dtype() != want.dtype() {
            return Err(format!(
                "output {index} is {} {:?}, not {} {:?}",
                got.dtype(),
                got.shape(),
                want.dtype(),
                want.shape()
            ));
        }
        let tolerance = case.tolerance;
        for (at, (a, b)) in got.to_f64s().into_iter().zip(want.to_f64s()).enumerate() {
            let same = a == b || (a.is_nan() && b.is_nan());
            let close = (a - b).abs() <= tolerance.absolute + tolerance.relative * b.abs();
            if !same && !close {
                return Err(format!("output {index}, element {at}: {a} instead of {b}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_case_gives_the_reference() {
    let (mut run, mut wrong) = (0, Vec::new());
    for operator in OPERATORS {
        for case in (operator.cases)() {
            run += 1;
            if let Err(text) = check(&tests::gpu(), &case, Elem::F32) {
                wrong.push(format!("{} / {}: {text}", case.op.name(), case.name));
            }
        }
    }
    assert!(run > 100, "only {run} cases");
    assert!(wrong.is_empty(), "{} of {run} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether f16 holds a case's floats: none may be infinite there, and where the result is to be exact in f32, none rounded.
fn is_held_in_half(case: &Case) -> bool {
    let exact = case.tolerance.absolute == 0.0 && case.tolerance.relative == 0.0;
    let floats = case.inputs.iter().flatten().filter(|t| t.dtype().is_float());
    floats
        .flat_map(|t| t.to_f64s().into_iter().zip(t.cast(DType::F16).to_f64s()))
        .all(|(wide, half)| wide == half || wide.is_nan() || half.is_finite() && !exact)
}

#[test]
fn every_case_in_half_precision_is_near() {
    let gpu = tests::gpu();
    if !gpu.target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    let (mut run, mut wrong) = (0, Vec::new());
    for case in OPERATORS.iter().flat_map(|o| (o.cases)()).filter(is_held_in_half) {
        run += 1;
        let Tolerance { absolute, relative } = case.tolerance;
        let case = case.tolerance(Tolerance { absolute: absolute.max(1e-2), relative: relative.max(1e-2) });
        if let Err(text) = check(&gpu, &case, Elem::F16) {
            wrong.push(format!("{} / {}: {text}", case.op.name(), case.name));
        }
    }
    assert!(run > 800, "only {run} cases");
    assert!(wrong.is_empty(), "{} of {run} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_way_to_attend_gives_the_reference() {
    let gpu = Gpu::open(&OpenOptions::default()).unwrap();
    let cases: Vec<Case> =
        OPERATORS.iter().flat_map(|o| (o.cases)()).filter(|case| case.op.name() == "Attention").collect();
    assert!(cases.len() > 20);
    let mut wrong = Vec::new();
    for round in 0..10 {
        gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
        for case in &cases {
            if let Err(text) = check(&gpu, case, Elem::F32) {
                wrong.push(format!("round {round}, {}: {text}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The plan of a case as one kind of device would have it.
fn plan_of(gpu: &Gpu, case: &Case) -> String {
    let mut graph = graph_of(case).0;
    let lower = LowerOptions { target: gpu.target(), activations: Elem::F32 };
    let options = PlanOptions {
        lower,
        caches: Vec::new(),
        kept: Vec::new(),
        capacity: Symbol::new("capacity"),
        stepping: Vec::new(),
    };
    let plan = engine::infer::infer(&mut graph).and_then(|_| Plan::new(&graph, &options));
    plan.map_or_else(|e| e.to_string(), |plan| plan.to_string())
}

/// The kernels that other devices prefer, on the device of these tests: all that differ from its own.
#[test]
fn the_kernels_of_other_devices_give_the_reference() {
    let own = tests::gpu();
    let (mut run, mut wrong) = (0, Vec::new());
    for name in ["adreno-750", "mali-g720", "unknown"] {
        let profile = devices::by_name(name).unwrap();
        let gpu = Gpu::open(&OpenOptions::default()).unwrap().acting_as(profile);
        for case in OPERATORS.iter().flat_map(|o| (o.cases)()) {
            if plan_of(&gpu, &case) == plan_of(&own, &case) {
                continue;
            }
            run += 1;
            if let Err(text) = check(&gpu, &case, Elem::F32) {
                wrong.push(format!("{name}: {} / {}: {text}", case.op.name(), case.name));
            }
        }
    }
    assert!(run > 100, "only {run} cases");
    assert!(wrong.is_empty(), "{} of {run} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// `x [n]` times the range of floats `-n, -n + 1, ..`, which starts at a size.
#[test]
fn a_range_of_floats_starts_at_a_size() {
    let n = Symbol::new("n").with_range(1, 100);
    let mut graph = Graph::default();
    let x = graph.add_value("x", Some(Fact::new(DType::F32, vec![Expr::from(&n)])));
    graph.inputs.push(x);
    let known = |e: Expr| Some(Fact::known(DType::F32, vec![], vec![e]));
    let bounds = [-&Expr::from(&n), Expr::ZERO, Expr::ONE];
    let bounds = bounds.map(|e| Some(graph.add_value(&e.to_string(), known(e)))).to_vec();
    let places = graph.add_node("places", Arc::new(Range), bounds, None);
    let out = graph.add_node("out", Arc::new(Binary::Mul), vec![Some(x), Some(places)], None);
    graph.outputs.push(out);
    engine::infer::infer(&mut graph).unwrap();

    let gpu = tests::gpu();
    let lower = LowerOptions { target: gpu.target(), activations: Elem::F32 };
    let capacity = Symbol::new("capacity");
    let plan = Plan::new(
        &graph,
        &PlanOptions { lower, caches: Vec::new(), kept: Vec::new(), capacity, stepping: Vec::new() },
    );
    let plan = Arc::new(plan.unwrap());
    let bindings = Bindings::new().with(&n, 5);
    let source = WeightSource::Model(engine::host::Fit::Search);
    let weights = Weights::upload(&gpu, &[(&graph, &*plan)], &source, &|_| {}).unwrap();
    let arena = Arena::new(&gpu, plan.arena_bytes(&bindings).unwrap(), &plan, &bindings).unwrap();
    let run = Run::new(&gpu, &plan, &weights, &graph, &arena, &bindings, &bindings).unwrap();
    let words = |values: [f32; 5]| values.map(f32::to_le_bytes).concat();
    run.write(&gpu, "x", &words([1.0, 2.0, 1.0, 1.0, 0.5])).unwrap();
    run.submit(&gpu).unwrap();
    assert_eq!(run.read(&gpu, 0).unwrap()[..20], words([-5.0, -8.0, -3.0, -2.0, -0.5]));
}
