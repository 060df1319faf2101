//! What steps cost: CPU time of the thread that runs them, and how long submissions keep the GPU.

use std::{
    ops::Sub,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// CPU time of the threads that run steps, by what it goes into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Evaluating sizes, places and parameters.
    pub bind: Duration,
    /// Handing parameters and inputs to the driver.
    pub write: Duration,
    /// Recording commands.
    pub record: Duration,
    /// Submitting them.
    pub submit: Duration,
    /// Waiting, and reading results.
    pub read: Duration,
}

impl CpuTimes {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.bind + self.write + self.record + self.submit + self.read
    }
}

impl Sub for CpuTimes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            bind: self.bind - earlier.bind,
            write: self.write - earlier.write,
            record: self.record - earlier.record,
            submit: self.submit - earlier.submit,
            read: self.read - earlier.read,
        }
    }
}

/// A part of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Bind,
    Write,
    Record,
    Submit,
    Read,
}

/// Histogram steps in each doubling of a duration.
const FINE: u32 = 4;
/// The first of them ends here.
const SHORTEST: Duration = Duration::from_micros(16);
const BUCKETS: usize = 96;

/// How long submissions kept the GPU, as a histogram whose steps are a fifth apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitTimes([u64; BUCKETS]);

impl SubmitTimes {
    /// Submissions.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What this share of the submissions, from 0 to 1, is no longer than.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (share * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.0.iter().position(|n| {
            seen += n;
            seen >= wanted
        });
        bucket.map_or(Duration::ZERO, |b| SHORTEST.mul_f64((b as f64 / f64::from(FINE)).exp2()))
    }
}

impl Sub for SubmitTimes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - earlier.0[i]))
    }
}

/// Running totals of a device.
#[derive(Debug)]
pub(crate) struct Costs {
    parts: [AtomicU64; 5],
    submits: [AtomicU64; BUCKETS],
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| AtomicU64::new(0)),
            submits: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Costs {
    /// Does a part of a step and counts its CPU time.
    pub fn time<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let made = work();
        let took = thread_time().saturating_sub(before);
        self.parts[part as usize].fetch_add(took.as_nanos() as u64, Relaxed);
        made
    }

    pub fn submitted(&self, took: Duration) {
        let ratio = took.as_secs_f64() / SHORTEST.as_secs_f64();
        let bucket = (ratio.max(1.0).log2() * f64::from(FINE)).ceil() as usize;
        self.submits[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }

    pub fn cpu(&self) -> CpuTimes {
        let part = |part: Part| Duration::from_nanos(self.parts[part as usize].load(Relaxed));
        CpuTimes {
            bind: part(Part::Bind),
            write: part(Part::Write),
            record: part(Part::Record),
            submit: part(Part::Submit),
            read: part(Part::Read),
        }
    }

    pub fn submits(&self) -> SubmitTimes {
        SubmitTimes(std::array::from_fn(|i| self.submits[i].load(Relaxed)))
    }
}

/// CPU time of this thread.
#[cfg(unix)]
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Where there is no such clock, the time of day.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Costs, Part};
    use std::time::{Duration, Instant};

    #[test]
    fn quantiles_are_at_most_a_fifth_too_long() {
        let costs = Costs::default();
        let before = costs.submits();
        for ms in 1..=100 {
            costs.submitted(Duration::from_millis(ms));
        }
        let times = costs.submits() - before;
        assert_eq!(times.count(), 100);
        for (share, ms) in [(0.0, 1.0), (0.5, 50.0), (0.9, 90.0), (1.0, 100.0)] {
            let found = times.quantile(share).as_secs_f64() * 1e3;
            assert!(found >= ms && found < ms * 1.2, "{share}: {found} ms, not {ms}");
        }
        assert_eq!((times - times).quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn waiting_takes_no_cpu_time() {
        let costs = Costs::default();
        costs.time(Part::Read, || std::thread::sleep(Duration::from_millis(30)));
        costs.time(Part::Record, || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(5) {}
        });
        let cpu = costs.cpu();
        assert!(cfg!(not(unix)) || cpu.read < Duration::from_millis(15), "{cpu:?}");
        assert!(cpu.record > Duration::from_micros(100), "{cpu:?}");
        assert_eq!(cpu.total(), cpu.read + cpu.record);
    }
}
