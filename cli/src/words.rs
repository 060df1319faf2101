//! The text side of a model: its tokenizer, chat template and limits, from the files that belong to it.

use engine::open::ModelFile;
use serde_json::Value;
use text::{ChatTemplate, Message, TextError, Tokenizer};

use crate::error::CliError;

/// Files that may name the tokens that end an answer.
const CONFIGS: [&str; 3] = ["tokenizer_config.json", "generation_config.json", "config.json"];

/// Keys of `config.json` that give the longest context.
const LIMITS: [&str; 3] = ["max_position_embeddings", "n_positions", "max_sequence_length"];

/// See the module.
#[derive(Debug)]
pub struct Words {
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Most positions that the model was made for, if its configuration says so.
    pub limit: Option<usize>,
    template: Option<ChatTemplate>,
}

impl Words {
    /// Reads the files in the packed model, or beside the ONNX file.
    pub fn open(file: &ModelFile) -> Result<Self, CliError> {
        let json = file.companion("tokenizer.json")?.ok_or_else(|| {
            CliError::other(format!(
                "{}: there is no tokenizer.json with the model: put the one that it was trained with beside it{}",
                file.path.display(),
                if file.formats.is_some() { " and pack again" } else { "" }
            ))
        })?;
        let mut tokenizer = Tokenizer::from_json(&json)?;
        for name in CONFIGS {
            if let Some(bytes) = file.companion(name)? {
                tokenizer.read_config(&bytes)?;
            }
        }
        Ok(Self { tokenizer, limit: context_limit(file)?, template: template(file)? })
    }

    /// The tokens of a conversation up to where the model is to speak.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>, CliError> {
        let template = self.template.as_ref().ok_or_else(|| {
            CliError::other(
                "the model has no chat template (chat_template in tokenizer_config.json): \
                 use `halfbyte run --raw` to continue plain text",
            )
        })?;
        Ok(self.tokenizer.encode(&template.render(messages, true)?, false)?)
    }

    /// The tokens of plain text.
    pub fn plain(&self, text: &str) -> Result<Vec<u32>, CliError> {
        Ok(self.tokenizer.encode(text, true)?)
    }
}

fn template(file: &ModelFile) -> Result<Option<ChatTemplate>, CliError> {
    let config = file.companion("tokenizer_config.json")?;
    if let Some(source) = file.companion("chat_template.jinja")? {
        return Ok(Some(ChatTemplate::from_files(&source, config.as_deref())?));
    }
    match config.map(|bytes| ChatTemplate::from_tokenizer_config(&bytes)) {
        None | Some(Err(TextError::NoTemplate { .. })) => Ok(None),
        Some(template) => Ok(Some(template?)),
    }
}

/// Most positions that the model was made for, if its configuration says so.
pub fn context_limit(file: &ModelFile) -> Result<Option<usize>, CliError> {
    let Some(bytes) = file.companion("config.json")? else { return Ok(None) };
    let config: Value = serde_json::from_slice(&bytes).map_err(|e| {
        CliError::other(format!("{}: the config.json of the model: {e}", file.path.display()))
    })?;
    let found = [&config, &config["text_config"]]
        .into_iter()
        .find_map(|part| LIMITS.iter().find_map(|key| part.get(key)?.as_u64()));
    Ok(found.and_then(|n| usize::try_from(n).ok()))
}
