//! Equalities between sizes that meet: which symbols they settle, and which sizes cannot be equal.

use std::fmt::{Display, Formatter};

use thiserror::Error;

use crate::expr::Atom;
use crate::range::Interval;
use crate::{Bindings, Expr, Substitution, Symbol};

/// Sizes that cannot be equal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{a}` of {a_place} must equal `{b}` of {b_place}, but {reason}")]
pub struct UnifyError {
    /// One size.
    pub a: Expr,
    /// Where it comes from.
    pub a_place: String,
    /// The other size.
    pub b: Expr,
    /// Where that comes from.
    pub b_place: String,
    /// Why they differ, with everything known so far put in.
    pub reason: String,
}

/// What is known to be equal.
///
/// A linear equality is solved for a symbol of coefficient 1 or -1, which [`Equalities::resolve`] then replaces. The rest is
/// kept, tried again as more becomes known, and left in [`Equalities::pending`] for [`Equality::check`].
#[derive(Clone, Debug, Default)]
pub struct Equalities {
    solved: Substitution,
    pending: Vec<Equality>,
}

/// `a == b`, and where each comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equality {
    /// One size.
    pub a: Expr,
    /// Where it comes from.
    pub a_place: String,
    /// The other size.
    pub b: Expr,
    /// Where that comes from.
    pub b_place: String,
}

impl Equality {
    /// Verifies it for given values. Allocates only when it does not hold.
    ///
    /// # Errors
    /// [`UnifyError`] when it does not hold, or a side has no value.
    pub fn check(&self, bindings: &Bindings) -> Result<(), UnifyError> {
        let reason = match (self.a.eval(bindings), self.b.eval(bindings)) {
            (Ok(left), Ok(right)) if left == right => return Ok(()),
            (Ok(left), Ok(right)) => format!("they are {left} and {right}"),
            (Err(error), _) | (_, Err(error)) => format!("one has no value: {error}"),
        };
        let Self { a, a_place, b, b_place } = self.clone();
        Err(UnifyError { a, a_place, b, b_place, reason })
    }
}

