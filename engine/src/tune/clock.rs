//! The times of a model's nodes by the variants that they took, in steps of prefill and of decode.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    error::EngineError,
    plan::Plan,
    session::{LoadedModel, Session},
};

/// Positions in the cache when decode is timed, where the model's context has as many.
const DEPTH: usize = 1024;
/// Steps of both phases that a round takes at least, and at most.
const STEPS: usize = 3;
const MOST_STEPS: usize = 24;
/// Between them, it takes so long.
const LONG: Duration = Duration::from_millis(60);

/// Times by problem and variant.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(BTreeMap<(String, String), Vec<Duration>>);

impl Samples {
    /// Takes over what the calls of a plan took in a step.
    fn add(&mut self, plan: &Plan, times: &[Duration]) {
        for choice in &plan.choices {
            let time = times.get(choice.calls.clone()).unwrap_or_default().iter().sum();
            let of = (choice.problem.to_string(), choice.variant().to_owned());
            self.0.entry(of).or_default().push(time);
        }
    }

    /// Microseconds that a node of this problem takes with a variant: the median.
    pub fn micros(&self, problem: &str, variant: &str) -> Option<f64> {
        let mut times = self.0.get(&(problem.to_owned(), variant.to_owned()))?.clone();
        times.sort();
        times.get(times.len() / 2).map(|median| median.as_secs_f64() * 1e6)
    }

    /// Puts other times in the place of those of the same problems and variants.
    pub fn replace(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

/// A model that is timed: a session of it, and what it is given.
#[derive(Debug)]
pub(super) struct Timed {
    model: Arc<LoadedModel>,
    session: Session,
    /// Of a step of prefill; a single one where it has none.
    tokens: Vec<u32>,
    depth: usize,
}

impl Timed {
    /// A session with room for a chunk and for decode behind a context of some length.
    pub fn new(model: LoadedModel) -> Result<Self, EngineError> {
        let model = Arc::new(model);
        let capacity = model.context().min(model.chunk().max(DEPTH + 1));
        let mut session = Session::new(model.clone(), capacity)?;
        let vocabulary = model.vocabulary().max(1);
        let tokens = (0..session.largest_step()).map(|at| (at * 7919 % vocabulary) as u32).collect();
        Ok(Self { session, tokens, depth: DEPTH.min(capacity - 1), model })
    }

    /// Runs steps of both phases: as many as count, more where they are short, and a single one behind the deadline.
    pub fn sample(&mut self, deadline: Instant, samples: &mut Samples) -> Result<(), EngineError> {
        let start = Instant::now();
        for step in 1..=MOST_STEPS {
            self.step(samples)?;
            let enough = step >= STEPS && start.elapsed() >= LONG;
            if enough || Instant::now() >= deadline {
                break;
            }
        }
        Ok(())
    }

    /// Runs a step of each phase.
    pub fn step(&mut self, samples: &mut Samples) -> Result<(), EngineError> {
        let [(_, prefill), (_, decode)] = self.model.phases();
        if self.tokens.len() > 1 {
            self.session.truncate(0);
            samples.add(prefill, &self.session.profile(&self.tokens)?);
        }
        self.session.assume(self.depth);
        samples.add(decode, &self.session.profile(&self.tokens[..1])?);
        Ok(())
    }

    /// The logits of a step of prefill and of the step of decode behind it, of one position less where there is no room.
    pub fn logits(&mut self) -> Result<Vec<f32>, EngineError> {
        self.session.truncate(0);
        let mut logits = Vec::new();
        let room = self.session.capacity().saturating_sub(1);
        let tokens = &self.tokens[..self.tokens.len().min(room)];
        if tokens.len() > 1 {
            logits = self.session.run(tokens)?;
        }
        if self.session.past() < self.session.capacity() {
            logits.extend(self.session.run(&self.tokens[..1])?);
        }
        Ok(logits)
    }
}
