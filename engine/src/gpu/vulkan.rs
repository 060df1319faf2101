//! The Vulkan road: what a driver has beyond wgpu's features, and a device opened with it.
//!
//! wgpu wants `uniformAndStorageBuffer16BitAccess` before it offers `SHADER_F16`; Adreno drivers lack it, though they
//! have `shaderFloat16` and `storageBuffer16BitAccess`, which is all that our kernels use. A low global priority lets
//! the screen go first.

#![allow(unsafe_code)] // calls of ash and wgpu-hal; each says why it is sound

use std::ffi::{CStr, c_char};

use ash::{ext, khr, vk};
use devices::IntegerDot;
use wgpu::hal::{api::Vulkan, vulkan::Adapter};

/// What a driver has and wgpu does not name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offer {
    /// SPIR-V of our kernels at all.
    pub vulkan_1_1: bool,
    /// Halves in arithmetic and in storage buffers.
    pub f16: bool,
    /// Reads beyond a binding are answered with zero by the device itself.
    pub robust_buffers: bool,
    /// Products of packed 8-bit integers in SPIR-V.
    pub integer_dot: bool,
    /// Which such products of four pairs take less than what they stand for; `None` where the driver does not tell.
    pub integer_dot_accelerated: Option<IntegerDot>,
    /// The extension through which a queue can be given low priority.
    pub low_priority: Option<&'static CStr>,
}

/// What to ask for beyond the features of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    pub f16: bool,
    pub low_priority: Option<&'static CStr>,
}

/// Asks an adapter's driver; nothing is offered where it is not Vulkan 1.1 or newer.
pub(super) fn offer(adapter: &wgpu::Adapter) -> Offer {
    // SAFETY: the guard is only read from, and nothing of it is destroyed.
    let Some(hal) = (unsafe { adapter.as_hal::<Vulkan>() }) else { return Offer::default() };
    let properties = hal.physical_device_capabilities();
    let version = properties.properties().api_version.min(hal.shared_instance().instance_api_version());
    if version < vk::API_VERSION_1_1 {
        return Offer::default();
    }
    let mut half = vk::PhysicalDeviceShaderFloat16Int8Features::default();
    let mut storage = vk::PhysicalDevice16BitStorageFeatures::default();
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
    let mut dot = vk::PhysicalDeviceShaderIntegerDotProductFeatures::default();
    let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut storage);
    if version >= vk::API_VERSION_1_2 || properties.supports_extension(khr::shader_float16_int8::NAME) {
        features = features.push_next(&mut half);
    }
    if properties.supports_extension(ext::robustness2::NAME) {
        features = features.push_next(&mut robust);
    }
    let knows_dot = version >= vk::API_VERSION_1_3
        || properties.supports_extension(khr::shader_integer_dot_product::NAME);
    if knows_dot {
        features = features.push_next(&mut dot);
    }
    let instance = hal.shared_instance().raw_instance();
    // SAFETY: the instance and its physical device are alive behind the guard, Vulkan 1.1 has this call, and every
    // structure of the chain is known to the driver and outlives it.
    unsafe { instance.get_physical_device_features2(hal.raw_physical_device(), &mut features) };
    let mut dot_speed = vk::PhysicalDeviceShaderIntegerDotProductProperties::default();
    if knows_dot {
        let mut found = vk::PhysicalDeviceProperties2::default().push_next(&mut dot_speed);
        // SAFETY: as above.
        unsafe { instance.get_physical_device_properties2(hal.raw_physical_device(), &mut found) };
    }
    let has_dot = dot.shader_integer_dot_product != 0;
    let signed = dot_speed.integer_dot_product4x8_bit_packed_signed_accelerated != 0;
    let unsigned = dot_speed.integer_dot_product4x8_bit_packed_unsigned_accelerated != 0;
    Offer {
        vulkan_1_1: true,
        integer_dot: has_dot,
        integer_dot_accelerated: Some(match (has_dot && signed, has_dot && unsigned) {
            (true, _) => IntegerDot::Signed,
            (false, true) => IntegerDot::Unsigned,
            (false, false) => IntegerDot::None,
        }),
        f16: half.shader_float16 != 0 && storage.storage_buffer16_bit_access != 0,
        robust_buffers: robust.robust_buffer_access2 != 0,
        low_priority: [khr::global_priority::NAME, ext::global_priority::NAME]
            .into_iter()
            .find(|name| properties.supports_extension(name)),
    }
}

