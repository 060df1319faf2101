//! Several measurements in few numbers.

use serde::{Deserialize, Serialize};

/// Several numbers: their middle, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// How many there are.
    pub count: usize,
    /// Their sum for each of them.
    pub mean: f64,
    /// Standard deviation of a sample: over one less than there are; 0 of one number.
    pub sd: f64,
    /// Half are below; of an even count, the mean of the two in the middle.
    pub median: f64,
    /// A twentieth are below.
    pub p5: f64,
    /// A twentieth are above.
    pub p95: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Statistics {
    /// Of these numbers; `None` of none.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let count = sorted.len();
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
        let sd = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        let [p5, median, p95] = [0.05, 0.5, 0.95].map(|share| quantile(&sorted, share));
        Some(Self { count, mean, sd, median, p5, p95, least, greatest })
    }

    /// Half of what lies between least and greatest, for each unit of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (self.greatest - self.least) / 2.0 / self.median.abs().max(f64::MIN_POSITIVE)
    }
}

/// What a share of sorted numbers is below, on the straight line between its two neighbours (Hyndman and Fan's type 7, which
/// is what pandas and NumPy take).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len().max(1) - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let number = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(f64::NAN);
    number(below) * (1.0 - part) + number(below + 1) * part
}

#[cfg(test)]
mod tests {
    use super::Statistics;

    #[test]
    fn of_few_numbers() {
        assert_eq!(Statistics::of(&[]), None);
        let odd = Statistics::of(&[3.0, 1.0, 8.0]).unwrap();
        assert_eq!((odd.count, odd.median, odd.least, odd.greatest, odd.mean), (3, 3.0, 1.0, 8.0, 4.0));
        assert_eq!(odd.sd, 13f64.sqrt());
        let even = Statistics::of(&[4.0, 2.0]).unwrap();
        assert_eq!((even.median, even.spread()), (3.0, 1.0 / 3.0));
        let one = Statistics::of(&[5.0]).unwrap();
        assert_eq!((one.spread(), one.sd, one.p5, one.p95), (0.0, 0.0, 5.0, 5.0));
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        // numpy.quantile([0, 1, …, 10], [0.05, 0.95])
        let numbers: Vec<f64> = (0..=10).map(f64::from).collect();
        let all = Statistics::of(&numbers).unwrap();
        assert_eq!((all.p5, all.p95), (0.5, 9.5));
    }
}
