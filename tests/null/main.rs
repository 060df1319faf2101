//! Tests that need no GPU.

mod declined;
mod dispatches;
mod documents;
mod fusions;
mod generated;
mod goldens;
mod layering;
mod loading;
mod once;
mod plans;
mod refused;
mod sizes;
mod smollm2;
mod textures;
