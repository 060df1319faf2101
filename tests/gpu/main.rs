//! Tests on any GPU; software Vulkan counts.

mod architectures;
mod caches;
mod choosing;
mod conformance;
mod contrib;
mod cooperative;
mod dialects;
mod encoder_decoders;
mod encoders;
mod experts;
mod f8;
mod formats;
mod genai;
mod generated;
mod graphs;
mod limits;
mod models;
mod operators;
mod products;
mod replay;
mod sessions;
mod steps;
mod textures;
mod tuning;
