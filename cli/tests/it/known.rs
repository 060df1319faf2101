//! Known models, which need no files: `bench --model` and `inspect --model`.

use crate::{refuse, succeed};

#[test]
fn they_are_listed_and_others_refused() {
    let listed = succeed(&["bench", "--model", "help"]);
    assert!(listed.lines().count() > 10 && listed.contains("meta-llama/Llama-2-7b-hf"), "{listed}");
    assert_eq!(succeed(&["inspect", "--model", "help"]), listed);
    for command in ["bench", "inspect"] {
        refuse(&[command, "--model", "llama"], 2, &["--model llama: known models are", "smollm2-135m"]);
        refuse(&[command, "file.onnx", "--model", "llama2-7b"], 2, &["cannot be used with"]);
    }
}

#[test]
fn seven_billion_weights_are_planned_and_predicted_without_a_gpu() {
    let said = succeed(&["inspect", "--model", "llama2-7b"]);
    assert!(
        said.contains("Product of heads: 32 applied") && said.contains("weights on the GPU: 4.0 GiB"),
        "{said}"
    );
    let args = ["bench", "--model", "llama2-7b", "--predict", "adreno-750", "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeed(&args)).unwrap();
    let decode = json["steps"].as_array().unwrap().iter().find(|step| step["kind"] == "decode").unwrap();
    let bytes = decode["bytes"].as_u64().unwrap();
    assert!((4_100_000_000..4_300_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn noise_is_measured() {
    let args =
        ["bench", "--model", "smollm2-135m", "--prefill", "4", "--decode", "2", "--repeat", "1", "--json"];
    let json: serde_json::Value = serde_json::from_str(&succeed(&args)).unwrap();
    assert_eq!(json["model"]["name"], "smollm2-135m");
    assert_eq!(json["measurements"].as_array().unwrap().len(), 2, "{json}");
    assert!(json["memory"]["weights_bytes"].as_u64().unwrap() > 90 << 20, "{json}");
    refuse(
        &["bench", "--model", "smollm2-135m", "--context", "100000"],
        2,
        &["more than the 8192 that the model was made for"],
    );
}
