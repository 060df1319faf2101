//! Several measurements in few numbers.

use serde::Serialize;

/// The middle of several numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Half are below; of an even count, the mean of the two in the middle.
    pub median: f64,
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
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        } else {
            sorted[middle]
        };
        Some(Self { median, least, greatest })
    }

    /// Half of what lies between least and greatest, for each unit of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (self.greatest - self.least) / 2.0 / self.median.abs().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::Statistics;

    #[test]
    fn of_few_numbers() {
        assert_eq!(Statistics::of(&[]), None);
        let odd = Statistics::of(&[3.0, 1.0, 8.0]).unwrap();
        assert_eq!((odd.median, odd.least, odd.greatest), (3.0, 1.0, 8.0));
        let even = Statistics::of(&[4.0, 2.0]).unwrap();
        assert_eq!((even.median, even.spread()), (3.0, 1.0 / 3.0));
        assert_eq!(Statistics::of(&[5.0]).unwrap().spread(), 0.0);
    }
}
