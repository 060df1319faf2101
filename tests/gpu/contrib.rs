//! ONNX Runtime's own operators against what that runtime computes, as `scripts/oracle/contrib_cases.py` recorded it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    graph::Graph,
    host::{Fit, HostTensor, WeightFormat},
    import,
    infer_once::{OnceOptions, run_graph},
    op::Elem,
    open,
    passes::{PassOptions, WeightFormats},
    weights::WeightSource,
};
use tests::conformance::{Tolerance, compare};

/// f32 arithmetic in another order.
const F32: Tolerance = Tolerance { absolute: 2e-5, relative: 2e-5 };
/// The other runtime rounds to f16 between the parts of an operator.
const F16: Tolerance = Tolerance { absolute: 4e-3, relative: 4e-3 };

/// The cases of one operator: a graph of one node each, what it is given and what it is to give.
struct Cases {
    graph: Graph,
    given: BTreeMap<String, HostTensor>,
    wanted: BTreeMap<String, HostTensor>,
}

fn cases(operator: &str) -> Cases {
    let path = tests::fixture("contrib").join(format!("{operator}.onnx"));
    let bytes = open::map(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let model = onnx_import::import(bytes, &mut onnx_import::LeaveAbsent).unwrap();
    let graph = import::import(&model).unwrap_or_else(|e| panic!("{operator}: {e}"));
    let kept = |prefix: &str| {
        let of = |value: &engine::graph::Value| {
            let name = value.name.strip_prefix(prefix)?.to_owned();
            let id = graph.find(&value.name)?;
            Some((name, graph.host(id)?.clone()))
        };
        graph.values.iter().filter_map(of).collect()
    };
    Cases { given: kept("give:"), wanted: kept("want:"), graph }
}

/// Runs one case and compares each output.
fn check(cases: &Cases, case: &str, fuse: bool) -> Result<(), String> {
    let of_case = |name: &str| name.split_once('/').is_some_and(|(c, _)| c == case);
    let mut graph = cases.graph.clone();
    graph.nodes.retain(|n| n.name == case);
    let names: Vec<String> = graph.values.iter().map(|v| v.name.clone()).collect();
    graph.inputs.retain(|id| of_case(&names[id.index()]));
    graph.outputs.retain(|id| of_case(&names[id.index()]));
    let given: BTreeMap<_, _> = cases.given.clone().into_iter().filter(|(n, _)| of_case(n)).collect();
    let formats = WeightFormats::uniform(WeightFormat::F32);
    let options = OnceOptions { passes: PassOptions { formats, fuse }, activations: Elem::F32 };
    let source = WeightSource::Model(Fit::Search);
    let got = run_graph(&tests::gpu(), graph, &source, &given, &options).map_err(|e| e.to_string())?;
    if got.is_empty() {
        return Err("nothing is compared".to_owned());
    }
    for (name, got) in got {
        let want = &cases.wanted[&name];
        let tolerance = if want.dtype() == engine::dtype::DType::F16 { F16 } else { F32 };
        compare(&got, want, tolerance).map_err(|text| format!("{name} {text}"))?;
    }
    Ok(())
}

fn check_operator(operator: &str) {
    let cases = cases(operator);
    let names: BTreeSet<String> = cases.graph.nodes.iter().map(|n| n.name.clone()).collect();
    let each = names.iter().flat_map(|name| [(name, false), (name, true)]);
    let wrong: Vec<String> = each
        .filter_map(|(name, fuse)| {
            Some(format!("{name}, fused {fuse}: {}", check(&cases, name, fuse).err()?))
        })
        .collect();
    assert!(!names.is_empty(), "{operator} has no cases");
    assert!(wrong.is_empty(), "{operator}:\n{}", wrong.join("\n"));
}

/// The operators that have cases, so that a file cannot be forgotten.
const OPERATORS: [&str; 12] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

#[test]
fn every_file_of_cases_is_run() {
    let files = std::fs::read_dir(tests::fixture("contrib")).unwrap();
    let names: BTreeSet<String> =
        files.map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, OPERATORS.iter().map(|n| (*n).to_owned()).collect());
}

#[test]
fn activations_and_norms_give_the_runtimes_results() {
    for operator in OPERATORS.iter().filter(|n| n.ends_with("Gelu") || n.ends_with("Normalization")) {
        check_operator(operator);
    }
}

#[test]
fn rotary_embedding_gives_the_runtimes_results() {
    check_operator("RotaryEmbedding");
}

#[test]
fn multi_head_attention_gives_the_runtimes_results() {
    check_operator("MultiHeadAttention");
}

#[test]
fn group_query_attention_gives_the_runtimes_results() {
    check_operator("GroupQueryAttention");
}

#[test]
fn products_with_block_quantised_matrices_give_the_runtimes_results() {
    check_operator("MatMulNBits");
}

#[test]
fn look_ups_in_block_quantised_tables_give_the_runtimes_results() {
    check_operator("GatherBlockQuantized");
}
