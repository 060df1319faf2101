//! How byte-level BPE tokenizers cut text into words before merging, by the names that GGUF files use.
//! The expressions are those of the models' own tokenizer.json files.

use serde_json::{Value, json};

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
const PUNCTUATION_FALCON: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";

/// The names in [`byte_level`], for messages.
pub(crate) const KNOWN: &str =
    "default, gpt-2, smollm, starcoder, llama-bpe, qwen2, tekken, gpt-4o, falcon and their aliases";

/// What a name stands for.
pub(crate) struct Words {
    /// The `pre_tokenizer` of a tokenizer.json.
    pub(crate) pre_tokenizer: Value,
    /// The model normalises text to NFC first.
    pub(crate) nfc: bool,
    /// A word that is a token as it stands is not put together by merges.
    pub(crate) ignore_merges: bool,
    /// The model expects its beginning token where the file does not say.
    pub(crate) add_bos: bool,
}

/// The words of the tokenizer that `tokenizer.ggml.pre` calls `name`; `None` for an unknown one.
pub(crate) fn byte_level(name: &str) -> Option<Words> {
    let words = |pre_tokenizer| Words { pre_tokenizer, nfc: false, ignore_merges: false, add_bos: false };
    Some(match name {
        "gpt-2" | "phi-2" | "mpt" | "olmo" | "jina-es" | "jina-de" | "jina-v1-en" | "jina-v2-es"
        | "jina-v2-de" | "roberta-bpe" | "gigachat" | "exaone4" | "trillion" | "granite-docling" => {
            words(gpt2())
        }
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => words(
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, gpt2()]}),
        ),
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" => {
            Words { ignore_merges: true, add_bos: true, ..words(split(&[LLAMA3])) }
        }
        "dbrx" | "smaug-bpe" | "chatglm-bpe" | "glm4" => words(split(&[LLAMA3])),
        "qwen2" => Words { nfc: true, ..words(split(&[QWEN2])) },
        "deepseek-r1-qwen" | "stablelm2" | "hunyuan" | "megrez" => words(split(&[QWEN2])),
        "tekken" => Words { ignore_merges: true, add_bos: true, ..words(split(&[TEKKEN])) },
        "gpt-4o" | "llama4" | "kanana2" => words(split(&[GPT4O])),
        "falcon" => words(split(&[PUNCTUATION_FALCON, GPT2, THREE_DIGITS])),
        "default" => words(split(&[PUNCTUATION, GPT2, r"\p{N}+", THREE_DIGITS])),
        _ => return None,
    })
}

fn gpt2() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})
}

/// Each expression cuts what the one before it left, then bytes become the letters that stand for them.
fn split(expressions: &[&str]) -> Value {
    let mut steps: Vec<Value> = expressions
        .iter()
        .map(|regex| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false}))
        .collect();
    steps.push(
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}),
    );
    json!({"type": "Sequence", "pretokenizers": steps})
}
