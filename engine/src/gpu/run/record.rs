//! Recording calls: by wgpu anew in each step, or once for all.

use std::{ops::Range, sync::Arc};

use super::{Dispatch, Dispatches, Gpu, Run};
use crate::{
    error::EngineError,
    gpu::{
        Chooser,
        replay::{Recording, Replay},
    },
};

impl Run {
    /// Records some calls of a step, and behind them a choice, with whether the step is one of decode: what is to be submitted.
    pub(in crate::gpu) fn record(
        &self,
        gpu: &Gpu,
        calls: Range<usize>,
        choice: &mut Option<(&mut Chooser, bool)>,
    ) -> Result<Vec<wgpu::CommandEncoder>, EngineError> {
        let mut encoders = Vec::with_capacity(2);
        let by_wgpu = match &self.dispatches {
            Dispatches::ByWgpu(dispatches) => dispatches.as_slice(),
            Dispatches::Kept(replay) => {
                encoders.push(self.recording(gpu, replay, calls.clone())?.play(gpu)?);
                &[]
            }
        };
        if by_wgpu.is_empty() && choice.is_none() {
            return Ok(encoders);
        }
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (call, dispatch) in by_wgpu.iter().enumerate().take(calls.end).skip(calls.start) {
                self.dispatch(gpu, dispatch, call, &mut pass);
            }
            if let Some((chooser, decode)) = choice {
                chooser.dispatch(gpu, &mut pass, *decode);
            }
        }
        if let Some((chooser, _)) = choice {
            chooser.copy(gpu, &mut encoder)?;
        }
        encoders.push(encoder);
        Ok(encoders)
    }

    /// The recording of some calls, as many workgroups as they have in this step.
    pub(super) fn recording(
        &self,
        gpu: &Gpu,
        replay: &Replay,
        calls: Range<usize>,
    ) -> Result<Arc<Recording>, EngineError> {
        let (recording, made) = replay.recording(calls, |call| self.bound.calls[call].workgroups)?;
        if made {
            gpu.counters().recording();
        }
        Ok(recording)
    }

    /// Has wgpu record one call; none where there is nothing to do in this step.
    pub(super) fn dispatch(
        &self,
        gpu: &Gpu,
        dispatch: &Dispatch,
        call: usize,
        pass: &mut wgpu::ComputePass<'_>,
    ) {
        let [x, y, z] = self.bound.calls[call].workgroups;
        if x == 0 || y == 0 || z == 0 {
            return;
        }
        pass.set_pipeline(dispatch.pipeline.raw());
        pass.set_bind_group(0, &dispatch.group, &[]);
        pass.dispatch_workgroups(x, y, z);
        gpu.counters().dispatched(1);
    }
}

impl Recording {
    /// What is to be submitted to have it executed.
    pub(super) fn play(self: &Arc<Self>, gpu: &Gpu) -> Result<wgpu::CommandEncoder, EngineError> {
        let mut encoder = gpu.encoder();
        self.execute(gpu.device(), &mut encoder)?;
        gpu.counters().dispatched(self.len());
        Ok(encoder)
    }
}
