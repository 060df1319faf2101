//! `fill-weights`: a graph without its data and a GGUF file become a model folder, or are refused.

use std::{fs, path::Path};

use crate::{
    build::{ARRAY, File, STRING, array, text as gguf_text},
    models, refuse, succeed, text,
};

/// A GGUF file with the tensor `blk.0.w` of three numbers and a tokenizer of three tokens.
fn gguf(path: &Path) {
    let tokens = ["<s>", "</s>", "a"].map(gguf_text).concat();
    let file = File::default()
        .key("general.architecture", STRING, &gguf_text("llama"))
        .key("llama.context_length", 4, &77u32.to_le_bytes())
        .key("tokenizer.ggml.model", STRING, &gguf_text("gpt2"))
        .key("tokenizer.ggml.tokens", ARRAY, &array(STRING, 3, &tokens))
        .key("tokenizer.ggml.merges", ARRAY, &array(STRING, 0, &[]))
        .key("tokenizer.ggml.bos_token_id", 4, &0u32.to_le_bytes())
        .key("tokenizer.ggml.eos_token_id", 4, &1u32.to_le_bytes())
        .key("tokenizer.chat_template", STRING, &gguf_text("{{ bos_token }}"))
        .f32s("blk.0.w", &[3], &[10.0, 20.0, 30.0]);
    fs::write(path, file.bytes()).unwrap();
}

#[test]
fn a_filled_folder_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::without_data(&at("graph.onnx"));
    gguf(&at("weights.gguf"));
    fs::write(at("map.json"), r#"[{"initializer": "w", "gguf": "blk.0.w"}]"#).unwrap();
    let (graph, map, weights, out) = (at("graph.onnx"), at("map.json"), at("weights.gguf"), at("out"));
    succeed(&["fill-weights", text(&graph), text(&map), text(&weights), "-o", text(&out)]);
    let floats = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
    assert_eq!(fs::read(out.join("weights.bin")).unwrap(), floats([10.0, 20.0, 30.0]));
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap()
    };
    let config = json("tokenizer_config.json");
    assert_eq!((&config["bos_token"], &config["eos_token"]), (&"<s>".into(), &"</s>".into()));
    assert_eq!(config["chat_template"], "{{ bos_token }}");
    assert_eq!(json("config.json")["max_position_embeddings"], 77);
    assert_eq!(json("tokenizer.json")["model"]["vocab"]["a"], 2);
    let inspected = succeed(&["inspect", text(&out.join("model.onnx"))]);
    assert!(inspected.contains("every operator is supported"), "{inspected}");
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::without_data(&at("graph.onnx"));
    gguf(&at("weights.gguf"));
    let w = r#"{"initializer": "w", "gguf": "blk.0.w"}"#;
    let cases = [
        ("[]".to_owned(), "map.json does not say where w come from"),
        (format!("[{w}, {w}]"), "map.json names w twice"),
        (
            format!(r#"[{w}, {{"initializer": "v", "gguf": "x"}}]"#),
            "map.json names v, which has no external data",
        ),
        (r#"[{"initializer": "w", "gguf": "x"}]"#.to_owned(), "no tensor \"x\""),
        ("{".to_owned(), "map.json"),
    ];
    let (graph, map, weights, out) = (at("graph.onnx"), at("map.json"), at("weights.gguf"), at("out"));
    for (text_of_map, part) in cases {
        fs::write(&map, text_of_map).unwrap();
        refuse(&["fill-weights", text(&graph), text(&map), text(&weights), "-o", text(&out)], 1, &[part]);
        assert!(!out.join("weights.bin").exists() && !out.join("model.onnx").exists(), "{part}");
    }
}
