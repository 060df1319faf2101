//! What a token costs in dispatches, for each exporter's models of two layers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use engine::{language::Phase, op::WeightPacking};

use crate::fusions::{models, prepare};

/// The kernels that decode calls, by the operators they are for. `INSTA_UPDATE=always` writes them anew.
#[test]
fn of_a_decode_step() {
    let mut all = String::new();
    for (name, model) in models() {
        let decode = prepare(&model, Phase::Decode, false).unwrap_or_else(|e| panic!("{name}: {e}"));
        let op = |node: &str| {
            let found = decode.graph.nodes.iter().find(|n| n.name == node);
            found.map_or("", |n| n.op.name())
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        decode.plan.calls.iter().for_each(|call| *counts.entry(op(&call.node)).or_default() += 1);
        let counts: Vec<String> = counts.iter().map(|(op, count)| format!("{count} {op}")).collect();
        writeln!(all, "{name}: {}: {}", decode.plan.calls.len(), counts.join(", ")).unwrap();
    }
    insta::assert_snapshot!(all);
}

/// A matrix that is merged in one phase alone would lie on the device twice.
#[test]
fn prefill_and_decode_read_the_same_matrices() {
    let mut wrong = Vec::new();
    for (name, model) in models() {
        let phases = [Phase::Prefill { chunk: 16 }, Phase::Decode]
            .map(|phase| prepare(&model, phase, false).unwrap_or_else(|e| panic!("{name}: {e}")));
        let [prefill, decode] = phases.each_ref().map(|phase| {
            let matrices =
                phase.plan.weights.iter().filter(|w| matches!(w.packing, WeightPacking::Matrix { .. }));
            matrices.map(|w| phase.graph.value(w.value).name.as_str()).collect::<BTreeSet<_>>()
        });
        if prefill != decode {
            let apart: Vec<_> = prefill.symmetric_difference(&decode).collect();
            wrong.push(format!("{name}: {apart:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
