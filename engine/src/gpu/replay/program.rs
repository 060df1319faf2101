//! Kernels as the driver compiles them for recordings.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ash::{ext, vk};
use shaders::{Access, Kernel, KernelSpec};
use wgpu::hal::api::Vulkan;

use super::device::{Device, refused};
use crate::gpu::{GpuError, disk::CacheFile, passthrough, vulkan::Offer};

/// Compiles kernels for recordings, each once.
#[derive(Debug)]
pub(in crate::gpu) struct Recorder {
    device: Arc<Device>,
    offer: Offer,
    stage: vk::PipelineShaderStageCreateFlags,
    cache: vk::PipelineCache,
    file: Option<CacheFile>,
    found: bool,
    programs: Mutex<HashMap<KernelSpec, Arc<Program>>>,
}

/// A kernel that the driver has compiled.
#[derive(Debug)]
pub(in crate::gpu) struct Program {
    device: Arc<Device>,
    pub(super) set_layout: vk::DescriptorSetLayout,
    pub(super) layout: vk::PipelineLayout,
    pub(super) pipeline: vk::Pipeline,
    pub(super) bindings: Vec<Binding>,
}

/// What a kernel wants bound at a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    pub number: u32,
    pub kind: vk::DescriptorType,
}

impl Recorder {
    /// For a device of Vulkan 1.1 or newer; `None` for another. What is compiled is kept in the file, where there is one.
    ///
    /// # Errors
    /// In words, when the driver refuses.
    pub fn open(
        device: &wgpu::Device,
        offer: &Offer,
        file: Option<CacheFile>,
    ) -> Result<Option<Self>, String> {
        let Some(raw) = Device::of(device).filter(|_| offer.vulkan_1_1) else { return Ok(None) };
        // Of a file that cannot be read, `save` tells.
        let kept = file.as_ref().and_then(|file| file.read().ok()?).unwrap_or_default();
        let data = kept.strip_prefix(raw.driver()?.as_slice()).unwrap_or_default();
        let make = |data| {
            let info = vk::PipelineCacheCreateInfo::default().initial_data(data);
            // SAFETY: the device is alive. The data is what `save` got from the same device and version of its driver, which
            // stand before it, and its checksum says that nothing happened to it since.
            unsafe { raw.raw().create_pipeline_cache(&info, None) }
        };
        let cache = make(data).or_else(|_| make(&[])).map_err(refused("vkCreatePipelineCache"))?;
        let found = !data.is_empty();
        let stage = match device.features().contains(wgpu::Features::SUBGROUP) {
            true => vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE,
            false => vk::PipelineShaderStageCreateFlags::empty(),
        };
        // What is offered need not be on.
        // SAFETY: the guard is only read from, and nothing of it is destroyed.
        let robust = unsafe { device.as_hal::<Vulkan>() }
            .is_some_and(|hal| hal.enabled_device_extensions().contains(&ext::robustness2::NAME));
        let offer = Offer { robust_buffers: offer.robust_buffers && robust, ..*offer };
        let programs = Mutex::default();
        Ok(Some(Self { device: Arc::new(raw), offer, stage, cache, file, found, programs }))
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn programs(&self) -> MutexGuard<'_, HashMap<KernelSpec, Arc<Program>>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program of a kernel, and whether it was made now.
    ///
    /// # Errors
    /// When the driver refuses the kernel, with what it said.
    pub fn program(&self, kernel: &Kernel) -> Result<(Arc<Program>, bool), GpuError> {
        if let Some(found) = self.programs().get(&kernel.spec) {
            return Ok((found.clone(), false));
        }
        let refused = |text| GpuError::Pipeline { kernel: kernel.spec.to_string(), text };
        let made = Arc::new(self.make(kernel).map_err(refused)?);
        self.programs().insert(kernel.spec.clone(), made.clone());
        Ok((made, true))
    }

    /// Whether an earlier run left something.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Lets go of all programs; those of runs stay with them.
    pub fn forget(&self) {
        self.programs().clear();
    }

    /// Keeps what was compiled for later runs, where there is a folder for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), GpuError> {
        let Some(file) = &self.file else { return Ok(()) };
        // SAFETY: the device and the cache are alive.
        let data = unsafe { self.device.raw().get_pipeline_cache_data(self.cache) };
        match (self.device.driver(), data) {
            (Ok(driver), Ok(data)) => file.write(&[&driver[..], &data].concat()),
            _ => Ok(()),
        }
    }

