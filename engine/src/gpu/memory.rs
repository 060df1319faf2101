//! A session's memory: one arena for all its plans, and its caches.

use symbolic::Bindings;

use super::{Buffer, Gpu};
use crate::{error::EngineError, op::RootKind, plan::Plan};

/// Buffers of one session; clones share them.
#[derive(Clone, Debug)]
pub struct Arena {
    pub(super) buffer: Buffer,
    pub(super) caches: Vec<Buffer>,
    /// Whose they are.
    pub(super) device: wgpu::Device,
}

impl Arena {
    /// An arena of `bytes`, and the caches that a plan names at the sizes of a binding, all of them zero.
    ///
    /// # Errors
    /// When the device has no room, or a size is not bound or below zero.
    pub fn new(gpu: &Gpu, bytes: u64, plan: &Plan, bindings: &Bindings) -> Result<Self, EngineError> {
        let buffer = gpu.storage("arena", bytes)?;
        let mut caches = Vec::new();
        for root in plan.roots.iter().filter(|r| matches!(r.kind, RootKind::Cache(_))) {
            let len = root.len.eval(bindings)?;
            let size = u64::try_from(len).ok().and_then(|len| len.checked_mul(root.elem.size()));
            let size = size.ok_or_else(|| {
                EngineError::model("gpu", format!("the cache {:?} comes to {len} elements", root.name))
            })?;
            caches.push(gpu.storage(&root.name, size)?);
        }
        gpu.clear(caches.iter().chain([&buffer]))?;
        Ok(Self { buffer, caches, device: gpu.device().clone() })
    }

    /// Bytes of the arena.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.buffer.size()
    }

    /// Bytes of all caches.
    #[must_use]
    pub fn cache_bytes(&self) -> u64 {
        self.caches.iter().map(Buffer::size).sum()
    }
}
