//! The least and greatest weight of a group, and the refusal of weights that are no numbers.

use super::HostError;

/// Least and greatest weight; 0 and 0 of an empty group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) least: f64,
    pub(super) greatest: f64,
}

impl Range {
    pub(super) fn of(weights: &[f32]) -> Self {
        let Some(&first) = weights.first() else { return Self { least: 0.0, greatest: 0.0 } };
        let (least, greatest) = weights.iter().fold((first, first), |(a, b), &w| (a.min(w), b.max(w)));
        Self { least: least.into(), greatest: greatest.into() }
    }

    pub(super) fn width(self) -> f64 {
        self.greatest - self.least
    }
}

/// # Errors
/// If a weight is infinite or NaN.
pub(super) fn check_finite(row: usize, weights: &[f32]) -> Result<(), HostError> {
    match weights.iter().position(|w| !w.is_finite()) {
        Some(column) => Err(HostError::NotFinite { row, column, value: weights[column].to_string() }),
        None => Ok(()),
    }
}
