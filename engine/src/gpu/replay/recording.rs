//! A run's dispatches, recorded for the workgroups that a step has, and executed until those change.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ash::vk;
use wgpu::hal::api::Vulkan;

use super::{
    Recorder,
    bound::{Bound, Call, Unbound},
    clock::Clock,
    device::refused,
};
use crate::gpu::GpuError;

/// The dispatches of a run, and what is recorded of them.
#[derive(Debug)]
pub(in crate::gpu) struct Replay {
    bound: Arc<Bound>,
    /// Of parts of a step that do not overlap.
    recordings: Mutex<Vec<Arc<Recording>>>,
}

/// Some dispatches of a step in a command buffer, to be executed as often as it pleases.
#[derive(Debug)]
pub(in crate::gpu) struct Recording {
    bound: Arc<Bound>,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    calls: Range<usize>,
    workgroups: Vec<[u32; 3]>,
    clock: Option<Clock>,
}

impl Replay {
    /// Binds dispatches, each of a program and what lies where.
    ///
    /// # Errors
    /// When something is larger than the device binds at once, or the driver has no room.
    pub fn new(recorder: &Recorder, calls: Vec<Unbound<'_>>) -> Result<Self, GpuError> {
        let bound = Bound::new(recorder.device(), calls).map_err(GpuError::Command)?;
        Ok(Self { bound: Arc::new(bound), recordings: Mutex::default() })
    }

    /// The recording of some calls for these workgroups, each call's in `[x, y, z]`, and whether it was made now. Calls
    /// without workgroups are left out.
    ///
    /// # Errors
    /// When the driver has no room.
    pub fn recording(
        &self,
        calls: Range<usize>,
        workgroups: impl Fn(usize) -> [u32; 3],
    ) -> Result<(Arc<Recording>, bool), GpuError> {
        let mut recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |r: &&Arc<Recording>| {
            r.calls == calls && r.workgroups.iter().copied().eq(calls.clone().map(&workgroups))
        };
        if let Some(found) = recordings.iter().find(same) {
            return Ok((found.clone(), false));
        }
        let made = Recording::new(&self.bound, calls.clone(), workgroups, None).map_err(GpuError::Command)?;
        let made = Arc::new(made);
        recordings.retain(|r| r.calls.end <= calls.start || calls.end <= r.calls.start);
        recordings.push(made.clone());
        Ok((made, true))
    }

    /// A recording of all calls that notes when each began and ended, for the device's ticks of so many nanoseconds.
    ///
    /// # Errors
    /// When the driver has no room.
    pub fn timed(
        &self,
        workgroups: impl Fn(usize) -> [u32; 3],
        tick: f32,
    ) -> Result<Arc<Recording>, GpuError> {
        let calls = 0..self.bound.calls.len();
        let clock = Clock::new(self.bound.device(), calls.len(), tick).map_err(GpuError::Command)?;
        let made = Recording::new(&self.bound, calls, workgroups, Some(clock));
        made.map(Arc::new).map_err(GpuError::Command)
    }
}

impl Recording {
    fn new(
        bound: &Arc<Bound>,
        calls: Range<usize>,
        workgroups: impl Fn(usize) -> [u32; 3],
        clock: Option<Clock>,
    ) -> Result<Self, String> {
        let workgroups = calls.clone().map(workgroups).collect();
        let raw = bound.device().raw();
        let info = vk::CommandPoolCreateInfo::default().queue_family_index(bound.device().family());
        // SAFETY: the device is alive and has this family.
        let pool = unsafe { raw.create_command_pool(&info, None) }.map_err(refused("vkCreateCommandPool"))?;
        let bound = bound.clone();
        // From here on the pool is destroyed with it.
        let mut made = Self { bound, pool, commands: vk::CommandBuffer::null(), calls, workgroups, clock };
        made.record()?;
        Ok(made)
    }

