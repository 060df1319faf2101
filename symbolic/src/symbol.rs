//! A named size and the facts known about it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A named integer size, such as `batch` or `s36`. Cloning is cheap.
///
/// Two symbols are the same when their names are; range and divisor are facts that simplification relies on and
/// take no part in equality. Keep one set of facts per name within a model: the first one met wins where forms meet.
#[derive(Clone)]
pub struct Symbol(Arc<Facts>);

struct Facts {
    name: Box<str>,
    min: i64,
    max: i64,
    divisor: i64,
}

impl Symbol {
    /// The upper bound of a symbol made by [`Symbol::new`]: 2^47 - 1, so that sums and scalings of sizes stay in `i64`.
    pub const DEFAULT_MAX: i64 = i64::MAX >> 16;

    /// A symbol with range `0..=DEFAULT_MAX` and divisor 1.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::new(Facts { name: name.into(), min: 0, max: Self::DEFAULT_MAX, divisor: 1 }))
    }

    /// The same name, known to lie in `min..=max`. A range with `min > max` has no values: anything is provable of it.
    #[must_use]
    pub fn with_range(&self, min: i64, max: i64) -> Self {
        Self(Arc::new(Facts { name: self.0.name.clone(), min, max, divisor: self.0.divisor }))
    }

    /// The same name, known to be a multiple of `divisor` (taken as 1 when below 1).
    #[must_use]
    pub fn with_divisor(&self, divisor: i64) -> Self {
        let divisor = divisor.max(1);
        Self(Arc::new(Facts { name: self.0.name.clone(), min: self.0.min, max: self.0.max, divisor }))
    }

    /// The name as given. `Display` quotes it where [`crate::parse`] would otherwise misread it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Least possible value.
    #[must_use]
    pub fn min(&self) -> i64 {
        self.0.min
    }

    /// Greatest possible value.
    #[must_use]
    pub fn max(&self) -> i64 {
        self.0.max
    }

    /// Every value is a multiple of this; at least 1.
    #[must_use]
    pub fn divisor(&self) -> i64 {
        self.0.divisor
    }

    /// Whether `value` agrees with the range and the divisor.
    #[must_use]
    pub fn admits(&self, value: i64) -> bool {
        self.0.min <= value && value <= self.0.max && value % self.0.divisor == 0
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.name == other.0.name
    }
}

impl Eq for Symbol {}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.name.cmp(&other.0.name) }
    }
}

impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}
