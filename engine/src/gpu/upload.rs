//! Bytes on their way to the device: written in place where it shares the CPU's memory, else through staging memory of a
//! bounded size.

use wgpu::Features;

use super::{Buffer, Gpu, GpuError, buffer::PATIENCE};

/// Bytes that are handed over at once.
pub(super) const PIECE: usize = 4 << 20;
/// Bytes that are gathered for one submission.
const SHARE: u64 = 8 << 20;
/// Staging memory that uploads take at most: one share is gathered while the one before is copied.
pub const STAGING: u64 = 2 * SHARE;

/// What is staged.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Bytes that wait for a submission.
    waiting: u64,
    /// The latest submission that took bytes along, and how many.
    under_way: Option<(wgpu::SubmissionIndex, u64)>,
}

impl Staged {
    /// What waited was submitted.
    pub fn submitted(&mut self, submission: &wgpu::SubmissionIndex) {
        if self.waiting > 0 {
            self.under_way = Some((submission.clone(), self.waiting));
            self.waiting = 0;
        }
    }

    /// Nothing waits and nothing is under way.
    pub fn done(&mut self) {
        *self = Self::default();
    }

    fn bytes(&self) -> u64 {
        self.waiting + self.under_way.as_ref().map_or(0, |(_, bytes)| *bytes)
    }
}

impl Gpu {
    /// Whether buffers that kernels read can be written by the CPU in place: the device has no memory of its own.
    #[must_use]
    pub fn shares_memory(&self) -> bool {
        self.device().features().contains(Features::MAPPABLE_PRIMARY_BUFFERS)
    }

    /// Memory for kernels that holds these bytes; `taken` hears of each piece that is not read any more.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn filled(&self, label: &str, bytes: &[u8], taken: &dyn Fn(&[u8])) -> Result<Buffer, GpuError> {
        if self.shares_memory() {
            return self.filled_in_place(label, bytes, taken);
        }
        let buffer = self.storage(label, bytes.len() as u64)?;
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            self.write(&buffer, (index * PIECE) as u64, piece);
            taken(piece);
        }
        Ok(buffer)
    }

    fn filled_in_place(&self, label: &str, bytes: &[u8], taken: &dyn Fn(&[u8])) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::MAP_WRITE;
        let unmapped = |e: wgpu::MapRangeError| GpuError::Command(e.to_string());
        let buffer = self.make_buffer(label, bytes.len() as u64, usage, true)?;
        {
            let mut view = buffer.raw().slice(..).get_mapped_range_mut().map_err(unmapped)?;
            for (index, piece) in bytes.chunks(PIECE).enumerate() {
                let at = index * PIECE;
                view.slice(at..at + piece.len()).copy_from_slice(piece);
                taken(piece);
            }
        }
        buffer.raw().unmap();
        self.counters().uploaded(bytes.len() as u64);
        Ok(buffer)
    }

    /// Writes bytes before the next submit, whose error is also that of the writing. A length that is no multiple of 4 is
    /// filled up with zeros.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        let whole = bytes.len() / 4 * 4;
        let mut at = offset;
        for piece in bytes[..whole].chunks(PIECE) {
            self.stage(piece.len() as u64, |queue| queue.write_buffer(buffer.raw(), at, piece));
            at += piece.len() as u64;
        }
        if whole < bytes.len() {
            let mut word = [0; 4];
            word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.stage(4, |queue| queue.write_buffer(buffer.raw(), at, &word));
        }
        self.counters().uploaded(bytes.len() as u64);
    }

    /// Lets `write` bring so many bytes to staging memory, when there is room.
    pub(super) fn stage(&self, bytes: u64, write: impl FnOnce(&wgpu::Queue)) {
        let mut staged = self.staged();
        if staged.waiting + bytes > SHARE {
            let before = staged.under_way.take();
            staged.submitted(&self.queue().submit([]));
            if let Some((before, _)) = before {
                // A device that is lost or stuck is reported by the next submit or wait; here it only costs memory.
                let _ = self.polled(Some(before), PATIENCE);
            }
        }
        staged.waiting += bytes;
        self.counters().staged(staged.bytes());
        write(self.queue());
    }
}

#[cfg(test)]
mod tests {
    use super::{Gpu, PIECE, SHARE, STAGING};

    fn noop() -> Gpu {
        Gpu::noop(devices::profiles().next().expect("a profile")).expect("noop opens")
    }

    #[test]
    fn staging_memory_is_bounded_whatever_goes_up() {
        let gpu = noop();
        assert!(!gpu.shares_memory());
        let large = vec![1; 3 * STAGING as usize + 5];
        let taken = std::sync::Mutex::new(0);
        gpu.filled("large", &large, &|piece| *taken.lock().expect("one thread") += piece.len())
            .expect("made");
        assert_eq!(*taken.lock().expect("one thread"), large.len());
        let small = vec![2; PIECE / 3];
        for _ in 0..20 {
            gpu.filled("small", &small, &|_| {}).expect("made");
        }
        let most = gpu.counters().most_staged();
        assert!(most > SHARE && most <= STAGING, "{most} bytes");
        gpu.flush().expect("written");
        assert_eq!(gpu.staged().bytes(), 0);
    }

    #[test]
    fn a_submission_takes_along_what_waits() {
        let gpu = noop();
        let buffer = gpu.storage("small", 64).expect("made");
        gpu.write(&buffer, 0, &[1; 64]);
        assert_eq!(gpu.staged().waiting, 64);
        gpu.submit([gpu.encoder()]).expect("submitted");
        let staged = |gpu: &Gpu| {
            let staged = gpu.staged();
            (staged.waiting, staged.bytes())
        };
        assert_eq!(staged(&gpu), (0, 64));
        gpu.write(&buffer, 0, &[2; 4]);
        assert_eq!(gpu.staged().bytes(), 68);
    }
}
