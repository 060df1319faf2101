//! What runs asked of the device and of the CPU: from the engine's counters, and from the plans.

use std::time::Duration;

use engine::{
    EngineError,
    gpu::{Counts, CpuTimes, Gpu, SubmitTimes},
    plan::{Plan, Work},
    session::Session,
};

use crate::{CpuParts, Kind, SubmitMs};

/// The kernel whose multiply-adds are those of cooperative matrices.
pub(crate) const COOPERATIVE: &str = "linear_coop";

/// Totals at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    counts: Counts,
    cpu: CpuTimes,
    submits: SubmitTimes,
}

/// What happened between two moments, for each token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub dispatches: f64,
    pub copied_bytes: f64,
    pub cpu_ms: f64,
    pub cpu_parts_ms: CpuParts,
    pub submit_ms: SubmitMs,
}

impl Totals {
    /// Those of now.
    pub fn of(gpu: &Gpu) -> Self {
        Self { counts: gpu.counters().counts(), cpu: gpu.cpu_times(), submits: gpu.submit_times() }
    }

    /// What happened between this moment and `after`, in which so many tokens were run.
    pub fn until(&self, after: &Self, tokens: usize) -> Costs {
        let all = tokens as f64;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (did, cpu) = (after.counts - self.counts, after.cpu - self.cpu);
        let submits = after.submits - self.submits;
        Costs {
            dispatches: did.dispatches as f64 / all,
            copied_bytes: did.moved_bytes() as f64 / all,
            cpu_ms: ms(cpu.total()) / all,
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

/// What a plan's kernels have to do, and the operations of it that cooperative matrices do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub work: Work,
    pub coop_flops: u64,
}

impl Demand {
    /// Of tokens of one kind behind so many others, all of them.
    ///
    /// # Errors
    /// When a size cannot be computed.
    pub fn of(session: &Session, kind: Kind, tokens: usize, depth: usize) -> Result<Self, EngineError> {
        let model = session.model();
        let step = match kind {
            Kind::Prefill => session.chunk(),
            Kind::Decode => 1,
        };
        let mut all = Self::default();
        for first in (0..tokens).step_by(step.max(1)) {
            let seq = step.min(tokens - first);
            let bindings = model.bindings(seq, depth + first, session.capacity());
            let plan = model.plan(seq == 1);
            for index in 0..plan.calls.len() {
                all.add(plan, index, plan.work(index, &bindings)?);
            }
        }
        Ok(all)
    }

    fn add(&mut self, plan: &Plan, index: usize, work: Work) {
        self.work = [self.work, work].into_iter().sum();
        if plan.calls[index].spec.kernel() == COOPERATIVE {
            self.coop_flops += work.flops;
        }
    }
}
