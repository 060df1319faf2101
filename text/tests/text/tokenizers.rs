//! The tokenizers that the tests use, as GGUF files.

use crate::build::{ARRAY, File, STRING, array, text};
use gguf::Gguf;
use serde_json::Value;
use text::Tokenizer;

pub fn strings(texts: &[impl AsRef<str>]) -> Vec<u8> {
    let elements: Vec<u8> = texts.iter().flat_map(|element| text(element.as_ref())).collect();
    array(STRING, texts.len() as u64, &elements)
}

pub fn i32s(numbers: &[i32]) -> Vec<u8> {
    array(5, numbers.len() as u64, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

pub fn f32s(numbers: &[f32]) -> Vec<u8> {
    array(6, numbers.len() as u64, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>())
}

pub fn converted(file: &File) -> Result<Tokenizer, text::TextError> {
    Tokenizer::from_gguf(&Gguf::parse(&file.bytes()).unwrap())
}

/// The trimmed tokenizer of SmolLM2, and texts with the ids that transformers gives them.
pub fn smollm2() -> (File, Vec<(String, Vec<u32>)>) {
    let fixture: Value = serde_json::from_str(include_str!("smollm2.json")).unwrap();
    let kept = fixture["tokens"].as_object().unwrap();
    let mut tokens: Vec<String> = (0..49152).map(|id| format!("<trimmed {id}>")).collect();
    let mut types = vec![5; tokens.len()];
    for (token, id) in kept {
        let id = id.as_u64().unwrap() as usize;
        tokens[id].clone_from(token);
        types[id] = 1;
    }
    for id in fixture["control"].as_array().unwrap() {
        types[id.as_u64().unwrap() as usize] = 3;
    }
    let list = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let file = File::default()
        .key("tokenizer.ggml.model", STRING, &text("gpt2"))
        .key("tokenizer.ggml.pre", STRING, &text("smollm"))
        .key("tokenizer.ggml.tokens", ARRAY, &strings(&tokens))
        .key("tokenizer.ggml.token_type", ARRAY, &i32s(&types))
        .key("tokenizer.ggml.merges", ARRAY, &strings(&list(&fixture["merges"])))
        .key("tokenizer.ggml.bos_token_id", 4, &1u32.to_le_bytes())
        .key("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes())
        .key("tokenizer.ggml.add_bos_token", 7, &[0]);
    let texts = fixture["texts"].as_array().unwrap().iter();
    let texts = texts
        .map(|case| {
            let ids = serde_json::from_value(case["ids"].clone()).unwrap();
            (case["text"].as_str().unwrap().to_owned(), ids)
        })
        .collect();
    (file, texts)
}

/// A tiny SentencePiece tokenizer: ids 0..3 are `<unk> <s> </s>`, 3..259 the bytes, then words.
pub fn sentence_piece() -> File {
    let words = ["\u{2581}", "a", "b", "c", "ab", "bc", "abc", "\u{2581}a", "\u{2581}abc", "ü"];
    let scores = [-1., -2., -3., -4., -20., -10., -30., -40., -50., -5.];
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(words.map(String::from));
    let mut types = vec![2, 3, 3];
    types.extend([6; 256]);
    types.extend([1; 10]);
    let mut ranks = vec![0.0; 259];
    ranks.extend(scores);
    File::default()
        .key("tokenizer.ggml.model", STRING, &text("llama"))
        .key("tokenizer.ggml.tokens", ARRAY, &strings(&tokens))
        .key("tokenizer.ggml.token_type", ARRAY, &i32s(&types))
        .key("tokenizer.ggml.scores", ARRAY, &f32s(&ranks))
        .key("tokenizer.ggml.bos_token_id", 4, &1u32.to_le_bytes())
        .key("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes())
        .key("tokenizer.ggml.unknown_token_id", 4, &0u32.to_le_bytes())
}
