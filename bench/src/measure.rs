//! The measuring: a text, cut back to its depth before each repetition.

use std::{ops::ControlFlow, time::Instant};

use engine::{EngineError, generate::Generator};

use crate::{Device, Kind, Report, Statistics, cost::Totals};

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

impl Workload {
    fn cases(&self) -> Vec<(Kind, usize, usize)> {
        let kinds = [(Kind::Prefill, &self.prefill), (Kind::Decode, &self.decode)];
        let lengths = kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |n| (kind, *n)));
        let lengths = lengths.filter(|(_, n)| *n > 0);
        lengths.flat_map(|(kind, n)| self.depths.iter().map(move |d| (kind, n, *d))).collect()
    }

    /// Whether nothing would be measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases().is_empty() || self.repeat == 0
    }

    /// Positions that a session needs.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.cases().iter().map(|(_, n, depth)| n + depth).max().unwrap_or(0)
    }
}

/// Measures every length at every depth in a session, whose content is lost. `progress` hears how many repetitions are done,
/// of all; when it returns false, the cases that are complete are returned.
///
/// # Errors
/// When the session has less room than [`Workload::longest`], or the GPU fails.
pub fn measure(
    generator: &mut Generator,
    work: &Workload,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Report, EngineError> {
    let model = generator.session().model().clone();
    let gpu = model.gpu();
    let cases = work.cases();
    let total = cases.len() * (work.repeat + 1);
    let chunk = generator.session().chunk();
    let device = Device::of(gpu);
    let mut report = Report { device, repetitions: work.repeat, chunk, measurements: Vec::new() };
    for (index, (kind, tokens, depth)) in cases.into_iter().enumerate() {
        let text = tokens_of(depth + tokens);
        let mut rates = Vec::with_capacity(work.repeat);
        let mut before = Totals::of(gpu);
        for repetition in 0..=work.repeat {
            // Before the first, the text of another case is there.
            let left = generator.rewind(if repetition == 0 { 0 } else { depth });
            prompt(generator, &text[left..depth])?;
            gpu.flush()?;
            if repetition == 1 {
                before = Totals::of(gpu);
            }
            let start = Instant::now();
            match kind {
                Kind::Prefill => prompt(generator, &text[depth..])?,
                Kind::Decode => decode(generator, text[depth], tokens)?,
            }
            if repetition > 0 {
                rates.push(tokens as f64 / start.elapsed().as_secs_f64().max(1e-9));
            }
            if !progress(index * (work.repeat + 1) + repetition + 1, total) {
                return Ok(report);
            }
        }
        let Some(rate) = Statistics::of(&rates) else { continue };
        let after = Totals::of(gpu);
        report.measurements.push(before.until(&after, kind, (tokens, depth), rate, work.repeat));
    }
    Ok(report)
}

fn prompt(generator: &mut Generator, tokens: &[u32]) -> Result<(), EngineError> {
    generator.prompt(tokens, &mut |_, _| ControlFlow::Continue(())).map(|_| ())
}

/// Runs `count` tokens one by one: one that is given, and those that the model continues it with.
fn decode(generator: &mut Generator, first: u32, count: usize) -> Result<(), EngineError> {
    prompt(generator, &[first])?;
    generator.limit(count);
    (0..count).try_for_each(|_| generator.next_token().map(|_| ()))
}

/// Any tokens will do; small ids are in every vocabulary.
pub(crate) fn tokens_of(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| 1 + i * 7 % 31).collect()
}

#[cfg(test)]
mod tests {
    use super::Workload;
    use crate::Kind;

    #[test]
    fn every_length_at_every_depth() {
        let work = Workload { prefill: vec![64, 0], decode: vec![8], depths: vec![0, 100], repeat: 1 };
        let all =
            [(Kind::Prefill, 64, 0), (Kind::Prefill, 64, 100), (Kind::Decode, 8, 0), (Kind::Decode, 8, 100)];
        assert_eq!(work.cases(), all);
        assert_eq!(work.longest(), 164);
        assert!(!work.is_empty());
        assert!(Workload { repeat: 0, ..work.clone() }.is_empty());
        assert!(Workload { depths: Vec::new(), ..work }.is_empty());
    }
}
