//! How sure a difference is, from differences of pairs: Wilcoxon's signed ranks, which no single outlier moves and which
//! assume nothing of how differences are spread but symmetry.

/// What lies in the middle of differences, and the interval that holds it at a confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    /// The median of all means of two differences, themselves included: Hodges and Lehmann's estimate.
    pub estimate: f64,
    /// Least value that the differences do not speak against.
    pub low: f64,
    /// Greatest.
    pub high: f64,
}

impl Middle {
    /// Of these differences, at this confidence; `None` where there are too few for it.
    #[must_use]
    pub fn of(differences: &[f64], confidence: f64) -> Option<Self> {
        let outside = outside(differences.len(), (1.0 - confidence) / 2.0)?;
        let mut means: Vec<f64> = differences
            .iter()
            .enumerate()
            .flat_map(|(i, a)| differences[i..].iter().map(move |b| (a + b) / 2.0))
            .collect();
        means.sort_by(f64::total_cmp);
        let last = means.len() - 1;
        let estimate = (means[last / 2] + means[means.len() / 2]) / 2.0;
        Some(Self { estimate, low: means[outside], high: means[last - outside] })
    }
}

/// How many of the sorted means lie outside of the interval on each side: the greatest `k` for which the sum of `count` ranks
/// with random signs is below `k` with this probability at most.
fn outside(count: usize, probability: f64) -> Option<usize> {
    let most = count * (count + 1) / 2;
    // Of all choices of ranks, the part with each sum.
    let mut parts = vec![0.0; most + 1];
    parts[0] = 1.0;
    for rank in 1..=count {
        for sum in (0..=most).rev() {
            let with = if sum >= rank { parts[sum - rank] } else { 0.0 };
            parts[sum] = (parts[sum] + with) / 2.0;
        }
    }
    let mut below = 0.0;
    let mut outside = 0;
    for part in parts {
        below += part;
        if below > probability {
            break;
        }
        outside += 1;
    }
    (outside > 0).then(|| outside - 1)
}

#[cfg(test)]
mod tests {
    use super::{Middle, outside};

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Wilcoxon's tables, two sides: T <= 8 of 10 pairs at 0.05, 3 at 0.01; 52 and 37 of 20.
        let table = [(10, 0.05, 8), (10, 0.01, 3), (20, 0.05, 52), (20, 0.01, 37), (8, 0.01, 0)];
        for (count, both, wanted) in table {
            assert_eq!(outside(count, both / 2.0), Some(wanted), "{count} {both}");
        }
        assert_eq!(outside(7, 0.005), None);
        assert_eq!(outside(0, 0.005), None);
    }

    #[test]
    fn one_outlier_moves_little() {
        let mut differences: Vec<f64> = (0..20).map(|i| 0.05 + 0.001 * f64::from(i % 5)).collect();
        let before = Middle::of(&differences, 0.99).unwrap();
        assert!(before.low > 0.05 && before.high < 0.055, "{before:?}");
        differences[3] = 9.0;
        let after = Middle::of(&differences, 0.99).unwrap();
        assert!((after.estimate - before.estimate).abs() < 0.001, "{after:?}");
        assert_eq!(Middle::of(&differences[..7], 0.99), None);
    }

    #[test]
    fn the_interval_holds_the_middle_as_often_as_it_says() {
        // A small generator of Knuth's; the sum of 4 is nearly normal.
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31) - 0.5
        };
        let mut missed = 0;
        for _ in 0..2000 {
            let differences: Vec<f64> = (0..12).map(|_| (0..4).map(|_| random()).sum()).collect();
            let middle = Middle::of(&differences, 0.95).unwrap();
            missed += usize::from(middle.low > 0.0 || middle.high < 0.0);
        }
        assert!((40..=130).contains(&missed), "{missed} of 2000");
    }
}
