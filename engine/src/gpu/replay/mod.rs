//! Steps that the driver keeps: recorded once, and run again by naming them.
//!
//! wgpu checks and records every dispatch of every step anew, though a decode step differs from the one before in the
//! numbers of its parameter blocks alone. On Vulkan a run therefore has pipelines and descriptor sets of its own, and its
//! dispatches stand in a secondary command buffer: a step is then one command for the CPU. It is executed inside of a
//! command buffer of wgpu's, in the order of wgpu's submissions.
//!
//! What wgpu would do for such dispatches is done here:
//! - Arenas and caches are zeroed when they are made ([`Arena`](super::Arena)), since wgpu zeroes what its own commands read
//!   first; weights are written whole.
//! - Barriers stand between dispatches, each of which may read what the one before wrote, and around a recording.
//! - A recording holds all that it names, and wgpu holds the recording until the GPU is done with it.

#![allow(unsafe_code)] // calls of ash and wgpu-hal; each says why it is sound

mod bound;
mod clock;
mod device;
mod program;
mod recording;

pub(super) use program::{Program, Recorder};
pub(super) use recording::{Recording, Replay};
