//! The same model by other exporters, and models of other families.

use std::collections::BTreeSet;

use crate::models::{differences, tolerance};
use tests::{Choices, models};

/// What a prompt behind padding gives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Padded {
    /// The same as without it.
    Same,
    /// Nothing: the model's attention takes sequences to begin at the front of the cache.
    Undefined,
}

use Padded::{Same, Undefined};

const DIALECTS: [(&str, Padded); 17] = [
    ("gemma3_dynamo20", Same),
    ("gemma3_dynamo23", Same),
    ("llama_20", Same),
    ("llama_23", Same),
    ("llama_24", Same),
    ("llama_genai_graph", Undefined),
    ("llama_genai_int4", Undefined),
    ("llama_genai_int8", Undefined),
    ("llama_optimum", Same),
    ("llama_qdq_blocks", Same),
    ("llama_qdq_channels", Same),
    ("llama_webgpu", Same),
    ("phi3_20", Same),
    ("qwen2_20", Same),
    ("qwen3_23", Same),
    ("qwen3_genai_fp16", Undefined),
    ("qwen3_optimum", Same),
];

#[test]
fn each_dialect_gives_the_other_runtimes_logits() {
    let names =
        models("dialects").iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(DIALECTS.iter().map(|(n, _)| (*n).to_owned()).collect::<BTreeSet<_>>(), names);
    for (name, padded) in &DIALECTS {
        let folder = tests::fixture("dialects").join(name);
        let recorded: &[&str] =
            if *padded == Same { &["expected", "expected_padded"] } else { &["expected"] };
        for which in recorded {
            let found = differences(&folder, which, Choices::default(), 64);
            let (prefill, decode) = found.unwrap_or_else(|e| panic!("{name} {which}: {e}"));
            let limit = tolerance(&folder);
            assert!(prefill < limit && decode < limit, "{name} {which}: {prefill} and {decode} apart");
        }
    }
}

#[test]
fn the_runtimes_own_operators_give_the_same_unfused_and_in_chunks() {
    for (name, _) in DIALECTS.iter().filter(|(n, _)| n.contains("genai") || n.contains("webgpu")) {
        let folder = tests::fixture("dialects").join(name);
        for (fuse, chunk) in [(false, 64), (true, 5)] {
            let choices = Choices { fuse, ..Choices::default() };
            let (prefill, decode) = differences(&folder, "expected", choices, chunk).unwrap();
            let limit = tolerance(&folder);
            assert!(
                prefill < limit && decode < limit,
                "{name}, chunks of {chunk}: {prefill} and {decode} apart"
            );
        }
    }
}
