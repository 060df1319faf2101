//! Chat templates: the Jinja text that turns messages into the prompt that a model was trained on.

use crate::TextError;
use crate::convert::token_at;
use crate::date::strftime;
use crate::json::tojson;
use crate::tokenizer::token_text;
use gguf::Gguf;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A compiled chat template with the model's beginning and end tokens.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are the texts of the model's beginning and end tokens.
    ///
    /// # Errors
    /// The template is not valid Jinja.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, TextError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(&e))?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: &str| date(now(), format));
        environment
            .add_template_owned("chat", without_generation_marks(source))
            .map_err(|e| template_error(&e))?;
        Ok(Self { environment, bos: bos.map(Into::into), eos: eos.map(Into::into) })
    }

    /// The template of a `tokenizer_config.json`: `chat_template`, the one named `default` where there are several.
    ///
    /// # Errors
    /// The bytes are not JSON, have no template, or one that does not compile.
    pub fn from_tokenizer_config(bytes: &[u8]) -> Result<Self, TextError> {
        let config = parse(bytes)?;
        let template = config.get("chat_template").and_then(|value| {
            let default =
                |entry: &&serde_json::Value| entry.get("name").is_some_and(|name| name == "default");
            let listed = || value.as_array()?.iter().find(default)?.get("template")?.as_str();
            value.as_str().or_else(listed)
        });
        let template = template.ok_or(TextError::NoTemplate { place: "tokenizer_config.json" })?;
        Self::new(template, named(&config, "bos_token"), named(&config, "eos_token"))
    }

    /// The template of a `chat_template.jinja`, with the beginning and end tokens of the `tokenizer_config.json` beside it.
    ///
    /// # Errors
    /// The configuration is not JSON, or the template is not UTF-8 or does not compile.
    pub fn from_files(template: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self, TextError> {
        let source = std::str::from_utf8(template)
            .map_err(|e| TextError::Template { problem: format!("chat_template.jinja is not text: {e}") })?;
        let config = tokenizer_config.map(parse).transpose()?.unwrap_or_default();
        Self::new(source, named(&config, "bos_token"), named(&config, "eos_token"))
    }

    /// The template in a GGUF file's metadata.
    ///
    /// # Errors
    /// There is none, one that does not compile, or a beginning or end token that is not in the vocabulary.
    pub fn from_gguf(gguf: &Gguf<'_>) -> Result<Self, TextError> {
        let key = "tokenizer.chat_template";
        if gguf.get(key).is_none() {
            return Err(TextError::NoTemplate { place: "the GGUF file's metadata" });
        }
        let tokens = gguf.strings("tokenizer.ggml.tokens")?;
        let token = |key| Ok::<_, TextError>(token_at(gguf, &tokens, key)?.map(|(_, text)| text));
        let (bos, eos) = (token("tokenizer.ggml.bos_token_id")?, token("tokenizer.ggml.eos_token_id")?);
        Self::new(gguf.string(key)?, bos, eos)
    }

    /// Makes `strftime_now` answer for a fixed moment, in seconds since 1970, so that prompts repeat.
    #[must_use]
    pub fn at(mut self, seconds: u64) -> Self {
        self.environment.add_function("strftime_now", move |format: &str| date(seconds, format));
        self
    }

    /// The prompt for `messages`; with `add_generation_prompt` it ends where the assistant begins to speak.
    ///
    /// # Errors
    /// The template refuses the messages, in its own words, or uses what is not there.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, TextError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| Value::from_pairs([("role", &message.role), ("content", &message.content)]))
            .collect();
        let mut context = BTreeMap::from([
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        for (name, token) in [("bos_token", &self.bos), ("eos_token", &self.eos)] {
            if let Some(token) = token {
                context.insert(name, Value::from(token.as_str()));
            }
        }
        let template = self.environment.get_template("chat").map_err(|e| template_error(&e))?;
        template.render(Value::from_pairs(context)).map_err(|e| template_error(&e))
    }
}

/// A configuration file.
fn parse(bytes: &[u8]) -> Result<serde_json::Value, TextError> {
    serde_json::from_slice(bytes).map_err(|e| TextError::Config { problem: e.to_string() })
}

/// The text of the token that a configuration gives for `key`.
fn named<'c>(config: &'c serde_json::Value, key: &str) -> Option<&'c str> {
    config.get(key).and_then(token_text)
}

/// Hugging Face marks what the assistant said with `{% generation %}` for training; here the marks are
/// conditions that always hold, so that whitespace is trimmed around them as around any other tag.
fn without_generation_marks(source: &str) -> String {
    let mut rest = source;
    let mut out = String::with_capacity(source.len());
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        let Some((body, after)) = tag.split_once("%}") else {
            rest = tag;
            break;
        };
        match body.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&body.replace("generation", "if true")),
            "endgeneration" => out.push_str(&body.replace("endgeneration", "endif")),
            _ => out.push_str(body),
        }
        out.push_str("%}");
        rest = after;
    }
    out + rest
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn date(seconds: u64, format: &str) -> Result<String, Error> {
    let unknown =
        || Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know {format:?}"));
    strftime(seconds, format).ok_or_else(unknown)
}

/// The error's own words; its place; then what caused it.
fn template_error(error: &Error) -> TextError {
    let mut problem = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        problem = format!("{problem}: {inner}");
        cause = inner.source();
    }
    TextError::Template { problem }
}
