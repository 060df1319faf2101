//! The Vulkan road where there is no Vulkan, on Apple's systems: nothing is offered beyond wgpu's features.

use std::ffi::CStr;

use devices::IntegerDot;

/// What a driver has and wgpu does not name: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offer {
    pub f16: bool,
    pub robust_buffers: bool,
    pub integer_dot: bool,
    pub integer_dot_accelerated: Option<IntegerDot>,
    pub low_priority: Option<&'static CStr>,
}

/// What to ask for beyond the features of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub f16: bool,
    pub low_priority: Option<&'static CStr>,
}

pub(super) fn offer(_: &wgpu::Adapter) -> Offer {
    Offer::default()
}

pub(super) fn free_memory(_: &wgpu::Device) -> Option<u64> {
    None
}

pub(super) fn open(
    _: &wgpu::Adapter,
    _: &wgpu::DeviceDescriptor<'_>,
    _: Wishes,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    Err("this system has no Vulkan".to_owned())
}
