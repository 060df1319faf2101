//! The tokenizer inside a GGUF file, as the tokenizer.json that Hugging Face's converter would make of it.

use crate::{TextError, pre};
use gguf::{Gguf, GgufError};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Token types of llama.cpp that matter here; 2 is unknown, 5 unused, 6 a byte.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// The vocabulary as the file gives it.
struct Vocabulary<'a> {
    tokens: Vec<&'a str>,
    types: Vec<i64>,
    ids: HashMap<&'a str, u32>,
}

/// The whole `tokenizer.json`.
pub(crate) fn tokenizer_json(gguf: &Gguf<'_>) -> Result<Value, TextError> {
    let vocabulary = Vocabulary::read(gguf)?;
    let model = gguf.string("tokenizer.ggml.model")?;
    let (mut json, add_bos) = match model {
        "gpt2" => byte_level(gguf, &vocabulary)?,
        "llama" => (sentence_piece(gguf, &vocabulary)?, true),
        other => {
            return Err(TextError::UnknownTokenizer {
                key: "tokenizer.ggml.model",
                found: other.into(),
                known: "gpt2, llama".into(),
            });
        }
    };
    json["version"] = json!("1.0");
    json["truncation"] = Value::Null;
    json["padding"] = Value::Null;
    json["added_tokens"] = vocabulary.added_tokens();
    json["post_processor"] = surroundings(gguf, &vocabulary, add_bos)?;
    Ok(json)
}

impl<'a> Vocabulary<'a> {
    fn read(gguf: &Gguf<'a>) -> Result<Self, TextError> {
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let types = optional(gguf.i64s("tokenizer.ggml.token_type"))?.unwrap_or(vec![NORMAL; tokens.len()]);
        if types.len() != tokens.len() {
            return Err(bad(format!("it has {} tokens but {} token types", tokens.len(), types.len())));
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, &token) in tokens.iter().enumerate() {
            let id = u32::try_from(id).map_err(|_| bad("it has more tokens than ids".into()))?;
            if let Some(first) = ids.insert(token, id) {
                return Err(bad(format!("token {token:?} is there twice, as {first} and as {id}")));
            }
        }
        Ok(Self { tokens, types, ids })
    }

    fn of_type(&self, wanted: i64) -> impl Iterator<Item = (usize, &'a str)> {
        let typed = self.tokens.iter().zip(&self.types).enumerate();
        typed.filter(move |(_, (_, kind))| **kind == wanted).map(|(id, (token, _))| (id, *token))
    }

    fn json(&self) -> Value {
        self.tokens
            .iter()
            .enumerate()
            .map(|(id, token)| (token.to_string(), json!(id)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn added_tokens(&self) -> Value {
        let added = |special: bool| {
            move |(id, content): (usize, &str)| {
                json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special})
            }
        };
        let control = self.of_type(CONTROL).map(added(true));
        control.chain(self.of_type(USER_DEFINED).map(added(false))).collect()
    }
}

/// The token that a key points at, with its id; `None` without the key.
pub(crate) fn token_at<'a>(
    gguf: &Gguf<'_>,
    tokens: &[&'a str],
    key: &str,
) -> Result<Option<(u32, &'a str)>, TextError> {
    let Some(id) = optional(gguf.u64(key))? else { return Ok(None) };
    let token = u32::try_from(id).ok().and_then(|id| Some((id, *tokens.get(id as usize)?)));
    token.map(Some).ok_or_else(|| bad(format!("{key} is {id}, but there are {} tokens", tokens.len())))
}

/// GPT-2's scheme: bytes stand as letters, merges are listed. Also whether a beginning token is usual.
fn byte_level(gguf: &Gguf<'_>, vocabulary: &Vocabulary<'_>) -> Result<(Value, bool), TextError> {
    let key = "tokenizer.ggml.pre";
    let name = optional(gguf.string(key))?.unwrap_or("default");
    let words = pre::byte_level(name).ok_or_else(|| TextError::UnknownTokenizer {
        key,
        found: name.into(),
        known: pre::KNOWN.into(),
    })?;
    let mut merges = Vec::new();
    for merge in gguf.strings("tokenizer.ggml.merges")? {
        // A token may begin with a space, so the parting space is not looked for in the first place.
        let parting = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ');
        let (left, right) = parting
            .and_then(|(at, _)| Some((merge.get(..at)?, merge.get(at + 1..)?)))
            .ok_or_else(|| bad(format!("merge {merge:?} is not two tokens")))?;
        let known = |token| vocabulary.ids.contains_key(token);
        if !known(left) || !known(right) || !known([left, right].concat().as_str()) {
            return Err(bad(format!("merge {merge:?} joins tokens that are not in the vocabulary")));
        }
        merges.push(json!([left, right]));
    }
    let json = json!({
        "normalizer": if words.nfc { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": words.pre_tokenizer,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": words.ignore_merges, "vocab": vocabulary.json(), "merges": merges,
        },
    });
    Ok((json, words.add_bos))
}

/// SentencePiece's BPE: spaces stand as U+2581, unknown characters fall back to bytes, scores order the merges.
fn sentence_piece(gguf: &Gguf<'_>, vocabulary: &Vocabulary<'_>) -> Result<Value, TextError> {
    let scores = gguf.f32s("tokenizer.ggml.scores")?;
    if scores.len() != vocabulary.tokens.len() {
        let problem = format!("it has {} tokens but {} scores", vocabulary.tokens.len(), scores.len());
        return Err(bad(problem));
    }
    let named = token_at(gguf, &vocabulary.tokens, "tokenizer.ggml.unknown_token_id")?;
    let unknown =
        named.map(|(_, token)| token).or_else(|| vocabulary.ids.contains_key("<unk>").then_some("<unk>"));
    let space = optional(gguf.bool("tokenizer.ggml.add_space_prefix"))?.unwrap_or(true);
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
    let prepend = json!({"type": "Prepend", "prepend": "\u{2581}"});
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if space {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "normalizer": if space { json!({"type": "Sequence", "normalizers": [prepend, replace]}) } else { replace },
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.json(), "merges": merges_from_scores(vocabulary, &scores),
        },
    }))
}

