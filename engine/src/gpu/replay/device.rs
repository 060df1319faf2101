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

    /// The device and the version of its driver, as bytes.
    pub fn driver(&self) -> Result<Vec<u8>, String> {
        // SAFETY: the guard is only read from, and nothing of it is destroyed.
        let hal = unsafe { self.owner.as_hal::<Vulkan>() }.ok_or("the device is not Vulkan's")?;
        let instance = hal.shared_instance().raw_instance();
        // SAFETY: the physical device belongs to the instance, and both are alive behind the guard.
        let known = unsafe { instance.get_physical_device_properties(hal.raw_physical_device()) };
        let numbers = [known.vendor_id, known.device_id, known.driver_version].map(u32::to_le_bytes);
        Ok([numbers.as_flattened(), &known.pipeline_cache_uuid].concat())
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
