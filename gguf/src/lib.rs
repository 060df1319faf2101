//! Crate `gguf`.
