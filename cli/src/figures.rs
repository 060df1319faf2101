//! Sizes and times as people read them, and what a process and a session take.

use std::fs;

use bench::Memory;
use engine::session::Session;

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

/// Lets [`peak_memory`] begin anew, where the system can; elsewhere the peak so far stays.
pub fn forget_peak_memory() {
    // 5 resets the "high water mark" (proc_pid_clear_refs(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// What a session takes, its model's weights included.
pub fn memory(session: &Session) -> Memory {
    let (arena, model) = (session.memory(), session.model());
    Memory {
        weights_bytes: model.weight_bytes(),
        texture_bytes: model.texture_bytes(),
        cache_bytes: arena.cache_bytes(),
        arena_bytes: arena.bytes(),
        process_peak_bytes: peak_memory(),
    }
}

/// Memory in words.
pub fn memory_text(memory: &Memory) -> String {
    let [weights, cache, arena] = [memory.weights_bytes, memory.cache_bytes, memory.arena_bytes].map(size);
    let peak = memory.process_peak_bytes.zip(memory.peak_ratio()).map_or(String::new(), |(peak, ratio)| {
        format!("; process peak {}, {ratio:.2} times these", size(peak))
    });
    let textures = match memory.texture_bytes {
        0 => String::new(),
        bytes => format!(" ({} in textures)", size(bytes)),
    };
    format!("GPU: weights {weights}{textures}, cache {cache}, arena {arena}{peak}")
}
