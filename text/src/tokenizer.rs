//! The tokenizer: text to token ids and back.

use crate::{TextError, convert};
use gguf::Gguf;
use serde_json::Value;
use std::collections::BTreeSet;

/// Special tokens that end an answer wherever they are in the vocabulary: instruct models often name
/// only one of the two that they use.
const KNOWN_ENDS: [&str; 13] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "</s>",
    "<eos>",
    "<EOT>",
    "[EOS]",
];

/// Turns text into token ids and back, as the model was trained with.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: BTreeSet<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. The tokens that end an answer are those with well-known names; more come
    /// with [`Tokenizer::read_config`].
    ///
    /// # Errors
    /// The bytes are not such a file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TextError> {
        let inner = tokenizers::Tokenizer::from_bytes(bytes);
        let inner = inner.map_err(|e| TextError::Tokenizer { problem: e.to_string() })?;
        let mut tokenizer = Self { inner, bos: None, eos: BTreeSet::new() };
        let ends = KNOWN_ENDS.iter().filter_map(|name| tokenizer.special(name));
        tokenizer.eos = ends.collect();
        Ok(tokenizer)
    }

    /// Converts the tokenizer inside a GGUF file.
    ///
    /// # Errors
    /// The file has none, one of an unknown kind, or one that contradicts itself, such as an end token beyond the vocabulary.
    pub fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, TextError> {
        let json = convert::tokenizer_json(gguf)?;
        let mut tokenizer = Self::from_json(json.to_string().as_bytes())?;
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let id = |name: &str| -> Result<Option<u32>, TextError> {
            let token = convert::token_at(gguf, &tokens, &format!("tokenizer.ggml.{name}_token_id"))?;
            Ok(token.map(|(id, _)| id))
        };
        tokenizer.bos = id("bos")?;
        for end in ["eos", "eot", "eom"] {
            tokenizer.eos.extend(id(end)?);
        }
        Ok(tokenizer)
    }

    /// Takes the beginning and end tokens from a `tokenizer_config.json`, `generation_config.json` or
    /// `config.json`: `bos_token`, `eos_token` by text, `bos_token_id`, `eos_token_id` by number.
    ///
    /// # Errors
    /// The bytes are not JSON, name a token by a text that the vocabulary lacks, or give an id that is no number.
    pub fn read_config(&mut self, bytes: &[u8]) -> Result<(), TextError> {
        let config: Value =
            serde_json::from_slice(bytes).map_err(|e| TextError::Config { problem: e.to_string() })?;
        self.bos = self.named(&config, "bos")?.first().copied().or(self.bos);
        let ends = self.named(&config, "eos")?;
        self.eos.extend(ends);
        Ok(())
    }

    /// The tokenizer as the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// The tokenizers library cannot write it.
    pub fn to_json(&self) -> Result<String, TextError> {
        self.inner.to_string(false).map_err(|e| TextError::Tokenizer { problem: e.to_string() })
    }

    /// The token ids of `text`. With `add_special`, the tokens that the model expects around every text
    /// are added; a text made by a chat template has them already.
    ///
    /// Special tokens written out in `text` become those tokens.
    ///
    /// # Errors
    /// The tokenizer has no token for a part of the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.inner.encode_fast(text, add_special);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|e| TextError::Coding { action: "tokenizing", problem: e.to_string() })
    }

    /// The text of `tokens`, special ones left out if `skip_special`. Ids outside the vocabulary are
    /// passed over; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String, TextError> {
        let text = self.inner.decode(tokens, skip_special);
        text.map_err(|e| TextError::Coding { action: "decoding", problem: e.to_string() })
    }

    /// Tokens in the vocabulary, added ones included.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token, by its text in the vocabulary.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of a token as it stands in the vocabulary: not decoded.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Whether the token is a special one, which decoding may leave out.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.token(id).is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }

    /// The token that begins a text, if the model's configuration names one.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end an answer, in ascending order.
    pub fn eos(&self) -> impl Iterator<Item = u32> {
        self.eos.iter().copied()
    }

    /// Whether the token ends an answer.
    #[must_use]
    pub fn is_eos(&self, id: u32) -> bool {
        self.eos.contains(&id)
    }

    fn special(&self, token: &str) -> Option<u32> {
        self.id(token).filter(|&id| self.is_special(id))
    }

    /// The ids that a configuration gives for `bos` or `eos`.
    fn named(&self, config: &Value, which: &str) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::new();
        if let Some(text) = config.get(format!("{which}_token")).and_then(token_text) {
            let id = self.id(text).ok_or_else(|| TextError::Config {
                problem: format!("{which}_token is {text:?}, which is not in the vocabulary"),
            })?;
            ids.push(id);
        }
        let numbers = match config.get(format!("{which}_token_id")) {
            Some(Value::Array(several)) => several.as_slice(),
            None | Some(Value::Null) => &[],
            Some(one) => std::slice::from_ref(one),
        };
        for number in numbers {
            let id = number.as_u64().and_then(|id| u32::try_from(id).ok());
            ids.push(id.ok_or_else(|| TextError::Config {
                problem: format!("{which}_token_id is {number}, which is not a token id"),
            })?);
        }
        Ok(ids)
    }
}

/// The text of a token in a configuration, which is a string or an object with `content`.
pub(crate) fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}
