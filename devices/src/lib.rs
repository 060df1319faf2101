//! What may be assumed about a GPU: one file per family, every number with its source beside it.
//!
//! A [`Profile`] is what is published or was seen about a kind of GPU and what the kernels should prefer there. A
//! [`Target`] is what a plan is made for: a profile alone, when no GPU is at hand, or a profile corrected by the
//! [`Capabilities`] of a live device.
//!
//! ```
//! use devices::{F16, Target, by_name, detect};
//! use wgpu_types::{AdapterInfo, Backend, DeviceType};
//!
//! let mut info = AdapterInfo::new(DeviceType::IntegratedGpu, Backend::Vulkan);
//! info.name = "Adreno (TM) 750".to_owned();
//! let found = detect(&info);
//! assert_eq!(found.profile.name, "adreno-750");
//!
//! let target = Target::from_profile(found.profile);
//! assert_eq!(target.f16, F16::Passthrough);
//! assert_eq!(target.limits.max_storage_buffer_binding_size, 128 << 20);
//! # assert!(by_name("adreno-750").is_ok());
//! ```
//!
//! To add a GPU: a `Profile` in the file of its family, its name strings in that file's `select`, and a line in
//! `tests/names.rs`. A number that nobody published stays `None`.

#![forbid(unsafe_code)]

mod adreno;
mod apple;
mod desktop;
mod detect;
mod mali;
mod powervr;
mod profile;
mod software;
mod target;
mod xclipse;

pub use detect::{Detection, UnknownProfile, by_name, detect, profiles};
pub use profile::{
    Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction, Sourced,
    Subgroups, WeightLayout, WeightMemory,
};
pub use target::{Capabilities, Coop, Target};
