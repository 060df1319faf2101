//! Tests on any GPU; software Vulkan counts.

mod models;
mod operators;
