//! Values for symbols, and evaluation with them.

use std::fmt::{Debug, Display, Formatter};

use thiserror::Error;

use crate::canonical::Term;
use crate::expr::{Atom, Form};
use crate::{Expr, Symbol};

/// Values of a few symbols, such as `batch = 1, past = 17`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bindings(Vec<(Symbol, i64)>);

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A symbol of the expression is not bound.
    #[error("`{0}` has no value: bind it before evaluating")]
    Unbound(Symbol),
    /// The value bound to a symbol contradicts the facts that the expression was simplified with.
    #[error("`{symbol}` = {value} is not a multiple of {} in {}..={}", symbol.divisor(), symbol.min(), symbol.max())]
    OutsideFacts {
        /// The symbol.
        symbol: Symbol,
        /// The value bound to it.
        value: i64,
    },
    /// A value on the way does not fit 64 bits, or the expression is the overflow value.
    #[error("the value does not fit 64 bits, or the expression grew past its size limit")]
    Overflow,
}

impl Bindings {
    /// No bindings.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These bindings and one more.
    #[must_use]
    pub fn with(mut self, symbol: &Symbol, value: i64) -> Self {
        self.set(symbol, value);
        self
    }

    /// Binds `symbol`. Allocates only for a symbol that was not bound before.
    pub fn set(&mut self, symbol: &Symbol, value: i64) {
        match self.0.binary_search_by(|(bound, _)| bound.cmp(symbol)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (symbol.clone(), value)),
        }
    }

    /// The value of `symbol`.
    #[must_use]
    pub fn get(&self, symbol: &Symbol) -> Option<i64> {
        self.0.iter().find(|(bound, _)| bound == symbol).map(|(_, value)| *value)
    }

    /// All bindings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, i64)> {
        self.0.iter().map(|(symbol, value)| (symbol, *value))
    }
}

impl Display for Bindings {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (position, (symbol, value)) in self.0.iter().enumerate() {
            write!(f, "{}{symbol} = {value}", if position == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Debug for Bindings {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl<'a> FromIterator<(&'a Symbol, i64)> for Bindings {
    fn from_iter<I: IntoIterator<Item = (&'a Symbol, i64)>>(iter: I) -> Self {
        iter.into_iter().fold(Self::new(), |all, (symbol, value)| all.with(symbol, value))
    }
}

impl Expr {
    /// The value under `bindings`. Does not allocate.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn eval(&self, bindings: &Bindings) -> Result<i64, EvalError> {
        let sum = match &self.0 {
            Form::Constant(value) => return Ok(*value),
            Form::Overflow => return Err(EvalError::Overflow),
            Form::Sum(sum) => sum,
        };
        let mut total = sum.constant;
        for Term { coefficient, atoms } in &sum.terms {
            let mut product = *coefficient;
            for atom in atoms {
                product = product.checked_mul(atom.eval(bindings)?).ok_or(EvalError::Overflow)?;
            }
            total = total.checked_add(product).ok_or(EvalError::Overflow)?;
        }
        Ok(total)
    }
}

impl Atom {
    fn eval(&self, bindings: &Bindings) -> Result<i64, EvalError> {
        match self {
            Self::Symbol { symbol, divisor } => {
                let value = bindings.get(symbol).ok_or_else(|| EvalError::Unbound(symbol.clone()))?;
                if symbol.admits(value) {
                    Ok(value / divisor)
                } else {
                    Err(EvalError::OutsideFacts { symbol: symbol.clone(), value })
                }
            }
            Self::FloorDiv(of, k) => Ok(of.eval(bindings)?.div_euclid(*k)),
            Self::Mod(of, k) => Ok(of.eval(bindings)?.rem_euclid(*k)),
            Self::Min(of) => extremum(of, bindings, i64::min),
            Self::Max(of) => extremum(of, bindings, i64::max),
        }
    }
}

fn extremum(of: &[Expr], bindings: &Bindings, pick: fn(i64, i64) -> i64) -> Result<i64, EvalError> {
    let mut values = of.iter().map(|one| one.eval(bindings));
    let first = values.next().unwrap_or(Err(EvalError::Overflow))?;
    values.try_fold(first, |best, value| Ok(pick(best, value?)))
}
