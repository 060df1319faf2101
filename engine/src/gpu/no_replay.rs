//! Recorded steps where there is no Vulkan, on Apple's systems: there are none, and wgpu records each step.

use std::{convert::Infallible, ops::Range, sync::Arc, time::Duration};

use shaders::Kernel;

use super::{GpuError, disk::CacheFile, vulkan::Offer};

#[derive(Debug)]
pub(super) struct Recorder(Infallible);

#[derive(Debug)]
pub(super) struct Program;

#[derive(Debug)]
pub(super) struct Replay(Infallible);

#[derive(Debug)]
pub(super) struct Recording(Infallible);

impl Recorder {
    pub fn open(_: &wgpu::Device, _: &Offer, _: Option<CacheFile>) -> Result<Option<Self>, String> {
        Ok(None)
    }

    pub fn program(&self, _: &Kernel) -> Result<(Arc<Program>, bool), GpuError> {
        match self.0 {}
    }

    pub fn found(&self) -> bool {
        match self.0 {}
    }

    pub fn forget(&self) {
        match self.0 {}
    }

    pub fn save(&self) -> Result<(), GpuError> {
        match self.0 {}
    }
}

impl Replay {
    pub fn new(
        recorder: &Recorder,
        _: Vec<(Arc<Program>, Vec<wgpu::BindGroupEntry<'_>>)>,
    ) -> Result<Self, GpuError> {
        match recorder.0 {}
    }

    pub fn recording(
        &self,
        _: Range<usize>,
        _: impl Fn(usize) -> [u32; 3],
    ) -> Result<(Arc<Recording>, bool), GpuError> {
        match self.0 {}
    }

    pub fn timed(&self, _: impl Fn(usize) -> [u32; 3], _: f32) -> Result<Arc<Recording>, GpuError> {
        match self.0 {}
    }
}

impl Recording {
    pub fn times(&self) -> Result<Vec<Duration>, GpuError> {
        match self.0 {}
    }

    pub fn len(&self) -> u64 {
        match self.0 {}
    }

    pub fn execute(self: &Arc<Self>, _: &wgpu::Device, _: &mut wgpu::CommandEncoder) -> Result<(), GpuError> {
        match self.0 {}
    }
}
