//! Two configurations in turns, and whether one is faster.

use std::{fmt, thread, time::Duration};

use engine::{EngineError, generate::Generator};
use serde::{Deserialize, Serialize};

use crate::{Statistics, Test, Workload, signed_rank::Middle};

/// How sure an interval is: one of a hundred does not hold the ratio.
pub const CONFIDENCE: f64 = 0.99;

/// A ratio nearer to 1 is no difference: two loads of one model lie elsewhere in memory, and differ by so much. Of 40 pairs of
/// loads of SmolLM2 on software Vulkan, intervals of two were 0.6 and 0.8 % away from 1.
pub const SAME: f64 = 0.01;

/// Pairs that an interval takes at least.
pub const FEWEST: usize = 16;

/// One of two configurations.
#[derive(Debug)]
pub struct Side<'a> {
    /// Its options.
    pub name: String,
    /// A session of it, whose content is lost.
    pub generator: &'a mut Generator,
    /// By how much each repetition is drawn out, in parts of itself: to see what comes of it.
    pub slow_by: f64,
}

/// Which of two is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The second.
    Faster,
    /// The first.
    Slower,
    /// The pairs speak for neither, or for less than [`SAME`].
    Same,
}

/// How fast the second configuration is, for each unit of the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The most likely.
    pub ratio: f64,
    /// The least that the pairs do not speak against.
    pub low: f64,
    /// And the greatest.
    pub high: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// A test of both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// As llama-bench names it.
    pub test: String,
    /// Tokens a second of the first, and of the second.
    pub rates: [Statistics; 2],
    /// Tokens a second of each pair, in the order in which pairs were run.
    pub pairs: Vec<[f64; 2]>,
    /// Of the second to the first.
    pub ratio: Ratio,
}

/// Test by test. `Display` makes a Markdown table and sentences.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Duel {
    /// The options of both.
    pub names: [String; 2],
    /// How sure the intervals are.
    pub confidence: f64,
    /// Test by test.
    pub rounds: Vec<Round>,
}

impl Ratio {
    /// Of pairs of rates, run in the order ABBA; `None` where there are less than [`FEWEST`]. Two neighbours count as one, so
    /// that neither a drift nor going first is in it.
    #[must_use]
    pub fn of(pairs: &[[f64; 2]]) -> Option<Self> {
        let logs: Vec<f64> = pairs.iter().map(|[a, b]| (b / a).ln()).collect();
        let differences: Vec<f64> = logs.as_chunks::<2>().0.iter().map(|[ab, ba]| (ab + ba) / 2.0).collect();
        let Middle { estimate, low, high } = Middle::of(&differences, CONFIDENCE)?;
        let [ratio, low, high] = [estimate, low, high].map(f64::exp);
        let verdict = match (low > 1.0 + SAME, high < 1.0 - SAME) {
            (true, _) => Verdict::Faster,
            (_, true) => Verdict::Slower,
            _ => Verdict::Same,
        };
        Some(Self { ratio, low, high, verdict })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, low, high, verdict } = self;
        let percent = |r: f64| (r - 1.0).abs() * 100.0;
        match verdict {
            Verdict::Faster => {
                write!(
                    f,
                    "B is {:.1} % faster ({:.1} to {:.1} %)",
                    percent(*ratio),
                    percent(*low),
                    percent(*high)
                )
            }
            Verdict::Slower => {
                write!(
                    f,
                    "B is {:.1} % slower ({:.1} to {:.1} %)",
                    percent(*ratio),
                    percent(*high),
                    percent(*low)
                )
            }
            Verdict::Same => {
                write!(f, "no difference seen: B has {:.1} to {:.1} % of A's rate", low * 100.0, high * 100.0)
            }
        }
    }
}

