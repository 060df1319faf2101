//! Tests that need no GPU.

mod declined;
mod goldens;
mod layering;
mod once;
mod plans;
mod smollm2;
