//! What the device can do at most, by kernels that do nothing else.

use std::{fmt, time::Duration};

use devices::{Coop, F16};
use serde::{Deserialize, Serialize};
use shaders::{KernelSpec, compile};

use super::{Buffer, Gpu};
use crate::error::EngineError;

/// The best of this many times counts.
const TRIALS: usize = 5;
/// A memory test reads this many bytes, or as many as a binding may have: more than caches hold.
const MEMORY: u64 = 256 << 20;
/// An arithmetic test takes this long at least.
const LONG: Duration = Duration::from_millis(5);
const THREADS: u64 = 64;
const VECTORS: u64 = 16;
const STEPS: u64 = 256;
const SUMS: u64 = 12;
/// Of cooperative matrices: subgroups of a workgroup, what each multiplies, and how often it does.
const WARPS: u64 = 4;
const MATRICES: u64 = 8;
const PRODUCTS: u64 = 1024;
/// Workgroups in one dimension that every device allows.
const ROW: u64 = 65_535;

/// Measured rates, per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// Bytes read by vectors of 16 from neighbouring addresses.
    pub read: f64,
    /// Bytes read and written by a copy of such vectors.
    pub copy: f64,
    /// Additions and multiplications of f32, two for each multiply-add.
    pub f32: f64,
    /// Of f16 in pairs, where the device has them.
    pub f16: Option<f64>,
    /// Of f16 with sums in f32 by cooperative matrices, where the device has them.
    pub coop: Option<f64>,
}

impl Peaks {
    /// Seconds that operations take at the rates which their kernels can use: of cooperative matrices, else of f32.
    #[must_use]
    pub fn least_seconds(&self, flops: f64, coop_flops: f64) -> f64 {
        (flops - coop_flops) / self.f32 + coop_flops / self.coop.unwrap_or(self.f32)
    }
}

impl fmt::Display for Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let giga = |rate: f64| rate / 1e9;
        write!(f, "peaks: read {:.2} GB/s, copy {:.2} GB/s, ", giga(self.read), giga(self.copy))?;
        write!(f, "multiply-add f32 {:.1} GFLOP/s", giga(self.f32))?;
        for (name, rate) in [("f16", self.f16), ("cooperative matrices", self.coop)] {
            if let Some(rate) = rate {
                write!(f, ", {name} {:.1} GFLOP/s", giga(rate))?;
            }
        }
        Ok(())
    }
}

impl Gpu {
    /// Measures; takes a second or two.
    ///
    /// # Errors
    /// When the device has no memory for it, or fails.
    pub fn peaks(&self) -> Result<Peaks, EngineError> {
        let bytes = self.target().max_binding.min(MEMORY);
        let groups = bytes / (16 * THREADS * VECTORS);
        let bytes = groups * 16 * THREADS * VECTORS;
        let (source, out) = (self.storage("peak", bytes)?, self.storage("peak", bytes)?);
        // Pages that were never written may all be one page of zeros. As f16 these are 0.53, as f32 0.00004.
        self.write(&source, 0, &vec![0x38; bytes as usize]);
        let memory = |mode: &'static str, moved: u64| {
            let spec = KernelSpec::new("peak_memory").with("MODE", mode);
            Ok::<_, EngineError>(moved as f64 / self.best(&spec, &[&source, &out], groups)?.as_secs_f64())
        };
        let read = memory("read", bytes + bytes / VECTORS)?;
        let copy = memory("copy", 2 * bytes)?;
        let f16 = match self.offers().f16 {
            F16::None => None,
            F16::Native | F16::Passthrough => Some(self.arithmetic("f16", 2, &out)?),
        };
        let coop = self.offers().coop.map(|matrices| self.cooperative(matrices, &out)).transpose()?;
        Ok(Peaks { read, copy, f32: self.arithmetic("f32", 1, &out)?, f16, coop })
    }

    /// The better of two ways to say it: drivers differ in which they do fast.
    fn arithmetic(&self, elem: &'static str, lanes: u64, out: &Buffer) -> Result<f64, EngineError> {
        let most = 1 << (out.size() / (4 * THREADS)).max(1).ilog2();
        let mut best = 0f64;
        for fused in [false, true] {
            let spec = KernelSpec::new("peak_arithmetic").with("ELEM", elem).flag("FUSED", fused);
            let rate = self.long(&spec, out, [512, most])?;
            best = best.max(rate * (THREADS * STEPS * SUMS * 2 * lanes) as f64);
        }
        Ok(best)
    }

    /// Of cooperative matrices; each subgroup adds to 8 of them.
    fn cooperative(&self, Coop { size, lanes }: Coop, out: &Buffer) -> Result<f64, EngineError> {
        let elements = u64::from(size.pow(2));
        let most = 1 << (out.size() / (4 * MATRICES * elements * WARPS)).max(1).ilog2();
        let spec = KernelSpec::new("peak_coop").with("SIZE", size.to_string()).set("LANES", lanes);
        let rate = self.long(&spec, out, [16, most])?;
        Ok(rate * (WARPS * PRODUCTS * MATRICES * elements * u64::from(size) * 2) as f64)
    }

    /// Workgroups a second, of so many, up to `most`, that they take long enough together.
    fn long(&self, spec: &KernelSpec, out: &Buffer, [few, most]: [u64; 2]) -> Result<f64, EngineError> {
        let mut groups = most.min(few);
        loop {
            let time = self.best(spec, &[out], groups)?;
            if time >= LONG || groups == most {
                return Ok(groups as f64 / time.as_secs_f64());
            }
            groups = (4 * groups).min(most);
        }
    }

    /// The shortest time of a kernel in this many workgroups.
    fn best(&self, spec: &KernelSpec, buffers: &[&Buffer], groups: u64) -> Result<Duration, EngineError> {
        let pipeline = self.pipeline(&compile(spec)?)?;
        let whole = buffers.iter().map(|buffer| buffer.raw().as_entire_binding());
        let entries: Vec<_> =
            (0..).zip(whole).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        let group = self.bind_group(&pipeline, &entries)?;
        // Powers of two where there is more than one row, so that all rows are full.
        let (x, y) = if groups <= ROW { (groups, 1) } else { (ROW / 2 + 1, groups / (ROW / 2 + 1)) };
        let times = self.time_passes(1 + TRIALS, &mut |_, pass| {
            pass.set_pipeline(pipeline.raw());
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(x as u32, y as u32, 1);
        })?;
        Ok(times[1..].iter().min().copied().unwrap_or_default().max(Duration::from_nanos(1)))
    }
}
