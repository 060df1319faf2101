//! Halfbyte's engine: a PyTorch-exported ONNX language model on a phone's GPU.
//!
//! One type per stage, and the next stage consumes it:
//!
//! ```text
//! bytes -> Model -> Graph -> Graph + types -> fused Graph -> Plan -> BoundPlan -> commands
//!       import   import  infer           passes          plan    bind       gpu
//! ```
//!
//! - [`graph`] is data that prints; [`op`] says what an operator is; [`ops`] has one file for each.
//! - [`import`] and [`infer`] make a typed graph; shapes are expressions over named sizes (crate `symbolic`).
//! - [`passes`] recognise what exporters spell out: normalisation, rotary embedding, attention with its mask.
//! - [`plan`] decides every dispatch and every byte once; only numbers are put in later.
//! - [`gpu`] is the only place that names wgpu.

pub mod dtype;
pub mod error;
pub mod generate;
pub mod gpu;
pub mod graph;
pub mod host;
pub mod import;
pub mod infer;
pub mod infer_once;
pub mod language;
pub mod op;
/// The operators, one file each; the build script lists the folder.
#[allow(missing_docs)] // each file says what it is at its top
pub mod ops {
    use crate::op::Operator;

    include!(concat!(env!("OUT_DIR"), "/operators.rs"));
}
pub mod open;
pub mod passes;
pub mod plan;
pub mod sampler;
pub mod session;
pub mod weights;

pub use error::EngineError;
