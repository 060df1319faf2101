//! What is asked of the GPU, counted: tests and benchmarks read it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Running totals of a device.
#[derive(Debug, Default)]
pub struct Counters {
    dispatches: AtomicU64,
    submits: AtomicU64,
    copies: AtomicU64,
    copied_bytes: AtomicU64,
    uploaded_bytes: AtomicU64,
    most_staged: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    pipelines: AtomicU64,
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    recordings: AtomicU64,
}

/// A reading of [`Counters`]; the difference of two tells what a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernel calls recorded.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submits: u64,
    /// Copy commands recorded, those that read results back included.
    pub copies: u64,
    /// Bytes that those copies move.
    pub copied_bytes: u64,
    /// Bytes written from the CPU.
    pub uploaded_bytes: u64,
    /// Results copied to be read back, with one copy command each.
    pub reads: u64,
    /// Their bytes, in whole words of 4.
    pub read_bytes: u64,
    /// Pipelines made.
    pub pipelines: u64,
    /// Buffers made.
    pub buffers: u64,
    /// Bind groups made, where wgpu records each step.
    pub bind_groups: u64,
    /// Command buffers recorded once for all, where the backend can.
    pub recordings: u64,
}

impl Counters {
    pub(super) fn dispatched(&self, calls: u64) {
        self.dispatches.fetch_add(calls, Relaxed);
    }

    pub(super) fn submitted(&self) {
        self.submits.fetch_add(1, Relaxed);
    }

    pub(super) fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn staged(&self, bytes: u64) {
        self.most_staged.fetch_max(bytes, Relaxed);
    }

    pub(super) fn copied(&self, bytes: u64) {
        self.copies.fetch_add(1, Relaxed);
        self.copied_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn pipeline(&self) {
        self.pipelines.fetch_add(1, Relaxed);
    }

    pub(super) fn buffer(&self) {
        self.buffers.fetch_add(1, Relaxed);
    }

    pub(super) fn bind_group(&self) {
        self.bind_groups.fetch_add(1, Relaxed);
    }

    pub(super) fn recording(&self) {
        self.recordings.fetch_add(1, Relaxed);
    }

    /// The most bytes that staging memory held at once on their way to the device.
    #[must_use]
    pub fn most_staged(&self) -> u64 {
        self.most_staged.load(Relaxed)
    }

    /// The totals now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            dispatches: self.dispatches.load(Relaxed),
            submits: self.submits.load(Relaxed),
            copies: self.copies.load(Relaxed),
            copied_bytes: self.copied_bytes.load(Relaxed),
            uploaded_bytes: self.uploaded_bytes.load(Relaxed),
            reads: self.reads.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            pipelines: self.pipelines.load(Relaxed),
            buffers: self.buffers.load(Relaxed),
            bind_groups: self.bind_groups.load(Relaxed),
            recordings: self.recordings.load(Relaxed),
        }
    }
}

impl Counts {
    /// Bytes copied on the GPU for anything but reading results back.
    #[must_use]
    pub fn moved_bytes(&self) -> u64 {
        self.copied_bytes - self.read_bytes
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            dispatches: self.dispatches - earlier.dispatches,
            submits: self.submits - earlier.submits,
            copies: self.copies - earlier.copies,
            copied_bytes: self.copied_bytes - earlier.copied_bytes,
            uploaded_bytes: self.uploaded_bytes - earlier.uploaded_bytes,
            reads: self.reads - earlier.reads,
            read_bytes: self.read_bytes - earlier.read_bytes,
            pipelines: self.pipelines - earlier.pipelines,
            buffers: self.buffers - earlier.buffers,
            bind_groups: self.bind_groups - earlier.bind_groups,
            recordings: self.recordings - earlier.recordings,
        }
    }
}
