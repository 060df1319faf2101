//! Small results that come back while later steps run: a ring of buffers to read through.

use std::{
    collections::VecDeque,
    sync::mpsc::{self, Receiver},
};

use super::{Buffer, Gpu, GpuError, buffer::PATIENCE};

/// Results that may be under way at once.
const SLOTS: usize = 4;
/// Bytes of one: a token's id.
const BYTES: u64 = 4;

type Mapped = Receiver<Result<(), wgpu::BufferAsyncError>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Readback {
    slots: Vec<Buffer>,
    /// The oldest first.
    pending: VecDeque<Pending>,
    /// The slot that the next result goes through.
    next: usize,
    /// Of those pending, how many of the oldest nobody waits for any more.
    stale: usize,
}

#[derive(Debug)]
struct Pending {
    slot: usize,
    submission: wgpu::SubmissionIndex,
    mapped: Mapped,
}

impl Readback {
    pub fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let slots = (0..SLOTS).map(|_| gpu.staging_buffer(BYTES)).collect::<Result<_, _>>()?;
        Ok(Self { slots, pending: VecDeque::new(), next: 0, stale: 0 })
    }

    /// Results that somebody waits for.
    pub fn len(&self) -> usize {
        self.pending.len() - self.stale
    }

    /// Records the copy of a result.
    ///
    /// # Errors
    /// When all slots hold results that were not taken.
    pub fn record(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        from: &Buffer,
    ) -> Result<(), GpuError> {
        if self.pending.len() == SLOTS {
            if self.stale == 0 {
                return Err(GpuError::Command(format!("{SLOTS} results wait to be read")));
            }
            self.drop_stale(gpu)?;
        }
        gpu.copy(encoder, (from, 0), (&self.slots[self.next], 0), BYTES);
        gpu.counters().read(BYTES);
        Ok(())
    }

    /// Begins to read what was recorded last, now that it is submitted.
    pub fn begin(&mut self, submission: wgpu::SubmissionIndex) {
        let slot = self.next;
        let (sender, mapped) = mpsc::channel();
        self.slots[slot].raw().map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only when nobody waits for the result.
            let _ = sender.send(result);
        });
        self.pending.push_back(Pending { slot, submission, mapped });
        self.next = (slot + 1) % SLOTS;
    }

    /// Nobody waits any more for what is under way.
    pub fn forget(&mut self) {
        self.stale = self.pending.len();
    }

    /// The oldest result, which it waits for; `None` when none is under way.
    pub fn take(&mut self, gpu: &Gpu) -> Result<Option<u32>, GpuError> {
        while self.stale > 0 {
            self.drop_stale(gpu)?;
        }
        let Some(oldest) = self.pending.pop_front() else { return Ok(None) };
        let buffer = &self.slots[oldest.slot];
        finish(gpu, &oldest)?;
        let word = {
            let view = buffer.raw().get_mapped_range(..).map_err(|e| GpuError::Command(e.to_string()))?;
            view.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        buffer.raw().unmap();
        Ok(Some(word))
    }

    fn drop_stale(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        self.stale -= 1;
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        finish(gpu, &oldest)?;
        self.slots[oldest.slot].raw().unmap();
        Ok(())
    }
}

/// Waits until a slot is mapped.
fn finish(gpu: &Gpu, pending: &Pending) -> Result<(), GpuError> {
    gpu.wait_for(pending.submission.clone(), PATIENCE)?;
    match pending.mapped.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(GpuError::Lost(e.to_string())),
        Err(_) => Err(GpuError::Timeout { seconds: PATIENCE.as_secs() }),
    }
}
