//! Text to tokens and back: tokenizers, chat templates, streaming and stop strings.
//!
//! [`Tokenizer`] reads a `tokenizer.json`, or converts the tokenizer inside a GGUF file. [`ChatTemplate`]
//! renders messages into the prompt that a model was trained on. Tokens come back through a
//! [`StreamDecoder`], which never gives out half a character, and [`StopStrings`], which cuts the text at
//! the first of several strings.
//!
//! ```
//! use text::{ChatTemplate, Message, StopStrings, StreamDecoder, Tokenizer};
//!
//! // A byte-level tokenizer with five tokens; "Ã" and "¼" stand for the two bytes of "ü".
//! let tokenizer = Tokenizer::from_json(br#"{
//!     "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
//!     "added_tokens": [{"id": 4, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
//!         "normalized": false, "special": true}],
//!     "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
//!     "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
//!     "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
//!         "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
//!         "vocab": {"a": 0, "b": 1, "\u00c3": 2, "\u00bc": 3, "</s>": 4}, "merges": []}
//! }"#)?;
//! assert_eq!(tokenizer.encode("abü</s>", true)?, [0, 1, 2, 3, 4]);
//! assert_eq!(tokenizer.eos().collect::<Vec<_>>(), [4]);
//!
//! let mut stream = StreamDecoder::new(&tokenizer, true);
//! let pieces: Vec<String> = [0, 2, 3].into_iter().map(|token| stream.push(token)).collect::<Result<_, _>>()?;
//! assert_eq!(pieces, ["a", "", "ü"]);
//!
//! let mut stop = StopStrings::new(["\nUser:"])?;
//! assert_eq!(stop.push("Yes.\nUs"), "Yes.");
//! assert_eq!(stop.push("er: and"), "");
//! assert!(stop.stopped());
//!
//! let chat = ChatTemplate::new(
//!     "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{{ eos_token }}{% endfor %}", None, Some("</s>"))?;
//! assert_eq!(chat.render(&[Message::new("user", " Hello ")], true)?, "<user>Hello</s>");
//! # Ok::<(), text::TextError>(())
//! ```
//!
//! The engine knows none of this: it takes token ids and gives token ids.
#![forbid(unsafe_code)]

mod convert;
mod date;
mod error;
mod json;
mod pre;
mod stop;
mod stream;
mod template;
mod tokenizer;

pub use error::TextError;
pub use stop::StopStrings;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Message};
pub use tokenizer::Tokenizer;
