//! Chooses the next token from the logits of the last position.
//!
//! The steps and their order are Hugging Face's: repetition penalty, temperature, top-k, top-p, min-p,
//! then a draw by weight. Every step works on what the one before it left.

mod on_device;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Ordering;

pub(crate) use on_device::OnDevice;

/// How to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the likeliest token (of equals, the lowest id).
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens (of equals, the lowest ids); 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest likeliest tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that are in the window; 1 changes none.
    pub repetition_penalty: f32,
    /// The window: this many of the latest tokens, prompt included.
    pub repetition_window: usize,
    /// Equal seeds give equal choices for equal logits on one device.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy, with nothing filtered and nothing penalised.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: 0,
        }
    }
}

/// What is wrong with a [`Sampling`] or with logits.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A setting out of its range.
    #[error("{name} is {value}; it has to be {range}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f32,
        /// What it may be.
        range: &'static str,
    },
    /// No logit is a number above minus infinity.
    #[error(
        "none of the {count} logits is a number that a token could be chosen by; the model's output is broken"
    )]
    NoChoice {
        /// How many logits there are.
        count: usize,
    },
}

/// Chooses tokens; holds the working memory, and how many tokens were chosen: the random number of each hangs on the seed
/// and on that alone, so that choices may be begun and dropped.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    taken: u64,
    candidates: Vec<Candidate>,
}

/// A token that may be chosen, with its logit; later with its weight in place of the logit.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    score: f32,
}

impl Candidate {
    /// The likelier first, of equals the lower id: a total order, as no score is NaN.
    fn order(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// Checks the settings and seeds the random numbers.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn new(sampling: Sampling) -> Result<Self, SampleError> {
        let settings = [
            ("temperature", sampling.temperature, 0.0..=f32::MAX, "0 or more"),
            ("top_p", sampling.top_p, f32::MIN_POSITIVE..=1.0, "above 0 and at most 1"),
            ("min_p", sampling.min_p, 0.0..=1.0, "from 0 to 1"),
            ("repetition_penalty", sampling.repetition_penalty, f32::MIN_POSITIVE..=f32::MAX, "above 0"),
        ];
        for (name, value, allowed, range) in settings {
            if !allowed.contains(&value) {
                return Err(SampleError::Setting { name, value, range });
            }
        }
        Ok(Self { sampling, taken: 0, candidates: Vec::new() })
    }

    /// How a device can do the same.
    pub(crate) fn on_device(&self) -> Option<OnDevice> {
        OnDevice::of(&self.sampling)
    }

    /// The random number of the token that comes after `others` more.
    pub(crate) fn number(&self, others: usize) -> u64 {
        let at = self.taken.wrapping_add(others as u64);
        StdRng::seed_from_u64(self.sampling.seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64()
    }

    /// Counts a token that a device has chosen.
    pub(crate) fn took(&mut self) {
        self.taken += 1;
    }

    /// The next token, given the logits of the whole vocabulary and all tokens so far.
    ///
    /// NaN logits are never chosen; infinite ones always are.
    ///
    /// # Errors
    /// Every logit is NaN or minus infinity, or there are none.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32, SampleError> {
        self.collect(logits, history);
        let greatest = self.candidates.iter().copied().min_by(Candidate::order);
        let greatest = greatest.ok_or(SampleError::NoChoice { count: logits.len() })?;
        if self.sampling.temperature == 0.0 {
            self.took();
            return Ok(greatest.token);
        }
        keep_top_k(&mut self.candidates, self.sampling.top_k);
        self.weigh(greatest.score);
        keep_top_p(&mut self.candidates, self.sampling.top_p);
        let least = self.sampling.min_p;
        self.candidates.retain(|candidate| candidate.score >= least);
        let token = self.draw(greatest.token);
        self.took();
        Ok(token)
    }

    /// Fills the candidates with every token whose penalised logit is a number above minus infinity.
    fn collect(&mut self, logits: &[f32], history: &[u32]) {
        self.candidates.clear();
        let all = logits.iter().zip(0..).map(|(&score, token)| Candidate { token, score });
        self.candidates.extend(all);
        let penalty = self.sampling.repetition_penalty;
        if penalty != 1.0 {
            // A product is the same on every device, a quotient is not.
            let inverse = 1.0 / penalty;
            let start = history.len().saturating_sub(self.sampling.repetition_window);
            for &token in &history[start..] {
                let (Some(&logit), Some(candidate)) =
                    (logits.get(token as usize), self.candidates.get_mut(token as usize))
                else {
                    continue;
                };
                candidate.score = if logit < 0.0 { logit * penalty } else { logit * inverse };
            }
        }
        self.candidates.retain(|candidate| candidate.score > f32::NEG_INFINITY);
    }

