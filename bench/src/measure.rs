//! The measuring: a text, cut back to its depth before each repetition.

use std::{
    fmt,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant, SystemTime},
};

use engine::{EngineError, generate::Generator};

use crate::{
    Kind, Measurement, Peaks, Reading, Statistics, Thermometer,
    cost::{Costs, Demand, Totals},
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Prompt lengths.
    pub prefill: Vec<usize>,
    /// Numbers of generated tokens.
    pub decode: Vec<usize>,
    /// Tokens in the cache before each.
    pub depths: Vec<usize>,
    /// Repetitions that count; one more goes before.
    pub repeat: usize,
}

/// One length at one depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Prompt tokens, or generated ones.
    pub kind: Kind,
    /// How many.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
}

/// What one repetition of a test took.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// All its tokens.
    pub whole: Duration,
    /// Of a prompt: from its beginning to the first token of the answer.
    pub first_token: Option<Duration>,
    /// Of generated tokens: each of them.
    pub tokens: Vec<Duration>,
}

impl Workload {
    /// Every length at every depth.
    #[must_use]
    pub fn tests(&self) -> Vec<Test> {
        let kinds = [(Kind::Prefill, &self.prefill), (Kind::Decode, &self.decode)];
        let lengths = kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |n| (kind, *n)));
        let lengths = lengths.filter(|(_, n)| *n > 0);
        let at = |(kind, tokens)| self.depths.iter().map(move |depth| Test { kind, tokens, depth: *depth });
        lengths.flat_map(at).collect()
    }

    /// Whether nothing would be measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tests().is_empty() || self.repeat == 0
    }

    /// Positions that a session needs.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.tests().iter().map(Test::positions).max().unwrap_or(0)
    }
}

/// As llama-bench names it, such as `pp512 @ d2000`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Prefill => "pp",
            Kind::Decode => "tg",
        };
        write!(f, "{kind}{}", self.tokens)?;
        if self.depth > 0 { write!(f, " @ d{}", self.depth) } else { Ok(()) }
    }
}

impl Test {
    /// Positions that a session needs.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.depth + self.tokens
    }

    /// Runs it once, in a session that holds nothing or an earlier repetition, whose content is lost.
    ///
    /// # Errors
    /// When the session has less room than [`Test::positions`], or the GPU fails.
    pub fn once(&self, generator: &mut Generator) -> Result<Repetition, EngineError> {
        self.prepare(generator)?;
        let text = tokens_of(self.positions());
        let start = Instant::now();
        match self.kind {
            Kind::Prefill => {
                generator.limit(1);
                prompt(generator, &text[self.depth..])?;
                let whole = start.elapsed();
                generator.next_token()?;
                Ok(Repetition { whole, first_token: Some(start.elapsed()), tokens: Vec::new() })
            }
            Kind::Decode => {
                let mut last = start;
                prompt(generator, &text[self.depth..=self.depth])?;
                generator.limit(self.tokens);
                let mut tokens = Vec::with_capacity(self.tokens);
                for _ in 0..self.tokens {
                    generator.next_token()?;
                    let now = Instant::now();
                    tokens.push(now - last);
                    last = now;
                }
                Ok(Repetition { whole: start.elapsed(), first_token: None, tokens })
            }
        }
    }

    /// Brings the session to the depth.
    fn prepare(&self, generator: &mut Generator) -> Result<(), EngineError> {
        let kept = generator.rewind(self.depth);
        prompt(generator, &tokens_of(self.depth)[kept..])?;
        generator.session().model().gpu().flush()?;
        Ok(())
    }
}

/// What tests are measured under.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// What the device can do, if that was measured.
    pub peaks: Option<Peaks>,
    /// What tells heat and power.
    pub thermometer: Thermometer,
    /// How long to rest before each test.
    pub rest: Duration,
    /// Rest until no sensor is hotter, C.
    pub cool_to: Option<f64>,
}

/// How long to wait at most until sensors are cool.
const PATIENCE: Duration = Duration::from_secs(600);

impl Conditions {
    /// Of this machine, its GPU not measured, without rests.
    #[must_use]
    pub fn here() -> Self {
        Self { peaks: None, thermometer: Thermometer::here(), rest: Duration::ZERO, cool_to: None }
    }

