//! Quotients of two expressions as polynomials in their atoms.

use crate::Expr;
use crate::canonical::{Term, Terms};
use crate::expr::{Atom, gcd};

/// Most steps of one division; each settles one monomial of the dividend or of an intermediate remainder.
const MAX_STEPS: usize = 1024;

impl Expr {
    /// The polynomial `q` with `q * divisor == self`, if there is one: `9` for `batch*seq*576` over `batch*seq*64`.
    ///
    /// The identity holds for all values, those where `divisor` is 0 included. `None` for the divisor 0.
    #[must_use]
    pub fn exact_div(&self, divisor: &Expr) -> Option<Expr> {
        if self.is_overflow() || divisor.is_overflow() {
            return None;
        }
        let (lead, lead_atoms) = divisor.all_terms().next()?;
        let mut quotient = Terms::default();
        let mut rest = self.clone();
        for _ in 0..MAX_STEPS {
            let Some((coefficient, atoms)) = rest.all_terms().next() else { return Some(quotient.finish()) };
            if lead == -1 && coefficient == i64::MIN || coefficient % lead != 0 {
                return None;
            }
            let mut step = Terms::default();
            step.push(i128::from(coefficient / lead), without(atoms, lead_atoms)?);
            let step = step.finish();
            quotient.push_expr(1, &step);
            rest -= step * divisor;
            if rest.is_overflow() {
                return None;
            }
        }
        None
    }

    /// `(p, q)` in lowest terms with `q > 0` and `self * q == other * p` for all values. `None` if there is no such
    /// constant ratio, or if `other` is 0.
    #[must_use]
    pub fn ratio(&self, other: &Expr) -> Option<(i64, i64)> {
        if self.is_overflow() || other.is_overflow() {
            return None;
        }
        let (lower, _) = other.all_terms().next()?;
        let Some((upper, _)) = self.all_terms().next() else { return Some((0, 1)) };
        let same = |(a, left): (i64, &[Atom]), (b, right): (i64, &[Atom])| {
            left == right && i128::from(a) * i128::from(lower) == i128::from(b) * i128::from(upper)
        };
        if self.all_terms().count() != other.all_terms().count()
            || !self.all_terms().zip(other.all_terms()).all(|(a, b)| same(a, b))
        {
            return None;
        }
        let common = i128::from(gcd(upper.unsigned_abs(), lower.unsigned_abs())) * i128::from(lower.signum());
        let reduced = |value: i64| i64::try_from(i128::from(value) / common).ok();
        Some((reduced(upper)?, reduced(lower)?))
    }
}

/// The monomial `atoms / divisor`, if `divisor` divides it.
fn without(atoms: &[Atom], divisor: &[Atom]) -> Option<Vec<Atom>> {
    let mut left = divisor.iter().peekable();
    let mut quotient = Vec::with_capacity(atoms.len());
    for atom in atoms {
        if left.next_if(|next| *next == atom).is_none() {
            quotient.push(atom.clone());
        }
    }
    left.peek().is_none().then_some(quotient)
}

impl Term {
    /// The atom of a term of degree 1.
    pub(crate) fn linear(&self) -> Option<&Atom> {
        match &*self.atoms {
            [atom] => Some(atom),
            _ => None,
        }
    }
}
