//! Sizes and times as people read them, and what a process and a session take.

use std::fs;

use engine::session::Session;
use serde_json::{Value, json};

/// Bytes in the unit that leaves three digits or so.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// The most memory that this process has held so far; `None` where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes on the GPU.
#[derive(Clone, Copy, Debug)]
pub struct GpuMemory {
    /// Weights, shared by all sessions.
    pub weights: u64,
    /// Those of them that lie in textures.
    pub textures: u64,
    /// The session's KV cache.
    pub cache: u64,
    /// The session's arena.
    pub arena: u64,
}

impl GpuMemory {
    /// Of a session.
    pub fn of(session: &Session) -> Self {
        let memory = session.memory();
        let model = session.model();
        let (weights, textures) = (model.weight_bytes(), model.texture_bytes());
        Self { weights, textures, cache: memory.cache_bytes(), arena: memory.bytes() }
    }

    /// In words.
    pub fn text(&self) -> String {
        let [weights, cache, arena] = [self.weights, self.cache, self.arena].map(size);
        let peak = self.peak().map_or(String::new(), |(peak, ratio)| {
            format!("; process peak {}, {ratio:.2} times these", size(peak))
        });
        let textures = match self.textures {
            0 => String::new(),
            bytes => format!(" ({} in textures)", size(bytes)),
        };
        format!("GPU: weights {weights}{textures}, cache {cache}, arena {arena}{peak}")
    }

    /// The most that the process has held, and how many times what it needs on the GPU that is.
    fn peak(&self) -> Option<(u64, f64)> {
        let needed = self.weights + self.cache + self.arena;
        peak_memory().map(|peak| (peak, peak as f64 / needed.max(1) as f64))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "weights_bytes": self.weights,
            "texture_bytes": self.textures,
            "cache_bytes": self.cache,
            "arena_bytes": self.arena,
        });
        if let Some((peak, ratio)) = self.peak() {
            json["process_peak_bytes"] = json!(peak);
            json["process_peak_ratio"] = json!(ratio);
        }
        json
    }
}
