//! Cutting a step into submissions, so that none keeps the GPU from the screen for long: by what each call took before.

use std::{ops::Range, time::Duration};

/// Calls of one submission while nothing is known about them.
const UNKNOWN: f64 = 8.0;
/// The part of the limit that a submission is made for: no two runs take the same time.
const FILLED: f64 = 0.8;

/// What the calls of a plan take on the device.
#[derive(Clone, Debug)]
pub(super) struct Slices {
    /// Seconds of a workgroup of each call.
    costs: Vec<Option<f64>>,
    /// The latest submissions.
    cut: Vec<Range<usize>>,
}

impl Slices {
    pub fn new(calls: usize) -> Self {
        Self { costs: vec![None; calls], cut: Vec::new() }
    }

    /// Cuts calls of so many workgroups into submissions of about equal length, none expected to take longer than the limit
    /// unless a single call does; of limit 0, one. As long as they keep to the limit and are no more than need be, they stay what
    /// they were: what was recorded of them is then good for one more step.
    pub fn cut(&mut self, limit: Duration, workgroups: impl Fn(usize) -> u64) -> Vec<Range<usize>> {
        let fresh = self.fresh(limit, &workgroups);
        let most = limit.as_secs_f64();
        let expected = |slice: &Range<usize>| {
            let calls = slice.clone().map(|call| Some(self.costs[call]? * workgroups(call) as f64));
            calls.sum::<Option<f64>>()
        };
        let keeps =
            |slice: &Range<usize>| slice.len() == 1 || expected(slice).is_some_and(|time| time <= most);
        let same = !self.cut.is_empty() && self.cut.len() <= fresh.len() && self.cut.iter().all(keeps);
        if !same {
            self.cut = fresh;
        }
        self.cut.clone()
    }

    fn fresh(&self, limit: Duration, workgroups: &impl Fn(usize) -> u64) -> Vec<Range<usize>> {
        let count = self.costs.len();
        let most = limit.as_secs_f64() * FILLED;
        if most == 0.0 || count == 0 {
            return std::iter::once(0..count).collect();
        }
        let expected = |call: usize| {
            self.costs[call].map_or(most / UNKNOWN, |cost| cost * workgroups(call) as f64).min(most)
        };
        let total: f64 = (0..count).map(expected).sum();
        let each = total / (total / most * (1.0 - 1e-9)).ceil().max(1.0);
        let mut slices = Vec::new();
        let (mut first, mut sum) = (0, 0.0);
        for call in 0..count {
            let next = expected(call);
            // Half of a call may lie beyond an equal share, nothing beyond the limit.
            if call > first && (sum + next / 2.0 > each * (1.0 + 1e-9) || sum + next > most * (1.0 + 1e-9)) {
                slices.push(first..call);
                (first, sum) = (call, 0.0);
            }
            sum += next;
        }
        slices.push(first..count);
        slices
    }

    /// Takes in what calls of so many workgroups took together. `exact` says that it is no upper bound. As long as nothing is
    /// known, each has a share by its `weight`.
    pub fn learn(
        &mut self,
        calls: Range<usize>,
        took: Duration,
        exact: bool,
        workgroups: impl Fn(usize) -> u64,
        weight: impl Fn(usize) -> f64,
    ) {
        let took = took.as_secs_f64().max(1e-9);
        let known = calls.clone().map(|call| Some(self.costs[call]? * workgroups(call) as f64));
        match known.sum::<Option<f64>>() {
            Some(expected) => {
                let ratio = took / expected;
                if expected > 0.0 && (exact || ratio < 1.0) {
                    // Half way, since times scatter.
                    let change = ratio.clamp(0.01, 100.0).sqrt();
                    self.costs[calls].iter_mut().flatten().for_each(|cost| *cost *= change);
                }
            }
            None => {
                let weights: Vec<f64> = calls.clone().map(weight).collect();
                let all = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                for (call, weight) in calls.zip(weights) {
                    self.costs[call] = Some(took * weight / all / workgroups(call).max(1) as f64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Slices;
    use std::{ops::Range, time::Duration};

    const MS: Duration = Duration::from_millis(1);

    fn learnt(costs: &[u64]) -> Slices {
        let mut slices = Slices::new(costs.len());
        for (call, ms) in costs.iter().enumerate() {
            slices.learn(call..call + 1, MS * *ms as u32, true, |_| 1, |_| 1.0);
        }
        slices
    }

    /// Calls of each slice; together they are all calls in their order.
    fn lengths(slices: &[Range<usize>]) -> Vec<usize> {
        assert!(slices.windows(2).all(|two| two[0].end == two[1].start) && slices[0].start == 0);
        slices.iter().map(Range::len).collect()
    }

    #[test]
    fn no_limit_is_one_submission() {
        assert_eq!(lengths(&learnt(&[5, 5, 5]).cut(Duration::ZERO, |_| 1)), [3]);
        assert_eq!(lengths(&Slices::new(0).cut(MS, |_| 1)), [0]);
    }

    #[test]
    fn what_is_not_known_goes_in_small_parts() {
        let cut = Slices::new(20).cut(MS, |_| 1);
        assert!(cut.iter().all(|s| s.len() <= 8) && cut.len() == 3, "{cut:?}");
    }

    #[test]
    fn parts_are_even_and_within_the_limit() {
        let mut slices = learnt(&[2; 12]);
        // 24 ms, at most 8 in each: three parts of four calls.
        assert_eq!(lengths(&slices.cut(MS * 10, |_| 1)), [4, 4, 4]);
        // Half the workgroups take half the time.
        assert_eq!(lengths(&learnt(&[4; 4]).cut(MS * 10, |call| u64::from(call < 2))), [4]);
        for costs in [&[1, 7, 1, 7, 3, 3, 3][..], &[7, 7, 7], &[1; 50], &[30, 1, 1, 30]] {
            for slice in learnt(costs).cut(MS * 10, |_| 1) {
                let sum: u64 = costs[slice.clone()].iter().sum();
                assert!(sum <= 8 || slice.len() == 1, "{costs:?}: {slice:?}");
            }
        }
    }

    #[test]
    fn parts_stay_while_they_keep_to_the_limit() {
        let mut slices = learnt(&[2; 12]);
        let first = slices.cut(MS * 10, |_| 1);
        for step in 0..100 {
            for (at, slice) in slices.cut(MS * 10, |_| 1).into_iter().enumerate() {
                let off = [1.1, 0.9, 1.05, 0.85][(step + at) % 4];
                slices.learn(slice, (MS * 8).mul_f64(off), true, |_| 1, |_| 1.0);
            }
            assert_eq!(slices.cut(MS * 10, |_| 1), first, "step {step}");
        }
        // Twice the workgroups are twice the parts, and half of them half.
        let mut slices = learnt(&[2; 12]);
        assert_eq!([2, 1, 2].map(|times| slices.cut(MS * 10, |_| times).len()), [6, 3, 6]);
    }

    #[test]
    fn an_upper_bound_only_lowers() {
        let mut slices = learnt(&[4, 4]);
        let one = |slices: &mut Slices| slices.cut(MS * 10, |_| 1).len() == 1;
        slices.learn(0..2, MS * 100, false, |_| 1, |_| 1.0);
        assert!(one(&mut slices));
        slices.learn(0..2, MS * 100, true, |_| 1, |_| 1.0);
        assert!(!one(&mut slices));
        for _ in 0..9 {
            slices.learn(0..2, MS, false, |_| 1, |_| 1.0);
        }
        assert!(one(&mut slices));
    }
}
