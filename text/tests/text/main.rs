//! Tokenizers built here, token by token, and one trimmed from a real model's; templates in the shapes of
//! the model families, with what transformers 5.23 renders of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

#[allow(dead_code, reason = "tokenizers are metadata, without tensors")]
#[path = "../../../gguf/tests/gguf/build.rs"]
mod build;
mod convert;
mod stop;
mod stream;
mod template;
mod tokenizers;
