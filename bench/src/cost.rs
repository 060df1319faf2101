//! What runs asked of the device and of the CPU, from the engine's counters.

use std::time::Duration;

use engine::gpu::{Counts, CpuTimes, Gpu, SubmitTimes};

use crate::{CpuParts, Kind, Measurement, Statistics, SubmitMs};

/// Totals at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    counts: Counts,
    cpu: CpuTimes,
    submits: SubmitTimes,
}

impl Totals {
    /// Those of now.
    pub fn of(gpu: &Gpu) -> Self {
        Self { counts: gpu.counters().counts(), cpu: gpu.cpu_times(), submits: gpu.submit_times() }
    }

    /// A line of the table, of what happened between this moment and `after` in runs of so many tokens in all.
    pub fn until(
        &self,
        after: &Self,
        kind: Kind,
        (tokens, depth): (usize, usize),
        rate: Statistics,
        runs: usize,
    ) -> Measurement {
        let all = (tokens * runs) as f64;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (did, cpu) = (after.counts - self.counts, after.cpu - self.cpu);
        let submits = after.submits - self.submits;
        Measurement {
            kind,
            tokens,
            depth,
            rate,
            dispatches_per_token: did.dispatches as f64 / all,
            copied_bytes_per_token: did.moved_bytes() as f64 / all,
            cpu_ms_per_token: ms(cpu.total()) / all,
            cpu_parts_ms: CpuParts {
                bind: ms(cpu.bind) / all,
                write: ms(cpu.write) / all,
                record: ms(cpu.record) / all,
                submit: ms(cpu.submit) / all,
                read: ms(cpu.read) / all,
            },
            submit_ms: SubmitMs {
                median: ms(submits.quantile(0.5)),
                p90: ms(submits.quantile(0.9)),
                longest: ms(submits.quantile(1.0)),
            },
        }
    }
}
