//! Text of expressions, in the notation of exporters; [`crate::parse`] reads it back to the same expression.

use std::fmt::{Debug, Display, Formatter, Result, Write};

use crate::expr::{Atom, Form, gcd};
use crate::{Expr, Symbol};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Form::Overflow => return f.write_str("<overflow>"),
            Form::Constant(value) => return write!(f, "{value}"),
            Form::Sum(_) => {}
        }
        for (position, (coefficient, atoms)) in self.all_terms().enumerate() {
            f.write_str(match (position, coefficient) {
                (0, 0..) => "",
                (0, _) => "-",
                (_, 0..) => " + ",
                (_, i64::MIN) => " + -", // its magnitude is no i64: only a signed literal reads it
                (_, _) => " - ",
            })?;
            write_term(f, coefficient.unsigned_abs(), atoms, position == 0 && coefficient < 0)?;
        }
        Ok(())
    }
}

/// Symbols stand in `atoms` divided by their divisors: those are drawn from the coefficient first, and the part that it
/// lacks is shown as a division, which is exact.
fn write_term(f: &mut Formatter<'_>, coefficient: u64, atoms: &[Atom], signed: bool) -> Result {
    let (symbols, others) = atoms.split_at(atoms.partition_point(|atom| matches!(atom, Atom::Symbol { .. })));
    let (mut coefficient, mut factors) = (coefficient, Vec::with_capacity(atoms.len() + 1));
    for atom in symbols {
        if let Atom::Symbol { symbol, divisor } = atom {
            let drawn = gcd(coefficient, divisor.unsigned_abs());
            coefficient /= drawn;
            factors.push((symbol, divisor.unsigned_abs() / drawn));
        }
    }
    // `-a//2` is `(-a)//2`, and `2*a//2` is `(2*a)//2`.
    let bare = atoms.len() == 1 && coefficient == 1 && !signed;
    if coefficient != 1 || atoms.is_empty() {
        write!(f, "{coefficient}")?;
    }
    let mut separator = if coefficient != 1 { "*" } else { "" };
    for (symbol, missing) in factors {
        f.write_str(separator)?;
        match missing {
            1 => write!(f, "{symbol}")?,
            k if bare => write!(f, "{symbol}//{k}")?,
            k => write!(f, "({symbol}//{k})")?,
        }
        separator = "*";
    }
    for atom in others {
        f.write_str(separator)?;
        write_atom(f, atom, bare)?;
        separator = "*";
    }
    Ok(())
}

fn write_atom(f: &mut Formatter<'_>, atom: &Atom, bare: bool) -> Result {
    match atom {
        Atom::Symbol { symbol, .. } => write!(f, "{symbol}"),
        Atom::FloorDiv(of, k) => {
            let dividend = if of.as_symbol().is_some() { format!("{of}") } else { format!("({of})") };
            if bare { write!(f, "{dividend}//{k}") } else { write!(f, "({dividend}//{k})") }
        }
        Atom::Mod(of, k) => write!(f, "Mod({of}, {k})"),
        Atom::Min(of) => write_call(f, "Min", of),
        Atom::Max(of) => write_call(f, "Max", of),
    }
}

fn write_call(f: &mut Formatter<'_>, name: &str, arguments: &[Expr]) -> Result {
    write!(f, "{name}(")?;
    for (position, argument) in arguments.iter().enumerate() {
        write!(f, "{}{argument}", if position == 0 { "" } else { ", " })?;
    }
    f.write_char(')')
}

impl Display for Symbol {
    /// The name, in double quotes with `\` escapes unless it is a plain name.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut characters = self.name().chars();
        if characters.next().is_some_and(starts_name) && characters.all(continues_name) {
            return f.write_str(self.name());
        }
        f.write_char('"')?;
        for character in self.name().chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

pub(crate) fn starts_name(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

pub(crate) fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | ':' | '$')
}

impl Debug for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(self, f)
    }
}

impl Debug for Symbol {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Display::fmt(self, f)
    }
}
