//! The same model by other exporters, and models of other families.

use std::collections::BTreeSet;

use crate::models::{CLOSE, differences};
use tests::{Choices, models};

/// What comes of a model today.
#[derive(Debug)]
enum Outcome {
    /// It gives the other runtime's logits, padded on the left or not.
    Runs,
    /// It is refused with an error that says all of this.
    Refused(&'static [&'static str]),
}

use Outcome::{Refused, Runs};

const DIALECTS: [(&str, Outcome); 11] = [
    ("gemma3_dynamo20", Runs),
    ("gemma3_dynamo23", Runs),
    ("llama_20", Runs),
    ("llama_23", Runs),
    ("llama_24", Runs),
    ("llama_optimum", Runs),
    (
        "llama_webgpu",
        Refused(&[
            "3 of the model's operators are not supported",
            "com.microsoft::MultiHeadAttention (opset 1): 2 nodes",
            "com.microsoft::RotaryEmbedding (opset 1): 4 nodes",
            "com.microsoft::SkipSimplifiedLayerNormalization (opset 1): 4 nodes",
        ]),
    ),
    ("phi3_20", Runs),
    ("qwen2_20", Runs),
    ("qwen3_23", Runs),
    ("qwen3_optimum", Runs),
];

#[test]
fn each_dialect_gives_the_other_runtimes_logits_or_says_why_not() {
    let names =
        models("dialects").iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(DIALECTS.iter().map(|(n, _)| (*n).to_owned()).collect::<BTreeSet<_>>(), names);
    for (name, outcome) in &DIALECTS {
        let folder = tests::fixture("dialects").join(name);
        for which in ["expected", "expected_padded"] {
            let got = differences(&folder, which, Choices::default(), 64);
            match (outcome, got) {
                (Runs, Ok((prefill, decode))) => {
                    assert!(
                        prefill < CLOSE && decode < CLOSE,
                        "{name} {which}: {prefill} and {decode} apart"
                    );
                }
                (Refused(texts), Err(error)) => {
                    let error = error.to_string();
                    let missing = texts.iter().find(|t| !error.contains(**t));
                    assert_eq!(missing, None, "{name} {which}: {error}");
                }
                (_, got) => panic!("{name} {which}: {got:?} instead of {outcome:?}"),
            }
        }
    }
}
