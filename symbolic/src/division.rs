//! Division and remainder by a positive constant, with floor semantics, and the rules that normalise them.

use crate::Expr;
use crate::canonical::{Term, Terms};
use crate::expr::{Atom, gcd};
use crate::range::Interval;

impl Expr {
    /// `floor(self / k)`. The overflow value when `k <= 0`.
    #[must_use]
    pub fn floor_div(&self, k: i64) -> Expr {
        if k <= 0 || self.is_overflow() {
            return Self::OVERFLOW;
        }
        // floor((k*q + r) / k) = q + floor(r / k) for integer q. Coefficients split towards 0, so that r stays as
        // monotone as self; the constant splits downwards.
        let (mut quotient, mut rest) = (Terms::default(), Terms::default());
        for Term { coefficient, atoms } in self.terms() {
            quotient.push(i128::from(coefficient / k), atoms.to_vec());
            rest.push(i128::from(coefficient % k), atoms.to_vec());
        }
        quotient.push(i128::from(self.constant_term().div_euclid(k)), Vec::new());
        rest.push(i128::from(self.constant_term().rem_euclid(k)), Vec::new());
        quotient.finish() + proper_quotient(&rest.finish(), k)
    }

    /// `ceil(self / k)`, in the form `floor((self + k - 1) / k)`. The overflow value when `k <= 0`.
    #[must_use]
    pub fn ceil_div(&self, k: i64) -> Expr {
        -(-self).floor_div(k)
    }

    /// The least multiple of `k` that is not below `self`. The overflow value when `k <= 0`.
    #[must_use]
    pub fn align_up(&self, k: i64) -> Expr {
        self.ceil_div(k) * k
    }

    /// `self - k * floor(self / k)`, in `0..k`. The overflow value when `k <= 0`.
    #[must_use]
    pub fn modulo(&self, k: i64) -> Expr {
        if k <= 0 || self.is_overflow() {
            return Self::OVERFLOW;
        }
        if let Some(known) = remainder_from_range(self, k) {
            return known;
        }
        let rest = reduce(self, k);
        if rest.is_overflow() {
            return Self::OVERFLOW;
        }
        // mod(g*n + r, g*j) = g * mod(n + floor(r / g), j) + mod(r, g)
        let g = common(rest.content(), k);
        let (n, j, low) = (reduce(&rest.shrink(g), k / g), k / g, rest.constant_term().rem_euclid(g));
        let high = match remainder_from_range(&n, j) {
            _ if j == 1 => Self::ZERO,
            Some(known) => known,
            None => Expr::from(Atom::Mod(n, j)),
        };
        high * g + low
    }
}

/// `floor(rest / k)` where coefficients lie in `-k..k` and the constant in `0..k`.
fn proper_quotient(rest: &Expr, k: i64) -> Expr {
    let Some(leading) = rest.terms().first() else {
        return if rest.is_overflow() { Expr::OVERFLOW } else { Expr::ZERO };
    };
    // floor(-n / k) = -floor((n + k - 1) / k): one sign, so that -(-n // k) is the rounded-up quotient of n.
    if leading.coefficient < 0 {
        return -proper_quotient(&(k - 1 - rest), k);
    }
    // floor((g*n + r) / (g*j)) = floor((n + floor(r / g)) / j)
    let g = common(rest.content(), k);
    let (n, j) = (rest.shrink(g), k / g);
    if j == 1 {
        return n;
    }
    match quotient_from_range(&n, j) {
        Some(value) => Expr::from(value),
        None => unnest(&n, j).unwrap_or_else(|| Expr::from(Atom::FloorDiv(n, j))),
    }
}

/// `floor((floor(a / j) + p) / k) = floor((a + j*p) / (j*k))` for integer p.
fn unnest(n: &Expr, k: i64) -> Option<Expr> {
    n.terms().iter().find_map(|term| match (term.coefficient, &*term.atoms) {
        (1, [atom @ Atom::FloorDiv(a, j)]) => {
            let others = n - Expr::from(atom.clone());
            let flat = (a + others * *j).floor_div(j.checked_mul(k)?);
            (!flat.is_overflow()).then_some(flat)
        }
        _ => None,
    })
}

/// An expression equal to `expr` modulo `k`, with coefficients as close to 0 as can be.
fn reduce(expr: &Expr, k: i64) -> Expr {
    let mut terms = Terms::default();
    terms.push(balanced(expr.constant_term(), k), Vec::new());
    let mut opened = false;
    for Term { coefficient, atoms } in expr.terms() {
        let residue = balanced(*coefficient, k);
        match &**atoms {
            // mod(a, j) = a - j*q, and j*q vanishes modulo k when k divides coefficient*j.
            [Atom::Mod(a, j)] if residue * i128::from(*j) % i128::from(k) == 0 => {
                terms.push_expr(residue, a);
                opened = true;
            }
            _ => terms.push(residue, atoms.to_vec()),
        }
    }
    let reduced = terms.finish();
    if opened && !reduced.is_overflow() { reduce(&reduced, k) } else { reduced }
}

/// The residue of `value` modulo `k` in `-k/2 < residue <= k/2`.
fn balanced(value: i64, k: i64) -> i128 {
    let (residue, k) = (i128::from(value.rem_euclid(k)), i128::from(k));
    if residue * 2 > k { residue - k } else { residue }
}

fn quotient_from_range(expr: &Expr, k: i64) -> Option<i64> {
    let Interval { min, max } = Interval::of(expr);
    let (low, high) = (i64::try_from(min).ok()?.div_euclid(k), i64::try_from(max).ok()?.div_euclid(k));
    (low == high).then_some(low)
}

fn remainder_from_range(expr: &Expr, k: i64) -> Option<Expr> {
    Some(expr - Expr::from(quotient_from_range(expr, k)?) * k)
}

/// The gcd of a content and a divisor, which fits because the divisor does.
fn common(content: u64, k: i64) -> i64 {
    i64::try_from(gcd(content, k.unsigned_abs())).unwrap_or(1)
}
