//! Small pieces of work, as an app's frames are: how long they take while the GPU has other things to do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shaders::{KernelSpec, compile};

use super::{Buffer, Gpu, Pipeline, buffer::PATIENCE};
use crate::error::EngineError;

/// Workgroups for which there is memory.
const MOST: u64 = 1 << 14;
/// Bytes of a workgroup's numbers.
const GROUP: u64 = 64 * 4;

/// Work of one frame.
#[derive(Debug)]
pub struct FrameWork {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: u64,
    _out: Buffer,
}

impl FrameWork {
    /// Arithmetic that takes about so long on a GPU which has nothing else to do.
    ///
    /// # Errors
    /// When the GPU refuses it, or fails.
    pub fn new(gpu: &Gpu, time: Duration) -> Result<Self, EngineError> {
        let spec = KernelSpec::new("peak_arithmetic").with("ELEM", "f32").flag("FUSED", false);
        let pipeline = gpu.pipeline(&compile(&spec)?)?;
        let out = gpu.storage("frame", MOST * GROUP)?;
        let entries = [wgpu::BindGroupEntry { binding: 0, resource: out.raw().as_entire_binding() }];
        let group = gpu.bind_group(&pipeline, &entries)?;
        let mut work = Self { pipeline, group, workgroups: 1, _out: out };
        work.run(gpu)?;
        while work.workgroups < MOST && work.run(gpu)? < time {
            work.workgroups *= 2;
        }
        Ok(work)
    }

    /// Does it once; how long that took, from its submission to its end.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn run(&self, gpu: &Gpu) -> Result<Duration, EngineError> {
        let start = Instant::now();
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(self.pipeline.raw());
            pass.set_bind_group(0, &self.group, &[]);
            pass.dispatch_workgroups(self.workgroups as u32, 1, 1);
        }
        let submission = gpu.submit([encoder])?;
        gpu.wait_for(submission, PATIENCE)?;
        Ok(start.elapsed())
    }
}
