//! How much memory a device has left for buffers, where anybody tells.

use std::fs;

use super::{Gpu, vulkan};

impl Gpu {
    /// Bytes that buffers can still take: what the driver tells, and where the GPU shares the system's memory, what that has
    /// left. `None` where neither tells.
    #[must_use]
    pub fn free_memory(&self) -> Option<u64> {
        let own = || vulkan::free_memory(self.device());
        match self.summary().adapter.kind {
            // Software devices have no memory of their own, whatever they tell: Mesa's says 2 GiB.
            "cpu" => available(),
            "integrated" => own().into_iter().chain(available()).min(),
            _ => own(),
        }
    }
}

/// Bytes that programs can still have, as Linux and Android estimate them.
fn available() -> Option<u64> {
    let all = fs::read_to_string("/proc/meminfo").ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