/// Bytes left of the largest memory that is the device's own, as its driver tells: of what the system grants this process
/// where that is known, else all there is.
pub(super) fn free_memory(device: &wgpu::Device) -> Option<u64> {
    // SAFETY: the guard is only read from, and nothing of it is destroyed.
    let hal = unsafe { device.as_hal::<Vulkan>() }?;
    let instance = hal.shared_instance();
    if instance.instance_api_version() < vk::API_VERSION_1_1 {
        return None;
    }
    let instance = instance.raw_instance();
    // SAFETY: the instance and its physical device are alive behind the guard.
    let known = unsafe { instance.enumerate_device_extension_properties(hal.raw_physical_device()) };
    let tells = |e: &vk::ExtensionProperties| e.extension_name_as_c_str() == Ok(ext::memory_budget::NAME);
    let tells = known.is_ok_and(|all| all.iter().any(tells));
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut found = vk::PhysicalDeviceMemoryProperties2::default();
    if tells {
        found = found.push_next(&mut budget);
    }
    // SAFETY: as above; Vulkan 1.1 has this call, and what is chained is known to the driver and outlives it.
    unsafe { instance.get_physical_device_memory_properties2(hal.raw_physical_device(), &mut found) };
    let heaps = found.memory_properties.memory_heaps_as_slice().to_vec();
    let left = |(index, heap): (usize, &vk::MemoryHeap)| match tells {
        true => budget.heap_budget[index].saturating_sub(budget.heap_usage[index]),
        false => heap.size,
    };
    let own = |(_, heap): &(usize, &vk::MemoryHeap)| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
    heaps.iter().enumerate().filter(own).map(left).max()
}

/// Opens a device with what the descriptor asks for and the wishes on top.
///
/// # Errors
/// With the driver's words, when a step is refused; the plain road is then still open.
pub(super) fn open(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    wishes: Wishes,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    // SAFETY: the guard is only read from, and nothing of it is destroyed.
    let hal = unsafe { adapter.as_hal::<Vulkan>() }.ok_or("the adapter is not Vulkan")?;
    let features = descriptor.required_features;
    let mut extensions = hal.required_device_extensions(features);
    extensions.extend(wishes.low_priority);
    let raw = create(&hal, features, &extensions, wishes)?;
    // SAFETY: `raw` was made from this adapter with family 0, these extensions and at least the features that
    // `physical_device_features` gives for them; wgpu-hal owns it from here.
    let opened = unsafe {
        let (limits, hints) = (&descriptor.required_limits, &descriptor.memory_hints);
        hal.device_from_raw(raw, None, &extensions, features, limits, hints, 0, 0)
    }
    .map_err(|e| e.to_string())?;
    // SAFETY: the device was just opened from this adapter with the features of the descriptor.
    unsafe { adapter.create_device_from_hal::<Vulkan>(opened, descriptor) }.map_err(|e| e.to_string())
}

/// `vkCreateDevice` as wgpu-hal would call it, with the wishes added. Its own `open_with_callback` cannot be used: it
/// chains another `PhysicalDeviceShaderFloat16Int8Features` afterwards, and Vulkan forbids two.
fn create(
    hal: &Adapter,
    features: wgpu::Features,
    extensions: &[&'static CStr],
    wishes: Wishes,
) -> Result<ash::Device, String> {
    let mut enabled = hal.physical_device_features(extensions, features);
    let names: Vec<*const c_char> = extensions.iter().map(|name| name.as_ptr()).collect();
    let mut low = vk::DeviceQueueGlobalPriorityCreateInfoKHR::default()
        .global_priority(vk::QueueGlobalPriorityKHR::LOW);
    let priorities = [1.0];
    let mut queue = vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&priorities);
    if wishes.low_priority.is_some() {
        queue = queue.push_next(&mut low);
    }
    let queues = [queue];
    let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let mut info = enabled.add_to_device_create(info);
    let mut half = vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(true);
    let mut storage = vk::PhysicalDevice16BitStorageFeatures::default().storage_buffer16_bit_access(true);
    if wishes.f16 {
        // SAFETY: the chain holds the structures of `enabled`, which nothing else refers to while `info` lives; each
        // begins with its type and the pointer to the next, and the type says which structure it is.
        unsafe {
            match find::<vk::PhysicalDeviceShaderFloat16Int8Features<'_>>(&info) {
                Some(there) => (*there).shader_float16 = vk::TRUE,
                None => info = info.push_next(&mut half),
            }
            match find::<vk::PhysicalDevice16BitStorageFeatures<'_>>(&info) {
                Some(there) => (*there).storage_buffer16_bit_access = vk::TRUE,
                None => info = info.push_next(&mut storage),
            }
        }
    }
    let instance = hal.shared_instance().raw_instance();
    // SAFETY: the physical device belongs to the instance, and `info` points to structures that live until here.
    unsafe { instance.create_device(hal.raw_physical_device(), &info, None) }
        .map_err(|e| format!("vkCreateDevice: {e}"))
}

/// The structure of type `T` in a chain.
///
/// # Safety
/// Every link of the chain must be a live Vulkan structure that may be written through the pointer returned.
unsafe fn find<T: vk::TaggedStructure>(info: &vk::DeviceCreateInfo<'_>) -> Option<*mut T> {
    let mut link = info.p_next.cast_mut().cast::<vk::BaseOutStructure<'_>>();
    while !link.is_null() {
        // SAFETY: the caller vouches for the chain.
        let base = unsafe { &*link };
        if base.s_type == T::STRUCTURE_TYPE {
            return Some(link.cast());
        }
        link = base.p_next;
    }
    None
}
