//! Every operator's cases: the GPU against the reference.

use std::sync::Arc;

use engine::{
    dtype::DType,
    gpu::{Gpu, OpenOptions},
    graph::{Fact, Graph},
    op::{Case, Choices, Elem, LowerOptions},
    ops::{OPERATORS, binary::Binary, range::Range},
    plan::{Plan, PlanOptions},
    qualify::{Trial, check, in_half},
};
use symbolic::{Bindings, Expr, Symbol};

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

#[test]
fn every_case_in_half_precision_is_near() {
    let gpu = tests::gpu();
    if !gpu.target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    let (mut run, mut wrong) = (0, Vec::new());
    for case in OPERATORS.iter().flat_map(|o| (o.cases)()).filter_map(in_half) {
        run += 1;
        if let Err(text) = check(&gpu, &case, Elem::F16) {
            wrong.push(format!("{} / {}: {text}", case.op.name(), case.name));
        }
    }
    assert!(run > 800, "only {run} cases");
    assert!(wrong.is_empty(), "{} of {run} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_way_to_attend_gives_the_reference() {
    let cases: Vec<Case> =
        OPERATORS.iter().flat_map(|o| (o.cases)()).filter(|case| case.op.name() == "Attention").collect();
    assert!(cases.len() > 20);
    let halves: Vec<Case> = cases.iter().cloned().filter_map(in_half).collect();
    let large = devices::by_name("nvidia").unwrap();
    let open = || Gpu::open(&OpenOptions::default()).unwrap();
    let mut wrong = Vec::new();
    for (gpu, activations, cases) in
        [(open(), Elem::F32, &cases), (open().acting_as(large), Elem::F16, &halves)]
    {
        for round in 0..10 {
            gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
            for case in cases {
                if let Err(text) = check(&gpu, case, activations) {
                    wrong.push(format!("{activations:?}, round {round}, {}: {text}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The plan of a case as one kind of device would have it.
fn plan_of(gpu: &Gpu, case: &Case) -> String {
    Trial::new(gpu.target(), case, Elem::F32).map_or_else(|e| e.to_string(), |trial| trial.plan().to_string())
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
    let run = tests::run_of_plan(&gpu, &graph, &plan, &bindings).unwrap();
    let words = |values: [f32; 5]| values.map(f32::to_le_bytes).concat();
    run.write(&gpu, "x", &words([1.0, 2.0, 1.0, 1.0, 0.5])).unwrap();
    run.submit(&gpu).unwrap();
    assert_eq!(run.read(&gpu, 0).unwrap()[..20], words([-5.0, -8.0, -3.0, -2.0, -0.5]));
}
