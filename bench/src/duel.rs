//! Two configurations in turns, and whether one is faster.

use std::{fmt, thread, time::Duration};

use engine::{EngineError, generate::Generator};
use serde::{Deserialize, Serialize};

use crate::{Statistics, Test, Workload, signed_rank::Middle};

/// How sure an interval is: one of a hundred does not hold the ratio.
pub const CONFIDENCE: f64 = 0.99;

/// A ratio nearer to 1 is no difference that matters.
pub const SAME: f64 = 0.01;

/// How often both are loaded. Two loads of one model lie elsewhere in memory, and differ by up to 2 % on software Vulkan, so
/// that pairs of one load say nothing of another. An interval takes eight at least; of twelve, a disturbed one does not
/// widen it much.
pub const LOADS: usize = 12;

/// Pairs that an interval takes at least: two of each load, one in either order.
pub const FEWEST: usize = 2 * LOADS;

/// One of two configurations.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its options.
    pub name: String,
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
    /// Tokens a second of each pair, in the order in which pairs were run, load by load.
    pub pairs: Vec<Vec<[f64; 2]>>,
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
    /// Of pairs of rates, run in the order ABBA, by loads; `None` where these are too few for an interval. Two neighbours count as
    /// one, so that neither a drift nor going first is in it, and a load as one too, by the median of its pairs.
    #[must_use]
    pub fn of(loads: &[Vec<[f64; 2]>]) -> Option<Self> {
        let of_load = |pairs: &Vec<[f64; 2]>| {
            let logs: Vec<f64> = pairs.iter().map(|[a, b]| (b / a).ln()).collect();
            let both: Vec<f64> = logs.as_chunks::<2>().0.iter().map(|[ab, ba]| (ab + ba) / 2.0).collect();
            Some(Statistics::of(&both)?.median)
        };
        let differences: Vec<f64> = loads.iter().filter_map(of_load).collect();
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

/// Loads both [`LOADS`] times by `open`, which is given the number of a side, and runs each test in pairs; which of the two is
/// loaded, or goes, first changes each time. `progress` hears how many pairs are done, of all; when it returns false, nothing is
/// told of any test.
///
/// # Errors
/// When a side cannot be opened, a session has too little room, no pairs are asked for, or the GPU fails.
pub fn duel<E: From<EngineError>>(
    sides: [Side; 2],
    open: &mut dyn FnMut(usize) -> Result<Generator, E>,
    work: &Workload,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Duel, E> {
    let tests = work.tests();
    // As many in each load, an even number, so that each order has as many: a few more than are asked for.
    let each = work.repeat.div_ceil(FEWEST) * 2;
    let (mut done, total) = (0, LOADS * tests.len() * (each + 1));
    let mut pairs = vec![Vec::with_capacity(LOADS); tests.len()];
    let slow_by = [0, 1].map(|side: usize| sides[side].slow_by);
    let mut duel = Duel { names: sides.map(|side| side.name), confidence: CONFIDENCE, rounds: Vec::new() };
    for load in 0..LOADS {
        let mut generators = if load % 2 == 0 {
            let first = open(0)?;
            [first, open(1)?]
        } else {
            let second = open(1)?;
            [open(0)?, second]
        };
        for (test, pairs) in tests.iter().zip(&mut pairs) {
            for generator in &mut generators {
                generator.rewind(0);
            }
            let mut of_load = Vec::with_capacity(each);
            for pair in 0..=each {
                let mut rates = [0.0; 2];
                for side in if pair % 2 == 0 { [0, 1] } else { [1, 0] } {
                    rates[side] = rate(&mut generators[side], *test, slow_by[side])?;
                }
                // The first warms up.
                if pair > 0 {
                    of_load.push(rates);
                }
                done += 1;
                if !progress(done, total) {
                    return Ok(duel);
                }
            }
            pairs.push(of_load);
        }
    }
    for (test, pairs) in tests.into_iter().zip(pairs) {
        let of_side = |side: usize| pairs.iter().flatten().map(|pair| pair[side]).collect::<Vec<_>>();
        let rates = [0, 1].map(|side| Statistics::of(&of_side(side)));
        let too_few = || EngineError::model("bench", format!("two are compared by {FEWEST} pairs at least"));
        let ([Some(first), Some(second)], Some(ratio)) = (rates, Ratio::of(&pairs)) else {
            return Err(too_few().into());
        };
        duel.rounds.push(Round { test: test.to_string(), rates: [first, second], pairs, ratio });
    }
    Ok(duel)
}

/// Tokens a second of one repetition, which is drawn out by a part of itself.
fn rate(generator: &mut Generator, test: Test, slow_by: f64) -> Result<f64, EngineError> {
    let took = test.once(generator)?.whole;
    let drawn_out = took.mul_f64(1.0 + slow_by.max(0.0));
    thread::sleep(drawn_out - took);
    Ok(test.tokens as f64 / drawn_out.max(Duration::from_nanos(1)).as_secs_f64())
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
                pairs.iter().map(Vec::len).sum::<usize>(),
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
    fn a_verdict_needs_loads_that_agree() {
        let noise = |i: usize| 1.0 + 0.02 * ((i * 7 % 11) as f64 / 10.0 - 0.5);
        // Loads differ by up to 2 %, each in all of its pairs.
        let pairs = |by: f64| -> Vec<Vec<[f64; 2]>> {
            let of_load = |load: usize| by * (1.0 + 0.02 * ((load * 5 % 12) as f64 / 11.0 - 0.5));
            let pair = |by: f64, i: usize| [100.0 * noise(i), 100.0 * by * noise(i + 5)];
            (0..12).map(|load| (0..40).map(|i| pair(of_load(load), i)).collect()).collect()
        };
        let verdict = |by: f64| Ratio::of(&pairs(by)).unwrap();
        assert_eq!(verdict(1.0).verdict, Verdict::Same);
        assert_eq!(verdict(1.01).verdict, Verdict::Same);
        assert_eq!(verdict(0.95).verdict, Verdict::Slower);
        let faster = verdict(1.05);
        assert_eq!(faster.verdict, Verdict::Faster);
        assert!(faster.low < 1.05 && 1.05 < faster.high, "{faster:?}");
        let slower = verdict(0.95);
        assert!(slower.low < 0.95 && 0.95 < slower.high, "{slower:?}");
        let text = Ratio { ratio: 0.95, low: 0.94, high: 0.97, verdict: Verdict::Slower }.to_string();
        assert_eq!(text, "B is 5.0 % slower (3.0 to 6.0 %)");
        assert!(verdict(1.0).to_string().starts_with("no difference seen"), "{}", verdict(1.0));
        assert_eq!(Ratio::of(&pairs(1.0)[..7]), None);
    }
}