impl Display for Equality {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` of {} == `{}` of {}", self.a, self.a_place, self.b, self.b_place)
    }
}

enum Outcome {
    Holds,
    Unsolved,
    Solved(Vec<(Symbol, Expr)>),
    Never(String),
}

impl Equalities {
    /// Nothing known.
    #[must_use]
    pub const fn new() -> Self {
        Self { solved: Substitution::new(), pending: Vec::new() }
    }

    /// Notes that `a` and `b` are equal. The places say where each comes from, for the error.
    ///
    /// # Errors
    /// [`UnifyError`] if they cannot be equal, or if that makes an earlier equality impossible.
    pub fn unify(&mut self, a: &Expr, a_place: &str, b: &Expr, b_place: &str) -> Result<(), UnifyError> {
        let (a_place, b_place) = (a_place.to_owned(), b_place.to_owned());
        self.pending.push(Equality { a: a.clone(), a_place, b: b.clone(), b_place });
        let mut at = self.pending.len() - 1;
        while at < self.pending.len() {
            let Equality { a, b, .. } = &self.pending[at];
            match meet(&self.resolve(a), &self.resolve(b)) {
                Outcome::Unsolved => at += 1,
                Outcome::Holds => drop(self.pending.remove(at)),
                Outcome::Never(reason) => {
                    let Equality { a, a_place, b, b_place } = self.pending.remove(at);
                    return Err(UnifyError { a, a_place, b, b_place, reason });
                }
                Outcome::Solved(replacements) => {
                    drop(self.pending.remove(at));
                    self.replace(replacements);
                    at = 0;
                }
            }
        }
        Ok(())
    }

    /// `expr` with everything known put in.
    #[must_use]
    pub fn resolve(&self, expr: &Expr) -> Expr {
        expr.substitute(&self.solved)
    }

    /// What [`Equalities::resolve`] replaces.
    #[must_use]
    pub fn solved(&self) -> &Substitution {
        &self.solved
    }

    /// The equalities that could neither be solved nor refuted, resolved.
    pub fn pending(&self) -> impl Iterator<Item = Equality> {
        self.pending.iter().map(|one| Equality {
            a: self.resolve(&one.a),
            b: self.resolve(&one.b),
            ..one.clone()
        })
    }

    fn replace(&mut self, replacements: Vec<(Symbol, Expr)>) {
        let mut step = Substitution::new();
        replacements.into_iter().for_each(|(symbol, by)| step.set(&symbol, by));
        self.solved.values_mut().for_each(|value| *value = value.substitute(&step));
        for (symbol, by) in step.iter() {
            if self.solved.get(symbol).is_none() {
                self.solved.set(symbol, by);
            }
        }
    }
}

fn meet(a: &Expr, b: &Expr) -> Outcome {
    let difference = a - b;
    if difference.is_overflow() {
        return Outcome::Never("one of them has no value in 64 bits".to_owned());
    }
    if difference == Expr::ZERO {
        return Outcome::Holds;
    }
    let now = format!("they are `{a}` and `{b}`");
    let content = i64::try_from(difference.content()).unwrap_or(1);
    if content == 0 || difference.constant_term() % content != 0 || a.provably_lt(b) || b.provably_lt(a) {
        return Outcome::Never(now);
    }
    if a.ratio(b).is_some_and(|(p, _)| p != 0) {
        return Outcome::Never(format!("{now}, equal only when both are 0"));
    }
    match solve_for_one(&difference.shrink(content), a, b) {
        Some((symbol, by)) => narrow(&symbol, by, &now),
        None => Outcome::Unsolved,
    }
}

/// A symbol of `difference == 0` with its value: a whole side if it can be, else one whose value is surely large enough.
fn solve_for_one(difference: &Expr, a: &Expr, b: &Expr) -> Option<(Symbol, Expr)> {
    let candidates = difference.terms().iter().filter_map(|term| match term.linear() {
        Some(atom @ Atom::Symbol { symbol, divisor }) if matches!(term.coefficient, 1 | -1) => {
            let others = difference - Expr::from(atom.clone()) * term.coefficient;
            let value = others * -term.coefficient;
            (!value.contains(symbol) && !value.is_overflow()).then(|| (symbol.clone(), value * *divisor))
        }
        _ => None,
    });
    candidates.min_by_key(|(symbol, value)| {
        let is = |side: &Expr| side.as_symbol() == Some(symbol);
        let fits = value.range().min.is_some_and(|min| min >= symbol.min());
        // Of two bare symbols the one of `a` stays.
        (!is(b), !is(a), !fits)
    })
}

/// `symbol` is `by`; what `by` depends on takes over the range of `symbol` where it is linear in one symbol.
fn narrow(symbol: &Symbol, by: Expr, now: &str) -> Outcome {
    let Interval { min, max } = Interval::of(&by);
    if max < symbol.min().into() || min > symbol.max().into() {
        return Outcome::Never(format!("{now}, and `{symbol}` is in {}..={}", symbol.min(), symbol.max()));
    }
    let [term] = by.terms() else { return Outcome::Solved(vec![(symbol.clone(), by)]) };
    let Some(Atom::Symbol { symbol: other, divisor }) = term.linear() else {
        return Outcome::Solved(vec![(symbol.clone(), by)]);
    };
    let [low, high] =
        [symbol.min(), symbol.max()].map(|end| i128::from(end) - i128::from(by.constant_term()));
    let coefficient = i128::from(term.coefficient);
    let (low, high) = if coefficient > 0 { (low, high) } else { (-high, -low) };
    let magnitude = coefficient.abs();
    let scale = |units: i128| i64::try_from(units * i128::from(*divisor));
    let low = scale(-(-low).div_euclid(magnitude)).map_or(other.min(), |low| low.max(other.min()));
    let high = scale(high.div_euclid(magnitude)).map_or(other.max(), |high| high.min(other.max()));
    let narrowed = other.with_range(low, high);
    let Interval { min, max } = Interval::of_symbol(&narrowed);
    if min > max {
        return Outcome::Never(format!("{now}, and no `{other}` gives `{symbol}` a value in its range"));
    }
    if (low, high) == (other.min(), other.max()) {
        return Outcome::Solved(vec![(symbol.clone(), by)]);
    }
    let narrowing = Substitution::new().with(other, &narrowed);
    Outcome::Solved(vec![(symbol.clone(), by.substitute(&narrowing)), (other.clone(), Expr::from(narrowed))])
}