    fn make(&self, kernel: &Kernel) -> Result<Program, String> {
        let words = passthrough::words(kernel, &self.offer).map_err(|e| e.to_string())?;
        let bindings = bindings(kernel);
        // What is not made yet is null, which drivers destroy as nothing.
        let mut program = Program {
            device: self.device.clone(),
            set_layout: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            pipeline: vk::Pipeline::null(),
            bindings,
        };
        let raw = self.device.raw();
        let slots: Vec<_> = program.bindings.iter().map(Binding::layout).collect();
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&slots);
        // SAFETY: the device is alive, as for all that follows, and so is what the structures point to.
        program.set_layout = unsafe { raw.create_descriptor_set_layout(&info, None) }
            .map_err(refused("vkCreateDescriptorSetLayout"))?;
        let layouts = [program.set_layout];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
        // SAFETY: the layout of the set was just made.
        program.layout =
            unsafe { raw.create_pipeline_layout(&info, None) }.map_err(refused("vkCreatePipelineLayout"))?;
        let info = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: naga wrote these words from a module that it validated, the device was opened with the features that they
        // use, and reads beyond a binding are answered by the device or clamped in the words. Of arrays of their own, and of
        // textures, kernels read nothing outside.
        let module =
            unsafe { raw.create_shader_module(&info, None) }.map_err(refused("vkCreateShaderModule"))?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(self.stage)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let infos = [vk::ComputePipelineCreateInfo::default().layout(program.layout).stage(stage)];
        // SAFETY: module, layout and cache are alive; the module has this entry point, and the layout its bindings. A module
        // may be destroyed once pipelines are made of it.
        let made = unsafe {
            let made = raw.create_compute_pipelines(self.cache, &infos, None);
            raw.destroy_shader_module(module, None);
            made
        };
        let made = made.map_err(|(_, e)| refused("vkCreateComputePipelines")(e))?;
        program.pipeline = made.first().copied().unwrap_or_default();
        Ok(program)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // SAFETY: nothing is compiled any more, and the device is alive.
        unsafe { self.device.raw().destroy_pipeline_cache(self.cache, None) };
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let raw = self.device.raw();
        // SAFETY: the device is alive. Recordings that use the program hold it, and outlive their execution.
        unsafe {
            raw.destroy_pipeline(self.pipeline, None);
            raw.destroy_pipeline_layout(self.layout, None);
            raw.destroy_descriptor_set_layout(self.set_layout, None);
        }
    }
}

impl Binding {
    fn layout(&self) -> vk::DescriptorSetLayoutBinding<'static> {
        vk::DescriptorSetLayoutBinding::default()
            .binding(self.number)
            .descriptor_type(self.kind)
            .descriptor_count(1)
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
    }
}

fn bindings(kernel: &Kernel) -> Vec<Binding> {
    let reflection = &kernel.reflection;
    let slots = reflection.slots.iter().map(|slot| {
        let kind = match slot.access {
            Access::Read | Access::ReadWrite => vk::DescriptorType::STORAGE_BUFFER,
            Access::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
            Access::Texture => vk::DescriptorType::SAMPLED_IMAGE,
        };
        Binding { number: slot.binding, kind }
    });
    let uniform = vk::DescriptorType::UNIFORM_BUFFER;
    let params = reflection.params.as_ref().map(|p| Binding { number: p.binding, kind: uniform });
    slots.chain(params).collect()
}
