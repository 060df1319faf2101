//! Fusion without fear: whatever way a pattern is written, the fused graph gives what the unfused one gives, by the
//! operators' references; what means the same is fused, and what means something else is not.

#![allow(clippy::panic, clippy::unwrap_used)] // a test's way to fail

mod attention;
mod draft;
mod gate;
mod norm;
mod rope;
