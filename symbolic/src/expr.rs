//! `Expr`, its atoms, and the questions that its form answers directly.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Symbol;
use crate::canonical::{Sum, Term, Terms};

/// An integer expression over [`Symbol`]s, canonical by construction: `==` and `Hash` are structural, and
/// expressions that differ only by the ring laws are the same value. Cloning is cheap.
///
/// It is not `Ord`: `<` and `Ord::min` would compare forms where a reader expects sizes. See [`Expr::provably_lt`],
/// [`Expr::min`], and [`Expr::compare_forms`] for sorting.
///
/// Arithmetic never panics and never wraps: what leaves `i64`, or grows past the size and depth limits of a form, is the
/// *overflow* value, which propagates like a NaN.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Expr(pub(crate) Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Form {
    Constant(i64),
    Sum(Arc<Sum>),
    Overflow,
}

/// A factor of a product.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
    /// `symbol / divisor`, which is an integer. So a symbol is `divisor * atom`, known divisors are plain coefficients, and
    /// dividing by them is exact. `divisor` repeats the symbol's, so that one name with two divisors makes two atoms.
    Symbol { symbol: Symbol, divisor: i64 },
    /// Division rounding towards minus infinity, by a constant above 1.
    FloorDiv(Expr, i64),
    /// The remainder of that division, in `0..k`.
    Mod(Expr, i64),
    /// The least of two or more expressions, sorted.
    Min(Arc<[Expr]>),
    /// The greatest of two or more expressions, sorted.
    Max(Arc<[Expr]>),
}

impl Expr {
    /// The constant 0.
    pub const ZERO: Expr = Expr(Form::Constant(0));
    /// The constant 1.
    pub const ONE: Expr = Expr(Form::Constant(1));
    pub(crate) const OVERFLOW: Expr = Expr(Form::Overflow);

    /// A total order of forms, the same on every run, which says nothing about values.
    #[must_use]
    pub fn compare_forms(&self, other: &Expr) -> Ordering {
        self.0.cmp(&other.0)
    }

    /// Whether this is the overflow value.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.0 == Form::Overflow
    }

    /// The value of an expression without symbols.
    #[must_use]
    pub fn constant(&self) -> Option<i64> {
        match self.0 {
            Form::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The symbol that this expression is, if it is just that.
    #[must_use]
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match (self.terms(), self.constant_term()) {
            ([Term { coefficient, atoms }], 0) => match &**atoms {
                [Atom::Symbol { symbol, divisor }] if coefficient == divisor => Some(symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// The distinct symbols, sorted by name.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        let mut found = BTreeSet::new();
        self.visit_symbols(&mut |symbol| {
            found.insert(symbol);
        });
        found.into_iter()
    }

    /// Whether `symbol` occurs, by name.
    #[must_use]
    pub fn contains(&self, symbol: &Symbol) -> bool {
        let mut found = false;
        self.visit_symbols(&mut |other| found |= other == symbol);
        found
    }

    /// The greatest divisor known of every value: 0 for the constant 0, which everything divides; 1 when nothing is known.
    #[must_use]
    pub fn multiple_of(&self) -> i64 {
        if self.is_overflow() {
            return 1;
        }
        let all = gcd(self.content(), self.constant_term().unsigned_abs());
        i64::try_from(all).unwrap_or(1 << 62)
    }

    /// The gcd of the coefficients, the constant term left out.
    pub(crate) fn content(&self) -> u64 {
        self.terms().iter().fold(0, |all, term| gcd(all, term.coefficient.unsigned_abs()))
    }

    /// The terms that are not constant, leading one first.
    pub(crate) fn terms(&self) -> &[Term] {
        match &self.0 {
            Form::Sum(sum) => &sum.terms,
            _ => &[],
        }
    }

    /// The constant term: 0 for the overflow value, which callers rule out first.
    pub(crate) fn constant_term(&self) -> i64 {
        match &self.0 {
            Form::Sum(sum) => sum.constant,
            Form::Constant(value) => *value,
            Form::Overflow => 0,
        }
    }

    pub(crate) fn visit_symbols<'a>(&'a self, visit: &mut dyn FnMut(&'a Symbol)) {
        for atom in self.terms().iter().flat_map(|term| &*term.atoms) {
            match atom {
                Atom::Symbol { symbol, .. } => visit(symbol),
                Atom::FloorDiv(of, _) | Atom::Mod(of, _) => of.visit_symbols(visit),
                Atom::Min(of) | Atom::Max(of) => of.iter().for_each(|one| one.visit_symbols(visit)),
            }
        }
    }
}

impl From<Atom> for Expr {
    fn from(atom: Atom) -> Self {
        let mut terms = Terms::default();
        terms.push(1, vec![atom]);
        terms.finish()
    }
}

impl From<&Symbol> for Expr {
    fn from(symbol: &Symbol) -> Self {
        let divisor = symbol.divisor();
        let mut terms = Terms::default();
        terms.push(i128::from(divisor), vec![Atom::Symbol { symbol: symbol.clone(), divisor }]);
        terms.finish()
    }
}

impl From<Symbol> for Expr {
    fn from(symbol: Symbol) -> Self {
        Self::from(&symbol)
    }
}

impl From<&Expr> for Expr {
    fn from(expr: &Expr) -> Self {
        expr.clone()
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Self {
        Self(Form::Constant(value))
    }
}

impl From<i32> for Expr {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<u32> for Expr {
    fn from(value: u32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<u64> for Expr {
    /// The overflow value above `i64::MAX`.
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::OVERFLOW, Self::from)
    }
}

impl From<usize> for Expr {
    /// The overflow value above `i64::MAX`.
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Self::OVERFLOW, Self::from)
    }
}

impl Default for Expr {
    fn default() -> Self {
        Self::ZERO
    }
}

/// Greatest common divisor; `gcd(0, n) = n`.
pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
