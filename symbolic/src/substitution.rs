//! Replacing symbols by expressions.

use std::collections::BTreeMap;

use crate::canonical::{Term, Terms};
use crate::expr::Atom;
use crate::{Expr, Symbol};

/// What each of some symbols is replaced by. All replacements happen at once: what they insert is not replaced again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Substitution(BTreeMap<Symbol, Expr>);

impl Substitution {
    /// Replaces nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// This substitution and one more replacement.
    #[must_use]
    pub fn with(mut self, symbol: &Symbol, by: impl Into<Expr>) -> Self {
        self.set(symbol, by);
        self
    }

    /// Replaces `symbol` by `by`, which must agree with what is known of `symbol`.
    pub fn set(&mut self, symbol: &Symbol, by: impl Into<Expr>) {
        self.0.insert(symbol.clone(), by.into());
    }

    /// What `symbol` is replaced by.
    #[must_use]
    pub fn get(&self, symbol: &Symbol) -> Option<&Expr> {
        self.0.get(symbol)
    }

    /// All replacements, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, &Expr)> {
        self.0.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.0.values_mut()
    }
}

impl Expr {
    /// This expression with symbols replaced, in canonical form again.
    ///
    /// A constant that is not a multiple of its symbol's divisor gives the overflow value.
    #[must_use]
    pub fn substitute(&self, substitution: &Substitution) -> Expr {
        let mut touched = false;
        self.visit_symbols(&mut |symbol| touched |= substitution.0.contains_key(symbol));
        if !touched {
            return self.clone();
        }
        let mut sum = Terms::default();
        sum.push(self.constant_term().into(), Vec::new());
        for Term { coefficient, atoms } in self.terms() {
            let product = atoms.iter().map(|atom| atom.substitute(substitution));
            sum.push_expr((*coefficient).into(), &product.fold(Expr::ONE, |all, one| all * one));
        }
        sum.finish()
    }
}

impl Atom {
    fn substitute(&self, substitution: &Substitution) -> Expr {
        let each = |of: &[Expr], pick: fn(&Expr, &Expr) -> Expr| {
            let all = of.iter().map(|one| one.substitute(substitution));
            all.reduce(|a, b| pick(&a, &b)).unwrap_or(Expr::OVERFLOW)
        };
        match self {
            Self::Symbol { symbol, divisor } => match substitution.0.get(symbol) {
                None => Expr::from(self.clone()),
                Some(by) if by.constant().is_some_and(|value| value % divisor != 0) => Expr::OVERFLOW,
                Some(by) => by.floor_div(*divisor),
            },
            Self::FloorDiv(of, k) => of.substitute(substitution).floor_div(*k),
            Self::Mod(of, k) => of.substitute(substitution).modulo(*k),
            Self::Min(of) => each(of, Expr::min),
            Self::Max(of) => each(of, Expr::max),
        }
    }
}
