//! The GPU: the only place that names wgpu. Opening a device, making pipelines and buffers, running bound plans.

mod adapters;
mod buffer;
mod choose;
mod chooser;
mod costs;
mod counters;
mod device;
mod disk;
mod flight;
mod frames;
mod memory;
mod noise;
mod open;
mod passthrough;
mod peaks;
mod pipeline;
mod progress;
mod readback;
mod recall;
#[cfg(not(target_vendor = "apple"))]
mod replay;
#[cfg(target_vendor = "apple")]
#[path = "no_replay.rs"]
mod replay;
mod room;
mod run;
mod slices;
mod texture;
mod upload;
#[cfg(not(target_vendor = "apple"))]
mod vulkan;
#[cfg(target_vendor = "apple")]
#[path = "no_vulkan.rs"]
mod vulkan;
mod weights;

pub use crate::error::GpuError;
pub use adapters::{ADAPTER_VARIABLE, AdapterSummary, adapters};
pub use buffer::Buffer;
pub(crate) use chooser::{Choice, Chooser};
pub use costs::{CpuTimes, SubmitTimes};
pub use counters::{Counters, Counts};
pub use device::Gpu;
pub use frames::FrameWork;
pub use memory::Arena;
pub use open::{DeviceSummary, OpenOptions};
pub use peaks::Peaks;
pub use pipeline::Pipeline;
pub use progress::Progress;
pub use run::{Clock, Run};
pub use upload::STAGING;
pub use weights::{WeightBuffers, Weights};

#[cfg(test)]
mod tests;
