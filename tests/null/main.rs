//! Tests that need no GPU.

mod declined;
mod fusions;
mod goldens;
mod layering;
mod once;
mod plans;
mod smollm2;
