//! `min` and `max`: flattened, sorted, without duplicates, common factors outside, provably losing arguments dropped.

use crate::Expr;
use crate::expr::{Atom, gcd};

/// Above this many arguments only equal ones are dropped, so that a hostile chain of maxima stays cheap.
const MAX_COMPARED: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Extremum {
    Min,
    Max,
}

impl Expr {
    /// The lesser of the two.
    #[must_use]
    pub fn min(&self, other: &Expr) -> Expr {
        Extremum::Min.of(self, other)
    }

    /// The greater of the two.
    #[must_use]
    pub fn max(&self, other: &Expr) -> Expr {
        Extremum::Max.of(self, other)
    }
}

impl Extremum {
    fn of(self, a: &Expr, b: &Expr) -> Expr {
        if a.is_overflow() || b.is_overflow() {
            return Expr::OVERFLOW;
        }
        let mut kept = self.arguments(a);
        self.arguments(b).into_iter().for_each(|argument| self.insert(&mut kept, argument));
        if kept.iter().any(Expr::is_overflow) {
            return Expr::OVERFLOW;
        }
        if let [only] = &*kept {
            return only.clone();
        }
        let common = kept.iter().fold(0, |all, one| gcd(all, one.multiple_of().unsigned_abs()));
        let common = i64::try_from(common).unwrap_or(1).max(1);
        let mut arguments: Vec<Expr> = kept.iter().map(|one| one.shrink(common)).collect();
        arguments.sort_unstable_by(Expr::compare_forms);
        Expr::from(match self {
            Self::Min => Atom::Min(arguments.into()),
            Self::Max => Atom::Max(arguments.into()),
        }) * common
    }

    /// What `expr` is the extremum of: `c * max(a, b)` is `max(c*a, c*b)`, or the `min` of them for negative c.
    fn arguments(self, expr: &Expr) -> Vec<Expr> {
        if let ([term], 0) = (expr.terms(), expr.constant_term()) {
            match (term.linear(), (self == Self::Max) == (term.coefficient > 0)) {
                (Some(Atom::Max(of)), true) | (Some(Atom::Min(of)), false) => {
                    return of.iter().map(|one| one * term.coefficient).collect();
                }
                _ => {}
            }
        }
        vec![expr.clone()]
    }

    fn insert(self, kept: &mut Vec<Expr>, argument: Expr) {
        if kept.contains(&argument) {
            return;
        }
        if kept.len() <= MAX_COMPARED {
            // Two arguments may each be provably no better than the other; the first in order stays.
            let first = |one: &Expr| argument.compare_forms(one).is_lt();
            let loses =
                |one: &Expr| self.beats(one, &argument) && !(first(one) && self.beats(&argument, one));
            if kept.iter().any(loses) {
                return;
            }
            kept.retain(|one| !self.beats(&argument, one));
        }
        kept.push(argument);
    }

    fn beats(self, a: &Expr, b: &Expr) -> bool {
        match self {
            Self::Min => a.provably_le(b),
            Self::Max => b.provably_le(a),
        }
    }
}
