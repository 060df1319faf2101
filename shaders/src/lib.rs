//! Crate `shaders`.
