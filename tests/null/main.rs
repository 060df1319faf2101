//! Tests that need no GPU.

mod layering;
mod plans;