    fn record(&mut self) -> Result<(), String> {
        let raw = self.bound.device().raw();
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .level(vk::CommandBufferLevel::SECONDARY)
            .command_buffer_count(1);
        // SAFETY: the pool is alive, and used by this thread alone.
        let made = unsafe { raw.allocate_command_buffers(&info) };
        self.commands =
            made.map_err(refused("vkAllocateCommandBuffers"))?.first().copied().unwrap_or_default();
        let inheritance = vk::CommandBufferInheritanceInfo::default();
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE)
            .inheritance_info(&inheritance);
        // SAFETY: the command buffer was just made; pipelines, layouts and sets are held by `bound`; workgroups are within
        // the limits that plans are made for.
        unsafe {
            raw.begin_command_buffer(self.commands, &info).map_err(refused("vkBeginCommandBuffer"))?;
            self.clock.iter().for_each(|clock| clock.reset(self.commands));
            let mut before = Step::Any;
            for (index, [x, y, z]) in self.dispatches() {
                let Call { program, set } = &self.bound.calls[index];
                self.barrier(before, Step::Dispatch);
                before = Step::Dispatch;
                let point = vk::PipelineBindPoint::COMPUTE;
                self.clock.iter().for_each(|clock| clock.note(self.commands, 2 * index));
                raw.cmd_bind_pipeline(self.commands, point, program.pipeline);
                raw.cmd_bind_descriptor_sets(self.commands, point, program.layout, 0, &[*set], &[]);
                raw.cmd_dispatch(self.commands, x, y, z);
                self.clock.iter().for_each(|clock| clock.note(self.commands, 2 * index + 1));
            }
            self.barrier(before, Step::Any);
            raw.end_command_buffer(self.commands).map_err(refused("vkEndCommandBuffer"))
        }
    }

    /// Lets what comes behind see what came before.
    ///
    /// # Safety
    /// The command buffer must be under recording.
    unsafe fn barrier(&self, before: Step, behind: Step) {
        let (source, written, _) = before.scope();
        let (target, _, touched) = behind.scope();
        let memory = [vk::MemoryBarrier::default().src_access_mask(written).dst_access_mask(touched)];
        let flags = vk::DependencyFlags::empty();
        // SAFETY: the caller's.
        unsafe {
            self.bound.device().raw().cmd_pipeline_barrier(
                self.commands,
                source,
                target,
                flags,
                &memory,
                &[],
                &[],
            );
        }
    }

    /// The calls that have workgroups.
    fn dispatches(&self) -> impl Iterator<Item = (usize, [u32; 3])> {
        self.calls.clone().zip(self.workgroups.iter().copied()).filter(|(_, each)| !each.contains(&0))
    }

    /// Kernel calls in it.
    pub fn len(&self) -> u64 {
        self.dispatches().count() as u64
    }

    /// How long each call took, once its execution was waited for; nothing for those that it leaves out.
    ///
    /// # Errors
    /// When the driver has no times, or the recording was not timed.
    pub fn times(&self) -> Result<Vec<Duration>, GpuError> {
        let untimed = || GpuError::Command("a recording was not timed".to_owned());
        let clock = self.clock.as_ref().ok_or_else(untimed)?;
        let mut times = vec![Duration::ZERO; self.calls.len()];
        for (index, _) in self.dispatches() {
            times[index - self.calls.start] = clock.between(2 * index).map_err(GpuError::Command)?;
        }
        Ok(times)
    }

    /// Has a command buffer of this device execute it, which then records nothing else.
    ///
    /// # Errors
    /// When the command buffer is another device's, or was refused.
    pub fn execute(
        self: &Arc<Self>,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<(), GpuError> {
        let lost = || GpuError::Command("a recorded step found no command buffer to go into".to_owned());
        if device != self.bound.device().owner() {
            return Err(lost());
        }
        let raw = self.bound.device().raw();
        // SAFETY: the command buffer is under recording, outside of any pass, and belongs to the same device and family. wgpu
        // holds the recording until it has been executed: see below.
        let done = unsafe {
            encoder.as_hal_mut::<Vulkan, _, _>(|hal| {
                hal.map(|hal| raw.cmd_execute_commands(hal.raw_handle(), &[self.commands]))
            })
        };
        let held = self.clone();
        encoder.on_submitted_work_done(move || drop(held));
        done.ok_or_else(lost)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: nothing executes it, or wgpu would hold it, and the device is alive.
        unsafe { self.bound.device().raw().destroy_command_pool(self.pool, None) };
    }
}

/// What stands on a side of a barrier.
#[derive(Clone, Copy)]
enum Step {
    /// A kernel call.
    Dispatch,
    /// Whatever is submitted before or behind.
    Any,
}

impl Step {
    /// Its stage, how it writes, and how it touches memory at all.
    fn scope(self) -> (vk::PipelineStageFlags, vk::AccessFlags, vk::AccessFlags) {
        use vk::AccessFlags as Access;
        match self {
            Self::Dispatch => (
                vk::PipelineStageFlags::COMPUTE_SHADER,
                Access::SHADER_WRITE,
                Access::SHADER_READ | Access::SHADER_WRITE | Access::UNIFORM_READ,
            ),
            Self::Any => (
                vk::PipelineStageFlags::ALL_COMMANDS,
                Access::MEMORY_WRITE,
                Access::MEMORY_READ | Access::MEMORY_WRITE,
            ),
        }
    }
}