/// Every way to part a normal token into two tokens, best score first; equal scores by token, then by parts.
fn merges_from_scores(vocabulary: &Vocabulary<'_>, scores: &[f32]) -> Vec<Value> {
    let mut ranked = Vec::new();
    for (id, token) in vocabulary.of_type(NORMAL) {
        let score = scores.get(id).copied().unwrap_or(f32::NEG_INFINITY);
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&a), Some(&b)) = (vocabulary.ids.get(left), vocabulary.ids.get(right)) {
                ranked.push((score, id, a, b, left, right));
            }
        }
    }
    ranked.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2, x.3).cmp(&(y.1, y.2, y.3))));
    ranked.into_iter().map(|(.., left, right)| json!([left, right])).collect()
}

/// The `post_processor`: tokens around every text, if the model expects any.
fn surroundings(gguf: &Gguf<'_>, vocabulary: &Vocabulary<'_>, add_bos: bool) -> Result<Value, TextError> {
    let wanted = |name: &str, default| -> Result<Option<(u32, &str)>, TextError> {
        let add = optional(gguf.bool(&format!("tokenizer.ggml.add_{name}_token")))?.unwrap_or(default);
        let token = token_at(gguf, &vocabulary.tokens, &format!("tokenizer.ggml.{name}_token_id"))?;
        Ok(token.filter(|_| add))
    };
    let (bos, eos) = (wanted("bos", add_bos)?, wanted("eos", false)?);
    if bos.is_none() && eos.is_none() {
        return Ok(Value::Null);
    }
    let around = |sequence: &str, kind: u32| {
        let special = move |token: Option<(u32, &str)>| {
            token.map(|(_, content)| json!({"SpecialToken": {"id": content, "type_id": kind}}))
        };
        let middle = json!({"Sequence": {"id": sequence, "type_id": kind}});
        [special(bos), Some(middle), special(eos)].into_iter().flatten().collect::<Vec<_>>()
    };
    let special: Map<String, Value> = [bos, eos]
        .into_iter()
        .flatten()
        .map(|(id, token)| (token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]})))
        .collect();
    let pair = [around("A", 0), around("B", 1)].concat();
    Ok(
        json!({"type": "TemplateProcessing", "single": around("A", 0), "pair": pair, "special_tokens": special}),
    )
}

fn optional<T>(value: Result<T, GgufError>) -> Result<Option<T>, TextError> {
    match value {
        Err(GgufError::MissingKey { .. }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

fn bad(problem: String) -> TextError {
    TextError::BadVocabulary { problem }
}
