//! Where a step's time goes: the same dispatches, each with the GPU's clock read before and after.

use std::time::{Duration, Instant};

use super::{Dispatches, Gpu, Run};
use crate::{error::EngineError, gpu::buffer::PATIENCE};

/// Queries of a set, as many as wgpu allows.
const QUERIES: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// How the time of single dispatches is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// By the GPU's own clock.
    Timestamps,
    /// By this program's, from a submit to its end, for want of the other: what a submit takes by itself is in it.
    Submits,
}

impl Gpu {
    /// The best clock that it has.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let offered = self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        if offered { Clock::Timestamps } else { Clock::Submits }
    }

    /// Runs `count` passes, one after the other, and returns how long each took. `record` records the one of a number.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(in crate::gpu) fn time_passes(
        &self,
        count: usize,
        record: &mut dyn FnMut(usize, &mut wgpu::ComputePass<'_>),
    ) -> Result<Vec<Duration>, EngineError> {
        match self.clock() {
            Clock::Submits => (0..count)
                .map(|index| {
                    let mut encoder = self.encoder();
                    record(index, &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
                    self.time_submit(encoder)
                })
                .collect(),
            Clock::Timestamps => {
                let mut times = Vec::with_capacity(count);
                let most = QUERIES as usize / 2;
                for first in (0..count).step_by(most) {
                    times.extend(self.time_by_queries(first..count.min(first + most), record)?);
                }
                Ok(times)
            }
        }
    }

    fn time_submit(&self, encoder: wgpu::CommandEncoder) -> Result<Duration, EngineError> {
        self.wait(PATIENCE)?;
        let start = Instant::now();
        self.submit([encoder])?;
        self.wait(PATIENCE)?;
        Ok(start.elapsed())
    }

    fn time_by_queries(
        &self,
        passes: std::ops::Range<usize>,
        record: &mut dyn FnMut(usize, &mut wgpu::ComputePass<'_>),
    ) -> Result<Vec<Duration>, EngineError> {
        let count = 2 * passes.len() as u32;
        let set = self.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let ticks = self.buffer("profile", u64::from(count) * 8, usage)?;
        let mut encoder = self.encoder();
        for (at, index) in passes.enumerate() {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(2 * at as u32),
                end_of_pass_write_index: Some(2 * at as u32 + 1),
            };
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
            record(index, &mut encoder.begin_compute_pass(&descriptor));
        }
        encoder.resolve_query_set(&set, 0..count, ticks.raw(), 0);
        self.submit([encoder])?;
        let bytes = self.read(&ticks, 0, u64::from(count) * 8)?;
        let period = f64::from(self.queue().get_timestamp_period());
        let ticks: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        let between = |pair: &[u64; 2]| pair[1].saturating_sub(pair[0]) as f64 * period;
        Ok(ticks.as_chunks::<2>().0.iter().map(|pair| Duration::from_nanos(between(pair) as u64)).collect())
    }
}

impl Run {
    /// Records and submits one step as [`Run::submit`] does, and returns the time of each call, in the plan's order; nothing
    /// for those that this step leaves out.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn profile(&self, gpu: &Gpu) -> Result<Vec<Duration>, EngineError> {
        self.bring(gpu);
        match (&self.dispatches, gpu.clock()) {
            (Dispatches::ByWgpu(dispatches), _) => gpu.time_passes(dispatches.len(), &mut |index, pass| {
                self.dispatch(gpu, &dispatches[index], index, pass);
            }),
            (Dispatches::Kept(replay), Clock::Timestamps) => {
                let tick = gpu.queue().get_timestamp_period();
                let timed = replay.timed(|call| self.bound.calls[call].workgroups, tick)?;
                gpu.submit([timed.play(gpu)?])?;
                gpu.wait(PATIENCE)?;
                Ok(timed.times()?)
            }
            (Dispatches::Kept(replay), Clock::Submits) => (0..self.plan.calls.len())
                .map(|call| gpu.time_submit(self.recording(gpu, replay, call..call + 1)?.play(gpu)?))
                .collect(),
        }
    }
}