    /// Rests before a test.
    fn rest(&self) {
        thread::sleep(self.rest);
        let Some(limit) = self.cool_to else { return };
        let began = Instant::now();
        let hot = || self.thermometer.hottest().is_some_and(|t| t > limit);
        while hot() && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

/// Measures tests in a session, whose content is lost. `progress` hears how many repetitions are done, of all; when it returns false, the tests that are complete are returned.
///
/// # Errors
/// When the session has less room than [`Workload::longest`], or the GPU fails.
pub fn measure(
    generator: &mut Generator,
    work: &Workload,
    conditions: &Conditions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<Measurement>, EngineError> {
    let tests = work.tests();
    let total = tests.len() * (work.repeat + 1);
    let mut measured = Vec::with_capacity(tests.len());
    for (index, test) in tests.into_iter().enumerate() {
        let model = generator.session().model().clone();
        conditions.rest();
        let began = SystemTime::now();
        let cool = conditions.thermometer.read();
        let mut repetitions = Vec::with_capacity(work.repeat);
        // Before the first, the text of another test is there.
        generator.rewind(0);
        let mut before = Totals::of(model.gpu());
        for repetition in 0..=work.repeat {
            let took = test.once(generator)?;
            match repetition {
                0 => before = Totals::of(model.gpu()),
                _ => repetitions.push(took),
            }
            if !progress(index * (work.repeat + 1) + repetition + 1, total) {
                return Ok(measured);
            }
        }
        let after = Totals::of(model.gpu());
        let demand = Demand::of(generator.session(), test.kind, test.tokens, test.depth)?;
        let heat = [cool, conditions.thermometer.read()];
        let peaks = conditions.peaks.as_ref();
        let costs = before.until(&after, test.tokens * repetitions.len());
        measured.extend(summary(test, began, &repetitions, costs, &demand, peaks, heat));
    }
    Ok(measured)
}

fn summary(
    Test { kind, tokens, depth }: Test,
    began: SystemTime,
    repetitions: &[Repetition],
    costs: Costs,
    demand: &Demand,
    peaks: Option<&Peaks>,
    heat: [Reading; 2],
) -> Option<Measurement> {
    let count = tokens as f64;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let rates: Vec<f64> = repetitions.iter().map(|r| count / r.whole.as_secs_f64().max(1e-9)).collect();
    let firsts: Vec<f64> = repetitions.iter().filter_map(|r| r.first_token.map(ms)).collect();
    let each: Vec<f64> = repetitions.iter().flat_map(|r| r.tokens.iter().copied().map(ms)).collect();
    let rate = Statistics::of(&rates)?;
    let (bytes, flops) = (demand.work.bytes as f64, demand.work.flops as f64);
    let seconds = count / rate.median;
    Some(Measurement {
        kind,
        tokens,
        depth,
        began: humantime::format_rfc3339_seconds(began).to_string(),
        rate,
        rates,
        first_token_ms: Statistics::of(&firsts),
        token_ms: Statistics::of(&each),
        dispatches_per_token: costs.dispatches,
        bytes_per_token: bytes / count,
        flops_per_token: flops / count,
        of_read: peaks.map(|peaks| bytes / seconds / peaks.read),
        of_arithmetic: peaks.map(|peaks| peaks.least_seconds(flops, demand.coop_flops as f64) / seconds),
        copied_bytes_per_token: costs.copied_bytes,
        cpu_ms_per_token: costs.cpu_ms,
        cpu_parts_ms: costs.cpu_parts_ms,
        submit_ms: costs.submit_ms,
        heat,
    })
}

fn prompt(generator: &mut Generator, tokens: &[u32]) -> Result<(), EngineError> {
    generator.prompt(tokens, &mut |_, _| ControlFlow::Continue(())).map(|_| ())
}

/// Any tokens will do; small ids are in every vocabulary.
pub(crate) fn tokens_of(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| 1 + i * 7 % 31).collect()
}

#[cfg(test)]
mod tests {
    use super::{Test, Workload};
    use crate::Kind::{Decode, Prefill};

    #[test]
    fn every_length_at_every_depth() {
        let work = Workload { prefill: vec![64, 0], decode: vec![8], depths: vec![0, 100], repeat: 1 };
        let all = [(Prefill, 64, 0), (Prefill, 64, 100), (Decode, 8, 0), (Decode, 8, 100)];
        assert_eq!(work.tests(), all.map(|(kind, tokens, depth)| Test { kind, tokens, depth }));
        assert_eq!(work.longest(), 164);
        assert!(!work.is_empty());
        assert!(Workload { repeat: 0, ..work.clone() }.is_empty());
        assert!(Workload { depths: Vec::new(), ..work }.is_empty());
    }
}
