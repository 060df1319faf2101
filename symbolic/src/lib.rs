//! Integer expressions over named sizes, such as `past + seq` or `4*batch*(seq//2)`.
//!
//! A model has dimensions without values until it runs. Sizes, offsets and memory plans are worked out once, as [`Expr`]s,
//! and only evaluated when a [`Symbol`] gets a value. An `Expr` is canonical by construction: a sorted sum of coefficient x
//! product of atoms, where an atom is a symbol, a division or remainder by a constant (floor semantics), a minimum or a
//! maximum. So equal sizes compare equal, and there is nothing to simplify by hand.
//!
//! ```
//! use symbolic::{Bindings, Equalities, Expr, Symbol, parse, solve};
//!
//! // A model says [batch, past + seq] for its mask; the heads share 576 channels.
//! let mut symbol = |name: &str| Symbol::new(name).with_range(1, 4096);
//! let mask = parse("past + seq", &mut symbol)?;
//! let [batch, seq] = ["batch", "seq"].map(|name| Expr::from(symbol(name)));
//!
//! // Reshape's -1: the size that keeps the number of elements.
//! let heads = (&batch * &seq * 576).exact_div(&(&batch * &seq * 64));
//! assert_eq!(heads, Some(Expr::from(9)));
//!
//! // Which of two buffers is larger, for all values?
//! assert!((&seq * 64).provably_le(&(&mask * 64)));
//! assert_eq!((&seq * 64).max(&(&mask * 64)).to_string(), "64*past + 64*seq");
//!
//! // Shapes that meet must agree.
//! let mut equal = Equalities::new();
//! equal.unify(&Expr::from(symbol("total")), "attention_mask", &mask, "scores")?;
//! assert_eq!(equal.resolve(&Expr::from(symbol("total"))), mask);
//!
//! // Actual sizes give the symbols their values.
//! let values: Bindings = solve(&[(mask.clone(), 12), (seq.clone(), 4)])?;
//! assert_eq!(values.get(&symbol("past")), Some(8));
//! assert_eq!((mask * &seq).align_up(64).eval(&values)?, 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to go next: [`Symbol`] for the facts that make simplification possible, [`Expr`] for the operations,
//! [`Expr::range`] and [`Expr::provably_le`] for what is known without values, [`Substitution`] for putting expressions in,
//! [`parse`] for the text of exporters.
//!
//! Nothing here panics or wraps. A result that does not fit is the overflow value ([`Expr::is_overflow`]); it propagates,
//! and evaluating it is an error. Facts are trusted when simplifying and checked when evaluating.
#![forbid(unsafe_code)]

mod arithmetic;
mod bindings;
mod canonical;
mod display;
mod division;
mod expr;
mod extremum;
mod fraction;
mod parse;
mod polynomial;
mod proof;
mod range;
mod solve;
mod substitution;
mod symbol;
mod unify;

pub use bindings::{Bindings, EvalError};
pub use expr::Expr;
pub use parse::{ParseError, ParseProblem, parse};
pub use range::Range;
pub use solve::{SolveError, solve};
pub use substitution::Substitution;
pub use symbol::Symbol;
pub use unify::{Equalities, Equality, UnifyError};
