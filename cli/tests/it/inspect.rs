//! `inspect`, which needs no GPU.

use crate::{models, refuse, succeed, text};

#[test]
fn a_language_model_is_described() {
    let model = models::fixture("model.onnx");
    let said = succeed(&["inspect", text(&model), "--context", "256", "--chunk", "64"]);
    for part in
        ["every operator is supported", "tokens input_ids", "KV cache of", "prefill:", "decode:", "RMSNorm"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let args = ["inspect", text(&model), "--profile", "adreno-750", "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeed(&args)).unwrap();
    assert_eq!(json["profile"], "adreno-750");
    assert_eq!(json["language_model"]["vocabulary"], 128);
    let plans = json["plans"].as_array().unwrap();
    let phases: Vec<_> = plans.iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["prefill", "decode"]);
    for sizes in plans.iter().flat_map(|p| p["sizes"].as_array().unwrap()) {
        assert!(sizes["ratio"].as_f64().unwrap() >= 1.0, "{json}");
    }
    assert_eq!(plans[0]["sizes"].as_array().unwrap().len(), 3);
}

#[test]
fn unsupported_operators_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    models::unsupported(&path);
    let said = succeed(&["inspect", text(&path)]);
    assert!(said.contains("Frobnicate") && said.contains("Twiddle") && !said.contains("plans"), "{said}");
}

#[test]
fn a_graph_with_missing_weights_and_no_tokens_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    models::without_data(&path);
    let said = succeed(&["inspect", text(&path)]);
    assert!(said.contains("no language model") && said.contains("graph: 1 dispatches"), "{said}");

    models::arithmetic(&path);
    let json = succeed(&["inspect", text(&path), "--size", "rows=5", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["plans"][0]["sizes"][0]["at"], "rows=5");
    assert!(json["plans"][0]["arena"].as_str().unwrap().contains("rows"), "{json}");
    let said = succeed(&["inspect", text(&path), "--size", "columns=5"]);
    assert!(
        said.contains("no plan") && said.contains("--size columns") && said.contains("it has rows"),
        "{said}"
    );
    let language = models::fixture("model.onnx");
    refuse(&["inspect", text(&language), "--size", "rows=5"], 2, &["--size rows", "--context"]);
}

#[test]
fn unknown_profiles_are_refused_with_those_that_exist() {
    let model = models::fixture("model.onnx");
    refuse(&["inspect", text(&model), "--profile", "toaster"], 2, &["toaster", "adreno-750", "software"]);
}