    /// Replaces each logit by `exp((logit - greatest) / temperature)`: the likeliest weighs 1.
    fn weigh(&mut self, greatest: f32) {
        for candidate in &mut self.candidates {
            candidate.score = if candidate.score == greatest {
                1.0
            } else {
                ((candidate.score - greatest) / self.sampling.temperature).exp()
            };
        }
    }

    /// Draws a candidate by weight. `likeliest` stands in where rounding leaves the sum short.
    fn draw(&self, likeliest: u32) -> u32 {
        let total: f64 = self.candidates.iter().map(|candidate| f64::from(candidate.score)).sum();
        let mut left = unit(self.number(0)) * total;
        for candidate in &self.candidates {
            left -= f64::from(candidate.score);
            if left < 0.0 {
                return candidate.token;
            }
        }
        likeliest
    }
}

/// A random number's first bits as a fraction, below 1.
fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// Keeps the `k` first in order, all if `k` is 0.
fn keep_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, Candidate::order);
        candidates.truncate(k);
        candidates.sort_unstable_by(Candidate::order);
    }
}

/// Keeps the fewest first in order whose weights reach `p` of the sum of all.
///
/// Puts ever larger parts in order, since the sum is usually reached within the first few.
fn keep_top_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p >= 1.0 {
        return;
    }
    let wanted = f64::from(p) * candidates.iter().map(|candidate| f64::from(candidate.score)).sum::<f64>();
    let (mut sum, mut kept, mut part) = (0.0, 0, 64);
    while let Some(rest) = candidates.get_mut(kept..).filter(|rest| !rest.is_empty()) {
        let part_length = part.min(rest.len());
        if part_length < rest.len() {
            rest.select_nth_unstable_by(part_length - 1, Candidate::order);
        }
        rest[..part_length].sort_unstable_by(Candidate::order);
        for candidate in &rest[..part_length] {
            sum += f64::from(candidate.score);
            kept += 1;
            if sum >= wanted {
                candidates.truncate(kept);
                return;
            }
        }
        part *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::{SampleError, Sampler, Sampling};
    use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::collections::BTreeSet;

    fn warm() -> Sampling {
        Sampling { temperature: 1.0, ..Sampling::default() }
    }

    fn sampler(sampling: Sampling) -> Sampler {
        Sampler::new(sampling).unwrap()
    }

    /// The tokens that come up in many draws.
    fn drawn(sampling: Sampling, logits: &[f32], history: &[u32]) -> Vec<u32> {
        let mut sampler = sampler(sampling);
        let draws = (0..2000).map(|_| sampler.sample(logits, history).unwrap());
        draws.collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let nan = f32::NAN;
        let cases = [
            (Sampling { temperature: -0.1, ..warm() }, "temperature is -0.1; it has to be 0 or more"),
            (Sampling { temperature: nan, ..warm() }, "temperature is NaN"),
            (Sampling { temperature: f32::INFINITY, ..warm() }, "temperature is inf"),
            (Sampling { top_p: 0.0, ..warm() }, "top_p is 0; it has to be above 0 and at most 1"),
            (Sampling { top_p: 1.1, ..warm() }, "top_p is 1.1"),
            (Sampling { min_p: -1.0, ..warm() }, "min_p is -1; it has to be from 0 to 1"),
            (Sampling { repetition_penalty: 0.0, ..warm() }, "repetition_penalty is 0"),
        ];
        for (sampling, wanted) in cases {
            let message = Sampler::new(sampling).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
        }
    }

    #[test]
    fn filters_keep_what_they_say() {
        // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
        let logits = [0.5f32, 0.25, 0.125, 0.0625, 0.0625].map(f32::ln);
        let cases = [
            (warm(), &[0, 1, 2, 3, 4][..]),
            (Sampling { top_k: 1, ..warm() }, &[0]),
            (Sampling { top_k: 2, ..warm() }, &[0, 1]),
            (Sampling { top_k: 4, ..warm() }, &[0, 1, 2, 3]),
            (Sampling { top_k: 99, ..warm() }, &[0, 1, 2, 3, 4]),
            (Sampling { top_p: 0.49, ..warm() }, &[0]),
            (Sampling { top_p: 0.6, ..warm() }, &[0, 1]),
            (Sampling { top_p: 0.9, ..warm() }, &[0, 1, 2, 3]),
            (Sampling { min_p: 0.24, ..warm() }, &[0, 1, 2]),
            (Sampling { min_p: 1.0, ..warm() }, &[0]),
            // After top-k 2 the probabilities are 2/3 and 1/3, so 0.6 needs one token and not two.
            (Sampling { top_k: 2, top_p: 0.6, ..warm() }, &[0]),
            // The temperature comes first: at 0.5 the probabilities go as 64, 16, 4, 1, 1.
            (Sampling { temperature: 0.5, top_p: 0.9, ..warm() }, &[0, 1]),
            (Sampling { temperature: 0.5, min_p: 0.24, ..warm() }, &[0, 1]),
        ];
        for (sampling, wanted) in cases {
            assert_eq!(drawn(sampling.clone(), &logits, &[]), wanted, "{sampling:?}");
        }
    }

    #[test]
    fn repetition_is_penalised_once_and_only_in_the_window() {
        let logits = [3.0, 2.0, -1.0];
        let sampling = Sampling { repetition_penalty: 2.0, repetition_window: 2, ..Sampling::default() };
        let cases = [(&[][..], 0), (&[0], 1), (&[0, 0], 1), (&[0, 1], 0), (&[0, 2, 2], 0), (&[0, 99], 1)];
        for (history, wanted) in cases {
            assert_eq!(sampler(sampling.clone()).sample(&logits, history), Ok(wanted), "{history:?}");
        }
        let negative = [-1.0, -1.5];
        assert_eq!(sampler(sampling).sample(&negative, &[0]), Ok(1));
    }

    #[test]
    fn broken_logits() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for sampling in [Sampling::default(), warm(), Sampling { top_k: 1, top_p: 0.5, ..warm() }] {
            let sample = |logits: &[f32]| sampler(sampling.clone()).sample(logits, &[]);
            assert_eq!(sample(&[nan, -inf]), Err(SampleError::NoChoice { count: 2 }));
            assert_eq!(sample(&[]), Err(SampleError::NoChoice { count: 0 }));
            assert_eq!(sample(&[nan, 1.0, nan]), Ok(1));
            assert_eq!(sample(&[5.0, inf, nan, -inf]), Ok(1));
            assert_eq!(sample(&[f32::MAX, f32::MIN]), Ok(0));
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.6f32, 0.3, 0.1].map(f32::ln);
        let mut sampler = sampler(Sampling { seed: 7, ..warm() });
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[sampler.sample(&logits, &[]).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([18_000i32, 9_000, 3_000]) {
            // Five standard deviations of a binomial count are at most 433.
            assert!((expected - count).abs() < 433, "{counts:?}");
        }
    }

    /// Top-p by a full sort, as Hugging Face writes it.
    fn top_p_by_sorting(logits: &[f32], p: f64) -> BTreeSet<u32> {
        let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
        let weights: Vec<f64> = logits.iter().map(|&logit| f64::from((logit - greatest).exp())).collect();
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        let wanted = p * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let mut kept = BTreeSet::new();
        for token in order {
            if sum >= wanted {
                break;
            }
            sum += weights[token as usize];
            kept.insert(token);
        }
        kept
    }

    proptest! {
        #[test]
        fn equal_seeds_give_equal_choices(
            logits in proptest::collection::vec(-9f32..9.0, 1..300), seed: u64, top_k in 0usize..50,
        ) {
            let sampling = Sampling { seed, top_k, top_p: 0.9, repetition_penalty: 1.3, ..warm() };
            let run = || {
                let mut sampler = sampler(sampling.clone());
                let mut history = Vec::new();
                for _ in 0..20 {
                    history.push(sampler.sample(&logits, &history).unwrap());
                }
                history
            };
            prop_assert_eq!(run(), run());
        }

        #[test]
        fn any_logits_give_a_number_above_minus_infinity_or_an_error(
            logits in proptest::collection::vec(
                prop_oneof![any::<f32>(), Just(f32::INFINITY), Just(f32::NAN), Just(f32::NEG_INFINITY)], 0..80),
            history in proptest::collection::vec(0u32..100, 0..20),
            temperature in 0f32..3.0, top_k in 0usize..90, top_p in 0.01f32..1.0, min_p in 0f32..1.0,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, min_p, ..warm() };
            match sampler(sampling).sample(&logits, &history) {
                Ok(token) => prop_assert!(logits[token as usize] > f32::NEG_INFINITY),
                Err(_) => prop_assert!(!logits.iter().any(|logit| *logit > f32::NEG_INFINITY)),
            }
        }

        #[test]
        fn top_p_in_parts_is_top_p_by_sorting(
            logits in proptest::collection::vec(-4f32..4.0, 1..900), p in 0.01f32..0.999,
        ) {
            let mut sampler = sampler(warm());
            sampler.collect(&logits, &[]);
            sampler.weigh(logits.iter().copied().fold(f32::MIN, f32::max));
            super::keep_top_p(&mut sampler.candidates, p);
            let kept: BTreeSet<u32> = sampler.candidates.iter().map(|candidate| candidate.token).collect();
            let wanted = top_p_by_sorting(&logits, f64::from(p));
            // Sums in another order may differ in the last bit.
            prop_assert!(kept.symmetric_difference(&wanted).count() <= 1);
        }
    }
}
