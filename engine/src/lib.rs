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
//! - [`language`] finds tokens, cache and logits in a graph; [`session`] runs it; [`generate`] continues texts.
//! - [`infer_once`] runs any other graph on named tensors; [`tensor_session`] does so again and again;
//!   [`encoder`] is such a session beside a decoder's.
//!
//! ```no_run
//! use std::{ops::ControlFlow, path::Path, sync::Arc};
//!
//! use engine::{
//!     generate::Generator,
//!     gpu::{Gpu, OpenOptions},
//!     language::{LanguageModel, LanguageOptions},
//!     op::{Elem, LowerOptions},
//!     open::ModelFile,
//!     passes::{PassOptions, WeightFormats},
//!     sampler::Sampling,
//!     session::{LoadedModel, Session},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gpu = Arc::new(Gpu::open(&OpenOptions::default())?);
//! let file = ModelFile::open(Path::new("smollm2.halfbyte"))?;
//! let formats = file.formats.unwrap_or_else(|| WeightFormats::uniform("m0e4-g32".parse().unwrap()));
//! let options = LanguageOptions {
//!     lower: LowerOptions { target: gpu.target(), activations: Elem::F32 },
//!     passes: PassOptions { formats, fuse: true },
//!     context: 2048,
//!     cache: Elem::F32,
//!     padding: false,
//!     all_logits: false,
//! };
//! let model = LanguageModel::recognise(file.graph.clone())?;
//! let loaded = LoadedModel::load(gpu, &model, &file.source, options, 128, &|_| {})?;
//!
//! let mut generator = Generator::new(Session::new(loaded, 1024)?, Sampling::default())?;
//! let prompt = [1, 4093, 198];
//! let _ = generator.prompt(&prompt, &mut |_, _| ControlFlow::Continue(()))?;
//! for _ in 0..16 {
//!     println!("{}", generator.next_token()?);
//! }
//! # Ok(())
//! # }
//! ```

pub mod dtype;
pub mod encoder;
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
mod processors;
pub mod qualify;
pub mod record;
pub mod sampler;
pub mod session;
pub mod tensor_session;
pub mod tune;
pub mod weights;

pub use error::EngineError;
