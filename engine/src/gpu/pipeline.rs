//! Pipelines: one for each kernel spec, made once and shared.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use devices::F16;
use shaders::{Access, Kernel};

use super::{
    Gpu, GpuError, Progress,
    disk::DiskCache,
    passthrough,
    replay::{Program, Recorder},
};
use crate::{error::EngineError, plan::Plan, processors};

/// A kernel that the driver has compiled.
#[derive(Debug)]
pub struct Pipeline {
    raw: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    pub(super) fn raw(&self) -> &wgpu::ComputePipeline {
        &self.raw
    }
}

impl Gpu {
    /// The pipeline of a kernel, from the cache or made now.
    ///
    /// # Errors
    /// When the driver refuses the kernel, with what it said.
    pub fn pipeline(&self, kernel: &Kernel) -> Result<Arc<Pipeline>, GpuError> {
        if let Some(found) = self.pipelines().get(&kernel.spec) {
            return Ok(found.clone());
        }
        let made = Arc::new(self.make_pipeline(kernel)?);
        self.counters().pipeline();
        self.pipelines().insert(kernel.spec.clone(), made.clone());
        Ok(made)
    }

    /// The program of a kernel for recordings, likewise.
    ///
    /// # Errors
    /// As there.
    pub(super) fn program(&self, recorder: &Recorder, kernel: &Kernel) -> Result<Arc<Program>, GpuError> {
        let (program, made) = recorder.program(kernel)?;
        if made {
            self.counters().pipeline();
        }
        Ok(program)
    }

    /// Makes all pipelines of some plans beforehand, on all processors. `progress` is called from any thread.
    ///
    /// # Errors
    /// When the driver refuses a kernel.
    pub fn make_pipelines(
        &self,
        plans: &[&Plan],
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), EngineError> {
        let mut seen = HashSet::new();
        let calls = plans.iter().flat_map(|p| &p.calls);
        let kernels: Vec<&Kernel> = calls.map(|c| &*c.kernel).filter(|k| seen.insert(&k.spec)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some(kernel) = kernels.get(next.fetch_add(1, Relaxed)) {
                match self.recorder() {
                    Some(recorder) => _ = self.program(recorder, kernel)?,
                    None => _ = self.pipeline(kernel)?,
                }
                let done = done.fetch_add(1, Relaxed) + 1;
                progress(Progress::Pipelines { done, total: kernels.len() });
            }
            Ok::<_, GpuError>(())
        };
        processors::on_all(kernels.len(), work).into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }

    /// Lets go of the pipelines that no run holds.
    pub fn forget_pipelines(&self) {
        self.pipelines().clear();
        self.recorder().inspect(|recorder| recorder.forget());
    }

    /// Whether pipelines that an earlier run kept are at hand.
    #[must_use]
    pub fn kept_pipelines(&self) -> bool {
        match self.recorder() {
            Some(recorder) => recorder.found(),
            None => self.disk().is_some_and(DiskCache::found),
        }
    }

    /// Keeps the pipelines made so far for later runs, where the backend can and a folder for it was given.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_pipelines(&self) -> Result<(), GpuError> {
        let saved = self.disk().map_or(Ok(()), DiskCache::save);
        self.recorder().map_or(Ok(()), Recorder::save).and(saved)
    }

    fn make_pipeline(&self, kernel: &Kernel) -> Result<Pipeline, GpuError> {
        let label = kernel.spec.to_string();
        let refused = |text| GpuError::Pipeline { kernel: label.clone(), text };
        let f16_offered = self.device().features().contains(wgpu::Features::SHADER_F16);
        let past_wgpu = kernel.reflection.uses_f16 && !f16_offered && self.offers().f16 == F16::Passthrough;
        let words = past_wgpu.then(|| passthrough::words(kernel, self.offer()));
        let words = words.transpose().map_err(|e| refused(e.to_string()))?;
        // SPIR-V comes with its numbers put in.
        let overrides = kernel.spec.overrides().filter(|_| words.is_none());
        let constants: Vec<(&str, f64)> = overrides.map(|(n, v)| (n, f64::from(v))).collect();
        let (made, failed) = self.guarded(|device| {
            let layout = bind_group_layout(device, kernel, &label);
            let module = match &words {
                Some(words) => passthrough::module(device, kernel, &label, words),
                None => wgsl_module(device, kernel, &label),
            };
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.disk().map(DiskCache::raw),
            });
            Pipeline { raw, layout }
        });
        failed.map_or(Ok(made), |text| Err(refused(text)))
    }

    pub(super) fn bind_group(
        &self,
        pipeline: &Pipeline,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> Result<wgpu::BindGroup, GpuError> {
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries };
        let (group, failed) = self.guarded(|device| device.create_bind_group(&descriptor));
        self.counters().bind_group();
        failed.map_or(Ok(group), |text| Err(GpuError::Command(text)))
    }
}

#[allow(unsafe_code)]
fn wgsl_module(device: &wgpu::Device, kernel: &Kernel, label: &str) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(kernel.source.as_str().into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        int_div_checks: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: bounds stay checked. Every loop of our kernels counts to a bound that its parameters give, and they
    // divide by sizes and tile widths, which are never 0. Forced bounding keeps drivers from unrolling: on an
    // Adreno 750, 448 instructions and 217 stall cycles of an f16 matmul against 301 and 65 without.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

fn bind_group_layout(device: &wgpu::Device, kernel: &Kernel, label: &str) -> wgpu::BindGroupLayout {
    let reflection = &kernel.reflection;
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty,
        count: None,
    };
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let slots = reflection.slots.iter().map(|slot| {
        let ty = match slot.access {
            Access::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
            Access::ReadWrite => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
            Access::Uniform => buffer(wgpu::BufferBindingType::Uniform),
            Access::Texture => wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Uint,
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
        };
        entry(slot.binding, ty)
    });
    let uniform = buffer(wgpu::BufferBindingType::Uniform);
    let params = reflection.params.as_ref().map(|p| entry(p.binding, uniform));
    let entries: Vec<_> = slots.chain(params).collect();
    device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries })
}
