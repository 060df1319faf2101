//! Every operator's cases without a GPU: inference agrees with the reference, and lowering makes a plan.

#![allow(clippy::panic)] // a test's way to fail

use std::sync::Arc;

use devices::{Decode, DecodeShape, IntegerDot, Prefill};
use engine::{
    graph::{Graph, Node},
    infer::infer,
    op::{Case, Elem, LowerOptions, Target},
    ops::OPERATORS,
    plan::{Plan, PlanOptions},
};
use symbolic::{Expr, Symbol};

fn all_cases() -> impl Iterator<Item = Case> {
    OPERATORS.iter().flat_map(|operator| (operator.cases)())
}

/// The graph of one node. Inputs that are not constants come without content, unless `known`.
fn graph_of(case: &Case, known: bool) -> Graph {
    let mut graph = Graph::default();
    let mut ids = Vec::new();
    for (index, tensor) in case.inputs.iter().enumerate() {
        ids.push(tensor.as_ref().map(|tensor| {
            let name = format!("input{index}");
            if case.constants.contains(&index) {
                return graph.add_constant(&name, tensor.clone());
            }
            let mut fact = engine::op::fact_of(tensor);
            if !known {
                fact.content = None;
            }
            let id = graph.add_value(&name, Some(fact));
            graph.inputs.push(id);
            id
        }));
    }
    let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let count = case.op.reference(&hosts).unwrap_or_else(|e| panic!("{}: {e}", label(case))).len();
    let outputs: Vec<_> = (0..count).map(|i| graph.add_value(&format!("output{i}"), None)).collect();
    graph.outputs.clone_from(&outputs);
    graph.nodes.push(Node { name: case.name.clone(), op: case.op.clone(), inputs: ids, outputs });
    graph
}

fn label(case: &Case) -> String {
    format!("{} / {}", case.op.name(), case.name)
}

#[test]
fn inference_agrees_with_the_reference() {
    for case in all_cases() {
        for known in [false, true] {
            let mut graph = graph_of(&case, known);
            infer(&mut graph).unwrap_or_else(|e| panic!("{}: {e}", label(&case)));
            let hosts: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
            for (id, want) in graph.outputs.iter().zip(case.op.reference(&hosts).unwrap()) {
                let fact = graph.fact(*id).unwrap();
                let shape: Vec<Expr> = want.shape().iter().map(|d| Expr::from(*d)).collect();
                assert_eq!((fact.dtype, &fact.shape), (want.dtype(), &shape), "{}", label(&case));
                if let Some(content) = &fact.content {
                    let numbers: Vec<Expr> = want.to_i64s().into_iter().map(Expr::from).collect();
                    assert_eq!(**content, *numbers, "{}", label(&case));
                }
            }
        }
    }
}

#[test]
fn names_are_unique_in_their_file() {
    for operator in OPERATORS {
        let mut names: Vec<String> = (operator.cases)().iter().map(label).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{:?}", names.first());
        assert!(count > 0, "{operator:?} has no cases");
    }
}

#[test]
fn every_case_can_be_planned() {
    let mut wrong = Vec::new();
    for (activations, subgroups, shape, tokens, integer_products) in [
        (Elem::F32, false, DecodeShape::LanesAlongK, 8, false),
        (Elem::F32, true, DecodeShape::RowPerLane, 4, false),
        (Elem::F16, true, DecodeShape::LanesAlongK, 2, false),
        (Elem::F16, true, DecodeShape::LanesAlongK, 2, true),
        (Elem::F32, false, DecodeShape::LanesAlongK, 8, true),
    ] {
        let f16 = activations == Elem::F16;
        let decode = Decode { shape, threads: 64, stages_norm: tokens == 2, columns_in_bytes: 32 };
        let prefill = Prefill { tokens, outputs: 4, workgroup: [16, 4], at_once: 8 };
        let (max_binding, max_slots) = (1 << 27, if subgroups { 8 } else { 32 });
        let target = Target {
            f16,
            integer_products,
            integer_dot: if f16 { IntegerDot::Unsigned } else { IntegerDot::Signed },
            coop: None,
            subgroups,
            octets: subgroups,
            max_binding,
            max_slots,
            weights: devices::WeightMemory::Buffer,
            max_texture: 8192,
            decode,
            prefill,
            subgroup_size: if subgroups { 8 } else { 1 },
            max_threads: 256,
            max_shared: 16 << 10,
            avoid_workgroups: &[],
            choices: Arc::default(),
        };
        for case in all_cases() {
            let mut graph = graph_of(&case, false);
            infer(&mut graph).unwrap();
            let lower = LowerOptions { target: target.clone(), activations };
            let capacity = Symbol::new("capacity");
            let options =
                PlanOptions { lower, caches: Vec::new(), kept: Vec::new(), capacity, stepping: Vec::new() };
            let planned =
                Plan::new(&graph, &options).and_then(|plan| plan.bind(&symbolic::Bindings::new(), 256));
            if let Err(e) = planned {
                wrong.push(format!("{}, {activations:?}: {e}", label(&case)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
