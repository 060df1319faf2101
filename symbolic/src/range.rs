//! Interval arithmetic: the least and greatest value of an expression, from its symbols' ranges.

use crate::canonical::Term;
use crate::expr::Atom;
use crate::{Expr, Symbol};

/// Inclusive bounds of an expression's values; `None` is unbounded, or beyond `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// No value is below this.
    pub min: Option<i64>,
    /// No value is above this.
    pub max: Option<i64>,
}

impl Range {
    /// Whether `value` is within the bounds.
    #[must_use]
    pub fn contains(&self, value: i64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

impl Expr {
    /// Bounds of the value: never too narrow, and exact for linear forms.
    #[must_use]
    pub fn range(&self) -> Range {
        let Interval { min, max } = Interval::of(self);
        Range { min: i64::try_from(min).ok(), max: i64::try_from(max).ok() }
    }
}

/// Bounds that stay useful while a product leaves `i64`. `min == -UNBOUNDED` and `max == UNBOUNDED` say nothing.
/// Bounds are clamped to `-UNBOUNDED..=UNBOUNDED`, which only ever widens them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub min: i128,
    pub max: i128,
}

const UNBOUNDED: i128 = 1 << 100;

impl Interval {
    const EVERYTHING: Self = Self { min: -UNBOUNDED, max: UNBOUNDED };

    pub fn of(expr: &Expr) -> Self {
        if expr.is_overflow() {
            return Self::EVERYTHING;
        }
        expr.terms().iter().map(of_term).fold(exactly(expr.constant_term()), Self::plus)
    }

    /// Bounds of a symbol divided by its divisor.
    pub fn of_symbol(symbol: &Symbol) -> Self {
        let [min, max, divisor] = [symbol.min(), symbol.max(), symbol.divisor()].map(i128::from);
        Self { min: -(-min).div_euclid(divisor), max: max.div_euclid(divisor) }
    }

    pub fn of_atom(atom: &Atom) -> Self {
        match atom {
            Atom::Symbol { symbol, .. } => Self::of_symbol(symbol),
            Atom::FloorDiv(of, k) => Self::of(of).divided(i128::from(*k)),
            Atom::Mod(_, k) => Self { min: 0, max: i128::from(*k) - 1 },
            Atom::Min(of) => fold(of, |a, b| Self { min: a.min.min(b.min), max: a.max.min(b.max) }),
            Atom::Max(of) => fold(of, |a, b| Self { min: a.min.max(b.min), max: a.max.max(b.max) }),
        }
    }

    // An unbounded side stays so: adding to the mark must not turn it into a bound.
    fn plus(self, other: Self) -> Self {
        let min =
            if self.min.min(other.min) == -UNBOUNDED { -UNBOUNDED } else { clamp(self.min + other.min) };
        let max = if self.max.max(other.max) == UNBOUNDED { UNBOUNDED } else { clamp(self.max + other.max) };
        Self { min, max }
    }

    fn times(self, other: Self) -> Self {
        let corners =
            [(self.min, other.min), (self.min, other.max), (self.max, other.min), (self.max, other.max)]
                .map(|(a, b)| clamp(a.saturating_mul(b)));
        let [mut min, mut max] = [corners[0]; 2];
        for corner in corners {
            (min, max) = (min.min(corner), max.max(corner));
        }
        Self { min, max }
    }

    fn power(self, exponent: usize) -> Self {
        let product = (1..exponent).fold(self, |all, _| all.times(self));
        if exponent % 2 == 1 {
            return product;
        }
        // An even power depends on the magnitude alone.
        let least = if self.min <= 0 && self.max >= 0 { 0 } else { self.min.abs().min(self.max.abs()) };
        let most = self.min.abs().max(self.max.abs());
        let raise = |base: i128| (0..exponent).fold(1, |all: i128, _| clamp(all.saturating_mul(base)));
        Self { min: raise(least), max: raise(most) }
    }

    fn divided(self, k: i128) -> Self {
        let min = if self.min == -UNBOUNDED { self.min } else { self.min.div_euclid(k) };
        let max = if self.max == UNBOUNDED { self.max } else { self.max.div_euclid(k) };
        Self { min, max }
    }
}

fn of_term(term: &Term) -> Interval {
    let powers = term.atoms.chunk_by(|a, b| a == b);
    powers
        .map(|run| Interval::of_atom(&run[0]).power(run.len()))
        .fold(exactly(term.coefficient), Interval::times)
}

fn fold(of: &[Expr], combine: impl Fn(Interval, Interval) -> Interval) -> Interval {
    of.iter().map(Interval::of).reduce(combine).unwrap_or(Interval::EVERYTHING)
}

fn exactly(value: i64) -> Interval {
    Interval { min: value.into(), max: value.into() }
}

fn clamp(bound: i128) -> i128 {
    bound.clamp(-UNBOUNDED, UNBOUNDED)
}
