//! Crate `text`.
