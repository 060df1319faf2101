//! Finds symbol values from sizes that are known.

use thiserror::Error;

use crate::expr::Atom;
use crate::{Bindings, EvalError, Expr, Substitution, Symbol};

/// Why sizes do not give values to symbols.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SolveError {
    /// The declared size has another value, with what the sizes before it say.
    #[error("dimension {index} is {actual}, but was declared `{declared}`, which {expected}")]
    Mismatch {
        /// Position in the list given.
        index: usize,
        /// The declared size.
        declared: Expr,
        /// The actual size.
        actual: i64,
        /// What the declared size is, or must be.
        expected: String,
    },
    /// No size determines these symbols.
    #[error("the sizes given do not determine `{symbol}` (it occurs in `{declared}`): give it a value")]
    Undetermined {
        /// The declared size that is left.
        declared: Expr,
        /// One of its symbols without a value.
        symbol: Symbol,
    },
}

/// The values of all symbols in `sizes`, given as (declared, actual): bare symbols first, then those left as the one linear
/// unknown of a size. Every size is verified.
///
/// # Errors
/// See [`SolveError`].
pub fn solve(sizes: &[(Expr, i64)]) -> Result<Bindings, SolveError> {
    let mut found = Found::default();
    for (index, (declared, actual)) in sizes.iter().enumerate() {
        if declared.as_symbol().is_some() {
            found.learn(index, declared, *actual)?;
        }
    }
    let mut open: Vec<usize> = (0..sizes.len()).collect();
    loop {
        let before = open.len();
        let mut left = Vec::new();
        for index in open {
            let (declared, actual) = &sizes[index];
            if !found.learn(index, declared, *actual)? {
                left.push(index);
            }
        }
        open = left;
        match open.first() {
            None => break,
            Some(&index) if open.len() == before => {
                let declared = sizes[index].0.clone();
                let unknown = declared.symbols().find(|symbol| found.bindings.get(symbol).is_none()).cloned();
                return Err(match unknown {
                    Some(symbol) => SolveError::Undetermined { declared, symbol },
                    None => mismatch(index, &declared, sizes[index].1, EvalError::Overflow.to_string()),
                });
            }
            Some(_) => {}
        }
    }
    for (index, (declared, actual)) in sizes.iter().enumerate() {
        match declared.eval(&found.bindings) {
            Ok(value) if value == *actual => {}
            Ok(value) => return Err(mismatch(index, declared, *actual, format!("is {value}"))),
            Err(error) => return Err(mismatch(index, declared, *actual, format!("cannot be: {error}"))),
        }
    }
    Ok(found.bindings)
}

#[derive(Default)]
struct Found {
    bindings: Bindings,
    substitution: Substitution,
}

impl Found {
    /// Whether `declared == actual` is settled: all its symbols have values.
    fn learn(&mut self, index: usize, declared: &Expr, actual: i64) -> Result<bool, SolveError> {
        let left = declared.substitute(&self.substitution);
        if let Some(value) = left.constant() {
            let given = if left == *declared { String::new() } else { format!(" given {}", self.bindings) };
            let expected = format!("is {value}{given}");
            return if value == actual { Ok(true) } else { Err(mismatch(index, declared, actual, expected)) };
        }
        let [term] = left.terms() else { return Ok(false) };
        let Some(Atom::Symbol { symbol, divisor }) = term.linear() else { return Ok(false) };
        let share = i128::from(actual) - i128::from(left.constant_term());
        let value = share / i128::from(term.coefficient) * i128::from(*divisor);
        let exact = share % i128::from(term.coefficient) == 0;
        match i64::try_from(value) {
            Ok(value) if exact && symbol.admits(value) => {
                self.bindings.set(symbol, value);
                self.substitution.set(symbol, value);
                Ok(true)
            }
            _ => Err(mismatch(index, declared, actual, allowed(symbol))),
        }
    }
}

fn allowed(symbol: &Symbol) -> String {
    let (min, max, divisor) = (symbol.min(), symbol.max(), symbol.divisor());
    let of = if divisor == 1 { String::new() } else { format!("a multiple of {divisor} ") };
    format!("gives `{symbol}` no value {of}in {min}..={max}")
}

fn mismatch(index: usize, declared: &Expr, actual: i64, expected: String) -> SolveError {
    SolveError::Mismatch { index, declared: declared.clone(), actual, expected }
}
