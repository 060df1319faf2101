//! When the calls of a recording began and ended, by the GPU's own clock.

use std::{sync::Arc, time::Duration};

use ash::vk;

use super::device::{Device, refused};

/// Two readings for each call.
#[derive(Debug)]
pub(super) struct Clock {
    device: Arc<Device>,
    pool: vk::QueryPool,
    readings: u32,
    /// Nanoseconds.
    tick: f32,
}

impl Clock {
    pub fn new(device: &Arc<Device>, calls: usize, tick: f32) -> Result<Self, String> {
        let readings = 2 * calls.max(1) as u32;
        let info =
            vk::QueryPoolCreateInfo::default().query_type(vk::QueryType::TIMESTAMP).query_count(readings);
        // SAFETY: the device is alive.
        let pool = unsafe { device.raw().create_query_pool(&info, None) };
        Ok(Self { device: device.clone(), pool: pool.map_err(refused("vkCreateQueryPool"))?, readings, tick })
    }

    /// Records that nothing is known.
    ///
    /// # Safety
    /// The command buffer must be under recording.
    pub unsafe fn reset(&self, commands: vk::CommandBuffer) {
        // SAFETY: the pool is alive and has as many.
        unsafe { self.device.raw().cmd_reset_query_pool(commands, self.pool, 0, self.readings) };
    }

    /// Records a reading of the clock behind everything before it.
    ///
    /// # Safety
    /// The command buffer must be under recording, of a queue that has a clock, and `reading` one of those asked for.
    pub unsafe fn note(&self, commands: vk::CommandBuffer, reading: usize) {
        let stage = vk::PipelineStageFlags::BOTTOM_OF_PIPE;
        // SAFETY: the pool is alive.
        unsafe { self.device.raw().cmd_write_timestamp(commands, stage, self.pool, reading as u32) };
    }

    /// The time between two readings, the first of this number.
    pub fn between(&self, first: usize) -> Result<Duration, String> {
        let mut ticks = [0u64; 2];
        let flags = vk::QueryResultFlags::TYPE_64 | vk::QueryResultFlags::WAIT;
        // SAFETY: the pool is alive and has both.
        unsafe { self.device.raw().get_query_pool_results(self.pool, first as u32, &mut ticks, flags) }
            .map_err(refused("vkGetQueryPoolResults"))?;
        let nanoseconds = ticks[1].saturating_sub(ticks[0]) as f64 * f64::from(self.tick);
        Ok(Duration::from_nanos(nanoseconds as u64))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: the device is alive. The recording that reads the clock outlives its execution.
        unsafe { self.device.raw().destroy_query_pool(self.pool, None) };
    }
}
