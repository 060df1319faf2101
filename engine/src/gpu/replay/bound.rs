//! Dispatches with all that they read and write, as the driver knows them.

use std::{num::NonZero, sync::Arc};

use ash::vk;
use wgpu::hal::api::Vulkan;

use super::{
    device::{Device, refused},
    program::{Binding, Program},
};

/// A program, and what lies where.
pub(in crate::gpu) type Unbound<'a> = (Arc<Program>, Vec<wgpu::BindGroupEntry<'a>>);

/// Dispatches that are bound for good.
#[derive(Debug)]
pub(super) struct Bound {
    device: Arc<Device>,
    pool: vk::DescriptorPool,
    pub calls: Vec<Call>,
    /// What the descriptor sets name.
    buffers: Vec<wgpu::Buffer>,
    views: Vec<wgpu::TextureView>,
    limits: wgpu::Limits,
}

#[derive(Debug)]
pub(super) struct Call {
    pub program: Arc<Program>,
    pub set: vk::DescriptorSet,
}

impl Bound {
    pub fn new(device: &Arc<Device>, calls: Vec<Unbound<'_>>) -> Result<Self, String> {
        let pool = descriptor_pool(device, &calls)?;
        let mut bound = Self {
            device: device.clone(),
            pool,
            calls: Vec::with_capacity(calls.len()),
            buffers: Vec::new(),
            views: Vec::new(),
            limits: device.owner().limits(),
        };
        for (program, entries) in calls {
            bound.add(program, &entries)?;
        }
        Ok(bound)
    }

    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn add(&mut self, program: Arc<Program>, entries: &[wgpu::BindGroupEntry<'_>]) -> Result<(), String> {
        let layouts = [program.set_layout];
        let info = vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.pool).set_layouts(&layouts);
        // SAFETY: pool and layout are alive, and the pool was made for as many.
        let sets = unsafe { self.device.raw().allocate_descriptor_sets(&info) };
        let set = sets.map_err(refused("vkAllocateDescriptorSets"))?.first().copied().unwrap_or_default();
        for Binding { number, kind } in &program.bindings {
            let to =
                vk::WriteDescriptorSet::default().dst_set(set).dst_binding(*number).descriptor_type(*kind);
            let entry = entries.iter().find(|entry| entry.binding == *number);
            match entry.map(|entry| &entry.resource) {
                Some(wgpu::BindingResource::Buffer(range)) => self.add_buffer(to, range)?,
                Some(wgpu::BindingResource::TextureView(view)) => self.add_texture(to, view)?,
                _ => return Err(format!("nothing that a kernel reads is bound at {number}")),
            }
        }
        self.calls.push(Call { program, set });
        Ok(())
    }

    fn add_buffer(
        &mut self,
        to: vk::WriteDescriptorSet<'_>,
        range: &wgpu::BufferBinding<'_>,
    ) -> Result<(), String> {
        let size = range.size.map_or(range.buffer.size() - range.offset, NonZero::get);
        let limits = &self.limits;
        let (most, align) = match to.descriptor_type {
            vk::DescriptorType::UNIFORM_BUFFER => {
                (limits.max_uniform_buffer_binding_size, limits.min_uniform_buffer_offset_alignment)
            }
            _ => (limits.max_storage_buffer_binding_size, limits.min_storage_buffer_offset_alignment),
        };
        if size == 0 || size > most || !range.offset.is_multiple_of(align.into()) {
            let at = range.offset;
            return Err(format!(
                "{size} bytes from byte {at} on are to be bound: the device allows 1 to {most}, from multiples of {align} on"
            ));
        }
        // SAFETY: the handle is only named, in a set that is held together with the buffer.
        let buffer = unsafe { range.buffer.as_hal::<Vulkan>() }.ok_or("a buffer is not Vulkan's")?;
        // SAFETY: as above.
        let buffer = unsafe { buffer.raw_handle() };
        let info = [vk::DescriptorBufferInfo { buffer, offset: range.offset, range: size }];
        // SAFETY: nothing uses the set yet. The range lies in the buffer: `Run` has compared them.
        unsafe { self.device.raw().update_descriptor_sets(&[to.buffer_info(&info)], &[]) };
        self.buffers.push(range.buffer.clone());
        Ok(())
    }

    fn add_texture(
        &mut self,
        to: vk::WriteDescriptorSet<'_>,
        view: &wgpu::TextureView,
    ) -> Result<(), String> {
        // SAFETY: the handle is only named, in a set that is held together with the texture.
        let texels = unsafe { view.as_hal::<Vulkan>() }.ok_or("a texture is not Vulkan's")?;
        // SAFETY: as above.
        let image_view = unsafe { texels.raw_handle() };
        let image_layout = vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL;
        let info = [vk::DescriptorImageInfo { sampler: vk::Sampler::null(), image_view, image_layout }];
        // SAFETY: nothing uses the set yet. `Run` has wgpu bring textures into this layout, in which they stay.
        unsafe { self.device.raw().update_descriptor_sets(&[to.image_info(&info)], &[]) };
        self.views.push(view.clone());
        Ok(())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // SAFETY: the device is alive. Recordings that use the sets hold them, and outlive their execution.
        unsafe { self.device.raw().destroy_descriptor_pool(self.pool, None) };
    }
}

fn descriptor_pool(device: &Device, calls: &[Unbound<'_>]) -> Result<vk::DescriptorPool, String> {
    let bindings = || calls.iter().flat_map(|(program, _)| &program.bindings);
    let kinds = [
        vk::DescriptorType::STORAGE_BUFFER,
        vk::DescriptorType::UNIFORM_BUFFER,
        vk::DescriptorType::SAMPLED_IMAGE,
    ];
    let size = |kind| {
        let count = bindings().filter(|binding| binding.kind == kind).count() as u32;
        vk::DescriptorPoolSize::default().ty(kind).descriptor_count(count)
    };
    let sizes: Vec<_> = kinds.map(size).into_iter().filter(|size| size.descriptor_count > 0).collect();
    let most = calls.len().max(1) as u32;
    let info = vk::DescriptorPoolCreateInfo::default().max_sets(most).pool_sizes(&sizes);
    // SAFETY: the device is alive.
    unsafe { device.raw().create_descriptor_pool(&info, None) }.map_err(refused("vkCreateDescriptorPool"))
}
