//! What holds of two expressions for all values of their symbols: sound, and complete enough to compare buffer sizes.

use crate::Expr;
use crate::canonical::Terms;
use crate::expr::Atom;
use crate::range::Interval;

/// Most expressions looked at in one proof.
const FUEL: u32 = 24;
/// Largest polynomial whose box is shifted to the origin, and most atoms that may be shifted from either end.
const MAX_SHIFTED_TERMS: usize = 16;
const MAX_SHIFTED_DEGREE: usize = 4;
const MAX_SHIFTED_ATOMS: usize = 4;

impl Expr {
    /// Whether `self <= other` is known to hold for all values; `false` when it is not known.
    #[must_use]
    pub fn provably_le(&self, other: &Expr) -> bool {
        not_negative(&(other - self), &mut FUEL.clone())
    }

    /// Whether `self < other` is known to hold for all values; `false` when it is not known.
    #[must_use]
    pub fn provably_lt(&self, other: &Expr) -> bool {
        not_negative(&(other - self - 1), &mut FUEL.clone())
    }

    /// Whether `self == other` is known to hold for all values; `false` when it is not known.
    #[must_use]
    pub fn provably_eq(&self, other: &Expr) -> bool {
        !self.is_overflow() && (self == other || self.provably_le(other) && other.provably_le(self))
    }
}

fn not_negative(expr: &Expr, fuel: &mut u32) -> bool {
    if expr.is_overflow() || *fuel == 0 {
        return false;
    }
    *fuel -= 1;
    Interval::of(expr).min >= 0 || by_shifting(expr) || by_pairing(expr, fuel) || by_relaxing(expr, fuel)
}

/// Cancels a quotient against a lesser one: `floor(n / j) + t >= floor(m / k)` when `k*(n + t*j) >= j*m`. The rules split
/// constants out of quotients, so t = 1 is needed as well as 0.
fn by_pairing(expr: &Expr, fuel: &mut u32) -> bool {
    let quotients = || {
        expr.terms().iter().filter_map(|term| match term.linear() {
            Some(atom @ Atom::FloorDiv(of, k)) => Some((term.coefficient, atom, of, *k)),
            _ => None,
        })
    };
    for (c, lesser, m, k) in quotients().filter(|quotient| quotient.0 < 0) {
        for (d, greater, n, j) in quotients().filter(|quotient| quotient.0 > 0) {
            if let Some(t) = (0..=1).find(|t| not_negative(&((n + Expr::from(j) * *t) * k - m * j), fuel)) {
                let pairs = c.saturating_neg().min(d);
                let difference = Expr::from(greater.clone()) + t - Expr::from(lesser.clone());
                return not_negative(&(expr - difference * pairs), fuel);
            }
        }
    }
    false
}

/// Replaces a maximum, minimum, quotient or remainder by something that makes the sum no greater, and proves that.
fn by_relaxing(expr: &Expr, fuel: &mut u32) -> bool {
    expr.terms().iter().any(|term| {
        let (c, Some(atom)) = (term.coefficient, term.linear()) else { return false };
        let rest = || expr - Expr::from(atom.clone()) * c;
        match atom {
            Atom::Symbol { .. } => false,
            Atom::Max(of) | Atom::Min(of) => {
                let rest = rest();
                let mut one = |argument: &Expr| not_negative(&(&rest + argument * c), fuel);
                // c*max is at least each c*argument when c > 0, and is one of them in any case.
                if matches!(atom, Atom::Max(_)) == (c > 0) {
                    of.iter().any(one)
                } else {
                    of.iter().all(&mut one)
                }
            }
            // n - k + 1 <= k * floor(n / k) <= n
            Atom::FloorDiv(n, k) => {
                let bound = if c > 0 { n - (k - 1) } else { n.clone() };
                not_negative(&(rest() * *k + bound * c), fuel)
            }
            // mod(n, k) <= n for n >= 0
            Atom::Mod(n, _) => c < 0 && Interval::of(n).min >= 0 && not_negative(&(rest() + n * c), fuel),
        }
    })
}

/// Writes each atom as `low + x` or `high - x` with `x >= 0`: when all coefficients come out non-negative, so is the value.
fn by_shifting(expr: &Expr) -> bool {
    let terms = expr.terms();
    if terms.len() > MAX_SHIFTED_TERMS || terms.iter().any(|term| term.atoms.len() > MAX_SHIFTED_DEGREE) {
        return false;
    }
    let mut atoms: Vec<&Atom> = terms.iter().flat_map(|term| &*term.atoms).collect();
    atoms.sort_unstable();
    atoms.dedup();
    if terms.iter().all(|term| term.atoms.len() == 1) || atoms.len() > MAX_SHIFTED_ATOMS {
        return false;
    }
    (0..1_u32 << atoms.len()).any(|from_high| {
        let shifted =
            |atom: &Atom| shift(atom, atoms.binary_search(&atom).is_ok_and(|at| from_high >> at & 1 == 1));
        let mut sum = Terms::default();
        sum.push(expr.constant_term().into(), Vec::new());
        for term in terms {
            let product = term.atoms.iter().map(shifted).fold(Expr::ONE, |all, one| all * one);
            sum.push_expr(term.coefficient.into(), &product);
        }
        let sum = sum.finish();
        !sum.is_overflow() && sum.all_terms().all(|(coefficient, _)| coefficient >= 0)
    })
}

/// `low + x` or `high - x`, where x is written as the atom itself.
fn shift(atom: &Atom, from_high: bool) -> Expr {
    let Interval { min, max } = Interval::of_atom(atom);
    let (end, sign) = if from_high { (max, -1) } else { (min, 1) };
    i64::try_from(end).map_or(Expr::OVERFLOW, |end| Expr::from(atom.clone()) * sign + end)
}
