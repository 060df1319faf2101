//! What can be wrong with a tokenizer, a chat template, or what they are asked.

/// Every way this crate fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A `tokenizer.json` that cannot be read.
    #[error("the tokenizer cannot be read: {problem}")]
    Tokenizer {
        /// The tokenizers library's reason.
        problem: String,
    },
    /// A configuration file that is not JSON of the expected form.
    #[error("the tokenizer's configuration cannot be read: {problem}")]
    Config {
        /// What is wrong with it.
        problem: String,
    },
    /// A GGUF file without the metadata that its tokenizer needs.
    #[error("the GGUF file's tokenizer: {0}")]
    Gguf(#[from] gguf::GgufError),
    /// A GGUF tokenizer of a kind that is not converted.
    #[error(
        "the GGUF file's tokenizer is {key} = {found:?}, which is not known here (known: {known}); put the model's tokenizer.json beside it"
    )]
    UnknownTokenizer {
        /// The metadata key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The values that are known.
        known: String,
    },
    /// A GGUF tokenizer whose lists contradict each other.
    #[error("the GGUF file's tokenizer: {problem}")]
    BadVocabulary {
        /// The contradiction.
        problem: String,
    },
    /// Text that cannot be turned into tokens, or tokens into text.
    #[error("{action} failed: {problem}")]
    Coding {
        /// `tokenizing` or `decoding`.
        action: &'static str,
        /// The tokenizers library's reason.
        problem: String,
    },
    /// The model has no chat template.
    #[error("there is no chat template in {place}; give the prompt as plain text, or a template file")]
    NoTemplate {
        /// Where it was looked for.
        place: &'static str,
    },
    /// A chat template that does not compile or that refuses the messages.
    #[error("the chat template: {problem}")]
    Template {
        /// The reason, with the template's line.
        problem: String,
    },
    /// A stop string of no characters would stop everything.
    #[error("a stop string is empty")]
    EmptyStop,
}
