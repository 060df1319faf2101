//! Tests on any GPU; software Vulkan counts.

mod conformance;
mod dialects;
mod formats;
mod limits;
mod models;
mod operators;
mod sessions;
mod steps;
