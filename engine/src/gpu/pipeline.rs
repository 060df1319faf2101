//! Pipelines: one for each kernel spec, made once and shared.

use std::sync::Arc;

use shaders::{Access, Kernel};

use super::{Gpu, GpuError};
use crate::{error::EngineError, plan::Plan, session::Progress};

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

    /// Makes all pipelines of some plans beforehand.
    ///
    /// # Errors
    /// When the driver refuses a kernel.
    pub fn make_pipelines(
        &self,
        plans: &[&Plan],
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), EngineError> {
        let mut kernels: Vec<&Kernel> = Vec::new();
        for call in plans.iter().flat_map(|p| &p.calls) {
            if !kernels.iter().any(|k| k.spec == call.spec) {
                kernels.push(&call.kernel);
            }
        }
        for (done, kernel) in kernels.iter().enumerate() {
            self.pipeline(kernel)?;
            progress(Progress::Pipelines { done: done + 1, total: kernels.len() });
        }
        Ok(())
    }

    fn make_pipeline(&self, kernel: &Kernel) -> Result<Pipeline, GpuError> {
        let label = kernel.spec.to_string();
        let layout = self.layout(kernel);
        let constants: Vec<(&str, f64)> = kernel.spec.overrides().map(|(n, v)| (n, f64::from(v))).collect();
        let ((raw, layout), failed) = self.guarded(|device| {
            let module = self.shader(device, kernel, &label);
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
                cache: None,
            });
            (raw, layout)
        });
        match failed {
            Some(text) => Err(GpuError::Pipeline { kernel: label, text }),
            None => Ok(Pipeline { raw, layout }),
        }
    }

    #[allow(unsafe_code)]
    fn shader(&self, device: &wgpu::Device, kernel: &Kernel, label: &str) -> wgpu::ShaderModule {
        let source = wgpu::ShaderSource::Wgsl(kernel.source.as_str().into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
        let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
        // SAFETY: bounds stay checked; only the forced bounding of loops is off, and every loop of our kernels counts
        // to a bound that its parameters give. Forced bounding stops drivers from unrolling.
        unsafe { device.create_shader_module_trusted(descriptor, checks) }
    }

    fn layout(&self, kernel: &Kernel) -> wgpu::BindGroupLayout {
        let reflection = &kernel.reflection;
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries: Vec<_> = reflection
            .slots
            .iter()
            .map(|slot| {
                let ty = match slot.access {
                    Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                };
                entry(slot.binding, ty)
            })
            .collect();
        entries.extend(reflection.params.as_ref().map(|p| entry(p.binding, wgpu::BufferBindingType::Uniform)));
        let label = kernel.spec.to_string();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries };
        self.device().create_bind_group_layout(&descriptor)
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
