//! Buffers: making them, and reading them back.

use std::{sync::mpsc, time::Duration};

use super::{Gpu, GpuError};

/// How long a result may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Memory on the GPU; clones share it.
#[derive(Clone, Debug)]
pub struct Buffer {
    raw: wgpu::Buffer,
}

impl Buffer {
    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.raw.size()
    }
}

impl Gpu {
    /// Memory for kernels to read and write.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn storage(&self, label: &str, size: u64) -> Result<Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.buffer(label, size, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC)
    }

    /// Memory for parameter blocks.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn uniform(&self, label: &str, size: u64) -> Result<Buffer, GpuError> {
        self.buffer(label, size, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)
    }

    pub(super) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer, GpuError> {
        self.make_buffer(label, size, usage, false)
    }

    /// A buffer; `mapped` where the CPU writes to it before anything else does.
    pub(super) fn make_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> Result<Buffer, GpuError> {
        let size = size.max(16).next_multiple_of(16);
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: mapped };
        let (raw, failed) = self.guarded(|device| device.create_buffer(&descriptor));
        match failed {
            Some(text) => Err(GpuError::Memory { label: label.to_owned(), size, text }),
            None => {
                self.counters().buffer();
                Ok(Buffer { raw })
            }
        }
    }

    /// Writes zeros to all of some buffers.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn clear<'a>(&self, buffers: impl Iterator<Item = &'a Buffer>) -> Result<(), GpuError> {
        let mut encoder = self.encoder();
        buffers.for_each(|buffer| encoder.clear_buffer(&buffer.raw, 0, None));
        self.submit([encoder])?;
        Ok(())
    }

    /// Waits for everything submitted and returns a range of a buffer.
    ///
    /// # Errors
    /// When the device is lost or does not finish.
    pub fn read(&self, buffer: &Buffer, offset: u64, size: u64) -> Result<Vec<u8>, GpuError> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let start = offset / 4 * 4;
        let padded = (offset + size - start).next_multiple_of(4);
        let staging = self.staging(padded)?;
        let mut encoder = self.encoder();
        self.copy(&mut encoder, (buffer, start), (&staging, 0), padded);
        self.submit([encoder])?;
        let slice = staging.raw().slice(..padded);
        let (sender, receiver) = mpsc::channel();
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only when the wait below gave up.
            let _ = sender.send(result);
        });
        self.wait(PATIENCE)?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(GpuError::Lost(e.to_string())),
            Err(_) => return Err(GpuError::Timeout { seconds: PATIENCE.as_secs() }),
        }
        let first = (offset - start) as usize;
        let view = slice.get_mapped_range().map_err(|e| GpuError::Command(e.to_string()))?;
        let bytes = view[first..first + size as usize].to_vec();
        drop(view);
        staging.raw().unmap();
        *self.staging_slot() = Some(staging);
        self.counters().read(padded);
        Ok(bytes)
    }

    /// Records a copy of `size` bytes between places in buffers. No other function does so for buffers, so that all copies are counted.
    pub(super) fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        from: (&Buffer, u64),
        to: (&Buffer, u64),
        size: u64,
    ) {
        encoder.copy_buffer_to_buffer(from.0.raw(), from.1, to.0.raw(), to.1, size);
        self.counters().copied(size);
    }

    /// A buffer to read through: the one that the last reading left, if it is large enough and no other thread has it.
    fn staging(&self, size: u64) -> Result<Buffer, GpuError> {
        let left = self.staging_slot().take();
        if let Some(buffer) = left.filter(|b| b.size() >= size) {
            return Ok(buffer);
        }
        self.staging_buffer(size)
    }

    /// A buffer that results are copied to, to be read.
    pub(super) fn staging_buffer(&self, size: u64) -> Result<Buffer, GpuError> {
        self.buffer("staging", size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }
}
