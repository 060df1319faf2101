//! The driver's device, as wgpu opened it.

use ash::vk;
use wgpu::hal::api::Vulkan;

/// The driver's functions on a device that wgpu owns.
pub(super) struct Device {
    /// Keeps the driver's device alive.
    owner: wgpu::Device,
    raw: ash::Device,
    /// Of the queue that wgpu submits to.
    family: u32,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("raw", &self.raw.handle()).finish_non_exhaustive()
    }
}

impl Device {
    /// `None` where it is not Vulkan's.
    pub fn of(owner: &wgpu::Device) -> Option<Self> {
        // SAFETY: the guard is only read from, and nothing of it is destroyed.
        let hal = unsafe { owner.as_hal::<Vulkan>() }?;
        Some(Self { owner: owner.clone(), raw: hal.raw_device().clone(), family: hal.queue_family_index() })
    }

    pub fn owner(&self) -> &wgpu::Device {
        &self.owner
    }

    pub fn raw(&self) -> &ash::Device {
        &self.raw
    }

    pub fn family(&self) -> u32 {
        self.family
    }
}

/// What a call of the driver failed with, in words.
pub(super) fn refused(call: &str) -> impl Fn(vk::Result) -> String {
    move |result| format!("{call}: {result}")
}
