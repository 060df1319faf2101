//! Crate `symbolic`.
