//! Crate `devices`.
