//! Tests on any GPU; software Vulkan counts.

mod architectures;
mod caches;
mod choosing;
mod conformance;
mod contrib;
mod dialects;
mod encoder_decoders;
mod encoders;
mod experts;
mod formats;
mod genai;
mod limits;
mod models;
mod operators;
mod sessions;
mod steps;
mod tuning;