/// Runs each test of both in pairs, which of the two goes first in turns. `progress` hears how many pairs are done, of all; when
/// it returns false, the tests that are complete are returned.
///
/// # Errors
/// When a session has too little room, there are less than [`FEWEST`] pairs, or the GPU fails.
pub fn duel(
    sides: [Side<'_>; 2],
    work: &Workload,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Duel, EngineError> {
    let [mut a, mut b] = sides;
    let names = [a.name.clone(), b.name.clone()];
    let mut duel = Duel { names, confidence: CONFIDENCE, rounds: Vec::new() };
    let tests = work.tests();
    let total = tests.len() * (work.repeat + 1);
    for (index, test) in tests.into_iter().enumerate() {
        let mut pairs = Vec::with_capacity(work.repeat);
        for side in [&mut a, &mut b] {
            side.generator.rewind(0);
        }
        for pair in 0..=work.repeat {
            let rates = if pair % 2 == 0 {
                let first = a.rate(test)?;
                [first, b.rate(test)?]
            } else {
                let second = b.rate(test)?;
                [a.rate(test)?, second]
            };
            if pair > 0 {
                pairs.push(rates);
            }
            if !progress(index * (work.repeat + 1) + pair + 1, total) {
                return Ok(duel);
            }
        }
        let rates =
            [0, 1].map(|side| Statistics::of(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>()));
        let too_few = || EngineError::model("bench", format!("two are compared by {FEWEST} pairs at least"));
        let ([Some(first), Some(second)], Some(ratio)) = (rates, Ratio::of(&pairs)) else {
            return Err(too_few());
        };
        duel.rounds.push(Round { test: test.to_string(), rates: [first, second], pairs, ratio });
    }
    Ok(duel)
}

impl Side<'_> {
    /// Tokens a second of one repetition.
    fn rate(&mut self, test: Test) -> Result<f64, EngineError> {
        let took = test.once(self.generator)?.whole;
        let drawn_out = took.mul_f64(1.0 + self.slow_by.max(0.0));
        thread::sleep(drawn_out - took);
        Ok(test.tokens as f64 / drawn_out.max(Duration::from_nanos(1)).as_secs_f64())
    }
}

impl fmt::Display for Duel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str| if name.is_empty() { "as it is".to_owned() } else { name.to_owned() };
        writeln!(f, "A: {}\nB: {}\n", shown(&self.names[0]), shown(&self.names[1]))?;
        writeln!(f, "| test | pairs | A t/s | B t/s | B/A | {:.0} % sure |", self.confidence * 100.0)?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for Round { test, rates: [a, b], pairs, ratio: r } in &self.rounds {
            writeln!(
                f,
                "| {test} | {} | {:.2} ± {:.2} | {:.2} ± {:.2} | {:.3} | {:.3} to {:.3} |",
                pairs.len(),
                a.mean,
                a.sd,
                b.mean,
                b.sd,
                r.ratio,
                r.low,
                r.high
            )?;
        }
        self.rounds.iter().try_for_each(|round| write!(f, "\n{}: {}", round.test, round.ratio))?;
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ratio, Verdict};

    #[test]
    fn a_verdict_needs_pairs_that_agree() {
        let noise = |i: usize| 1.0 + 0.02 * ((i * 7 % 11) as f64 / 10.0 - 0.5);
        let pairs = |by: f64| -> Vec<[f64; 2]> {
            (0..40).map(|i| [100.0 * noise(i), 100.0 * by * noise(i + 5)]).collect()
        };
        let verdict = |by: f64| Ratio::of(&pairs(by)).unwrap();
        assert_eq!(verdict(1.0).verdict, Verdict::Same);
        assert_eq!(verdict(0.95).verdict, Verdict::Slower);
        let faster = verdict(1.05);
        assert_eq!(faster.verdict, Verdict::Faster);
        assert!(faster.low < 1.05 && 1.05 < faster.high, "{faster:?}");
        let slower = verdict(0.95);
        assert!(slower.low < 0.95 && 0.95 < slower.high, "{slower:?}");
        let text = Ratio { ratio: 0.95, low: 0.94, high: 0.97, verdict: Verdict::Slower }.to_string();
        assert_eq!(text, "B is 5.0 % slower (3.0 to 6.0 %)");
        assert!(verdict(1.0).to_string().starts_with("no difference seen"), "{}", verdict(1.0));
        assert_eq!(Ratio::of(&pairs(1.0)[..15]), None);
    }
}
