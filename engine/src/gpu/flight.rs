//! Steps under way: recorded, submitted in slices that leave the screen its turns, and waited for.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Chooser, Gpu, Run, buffer::PATIENCE, costs::Part, slices::Slices};
use crate::error::EngineError;

/// Submissions that are kept in mind; of so many, nobody waits for any.
const KEPT: usize = 1024;
/// Waiting for less than this was no waiting: the GPU had been done before.
const AT_ONCE: Duration = Duration::from_micros(50);

/// What a run has under way, and what it knows of how long that takes.
#[derive(Debug)]
pub(super) struct Flights {
    slices: Slices,
    /// The oldest first.
    flying: VecDeque<Flight>,
    /// Steps that those make up.
    steps: usize,
    /// Whether the parameters that are the same for all steps are there.
    fixed: bool,
}

/// One submission.
#[derive(Debug)]
struct Flight {
    calls: Range<usize>,
    submission: wgpu::SubmissionIndex,
    submitted: Instant,
}

impl Flights {
    pub fn new(calls: usize) -> Self {
        Self { slices: Slices::new(calls), flying: VecDeque::new(), steps: 0, fixed: false }
    }
}

impl Run {
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records and submits one step.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn submit(&self, gpu: &Gpu) -> Result<(), EngineError> {
        self.submit_choosing(gpu, None)
    }

    /// Records and submits one step, and behind it a choice that is prepared; whether the step is one of decode is for the
    /// chooser to know whose logits it reads. The parameters are written in the order of submissions: those of a step
    /// under way stay as they are.
    pub(crate) fn submit_choosing(
        &self,
        gpu: &Gpu,
        choice: Option<(&mut Chooser, bool)>,
    ) -> Result<(), EngineError> {
        // A step of which a part was refused is none that could be waited for.
        self.submit_slices(gpu, choice).inspect_err(|_| {
            self.forget();
            self.flights().fixed = false;
        })
    }

    fn submit_slices(&self, gpu: &Gpu, mut choice: Option<(&mut Chooser, bool)>) -> Result<(), EngineError> {
        let costs = gpu.costs();
        self.bring(gpu);
        let mut flights = self.flights();
        let slices = flights.slices.cut(gpu.max_submit(), |call| self.workgroups(call));
        let last = slices.len() - 1;
        for (at, calls) in slices.into_iter().enumerate() {
            let choice = if at == last { &mut choice } else { &mut None };
            let encoders = costs.time(Part::Record, || self.record(gpu, calls.clone(), choice))?;
            let submission = gpu.submit(encoders)?;
            if let Some((chooser, _)) = choice {
                costs.time(Part::Read, || chooser.begin(submission.clone()));
            }
            if flights.flying.len() == KEPT {
                flights.flying.clear();
                flights.steps = 0;
            }
            flights.flying.push_back(Flight { calls, submission, submitted: Instant::now() });
        }
        flights.steps += 1;
        Ok(())
    }

    fn workgroups(&self, call: usize) -> u64 {
        self.bound.calls[call].workgroups.iter().map(|n| u64::from(*n)).product()
    }

    /// Writes what a step needs from the CPU.
    pub(super) fn bring(&self, gpu: &Gpu) {
        gpu.costs().time(Part::Write, || {
            for fill in &self.bound.fills {
                gpu.write(&self.arena.buffer, fill.offset, &fill.bytes);
            }
            let mut flights = self.flights();
            let fixed = std::mem::replace(&mut flights.fixed, true);
            let bytes = if fixed { self.bound.changing_params() } else { &self.bound.params };
            gpu.write(&self.params, 0, bytes);
        });
    }

    /// Waits until no more than `left` steps are under way, and learns what the calls of the others take.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(crate) fn finish(&self, gpu: &Gpu, left: usize) -> Result<(), EngineError> {
        let mut flights = self.flights();
        while flights.steps > left && self.finish_step(gpu, &mut flights)? {}
        Ok(())
    }

    /// Waits for the oldest step under way, and learns what its calls take; whether there was one.
    fn finish_step(&self, gpu: &Gpu, flights: &mut Flights) -> Result<bool, EngineError> {
        let costs = gpu.costs();
        let end = self.bound.calls.len();
        // Submissions whose ends nobody saw count together with the next one.
        let (mut first, mut unseen) = (None, 0);
        while let Some(Flight { calls, submission, submitted }) = flights.flying.pop_front() {
            let before = Instant::now();
            costs.time(Part::Read, || gpu.wait_for(submission, PATIENCE))?;
            let now = Instant::now();
            let seen = now - before > AT_ONCE;
            let (start, began) = *first.get_or_insert((calls.start, submitted));
            unseen += 1;
            let done = calls.end == end;
            if seen || done {
                let (since, exact) = gpu.busy_since(began, now, seen);
                let took = now - since;
                (0..unseen).for_each(|_| costs.submitted(took / unseen));
                let moved = |call| self.plan.traffic(call, &self.bound.bindings).unwrap_or(0).max(1) as f64;
                let workgroups = |call| self.workgroups(call);
                flights.slices.learn(start..calls.end, took, exact && seen, workgroups, moved);
                (first, unseen) = (None, 0);
            }
            if done {
                flights.steps = flights.steps.saturating_sub(1);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits no more for the steps under way.
    pub(crate) fn forget(&self) {
        let mut flights = self.flights();
        flights.flying.clear();
        flights.steps = 0;
    }
}
