//! Models that are refused with what to do about it.

use engine::{
    language::{LanguageModel, Phase},
    open::ModelFile,
};

use crate::fusions::prepare;

#[test]
fn a_mixture_that_sorts_tokens_by_expert_is_refused_with_how_to_export_it() {
    let path = tests::fixture("refused/qwen3_moe_hf20_grouped/model.onnx");
    let file = ModelFile::open(&path).unwrap();
    let prepared =
        LanguageModel::recognise(file.graph).and_then(|model| prepare(&model, Phase::Decode, false));
    let error = prepared.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("(Range) > input 0 must be known before the model runs"), "{error}");
    assert!(error.contains("set_experts_implementation(\"batched_mm\")"), "{error}");
}
