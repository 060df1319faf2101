//! Reads the text that exporters write for a dimension.

use thiserror::Error;

use crate::display::{continues_name, starts_name};
use crate::fraction::{Fraction, Function, constant_in};
use crate::{Expr, Symbol};

const MAX_LENGTH: usize = 4096;
const MAX_DEPTH: u32 = 64;
const MAX_EXPONENT: i64 = 16;

/// Text that is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("column {column} of `{text}`: {problem}")]
pub struct ParseError {
    /// The text, cut after 100 characters.
    pub text: String,
    /// The offending character, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: ParseProblem,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseProblem {
    /// Something else had to come here.
    #[error("expected {expected}, found {}", found.map_or_else(|| "the end".to_owned(), |found| format!("`{found}`")))]
    Expected {
        /// What could have come.
        expected: &'static str,
        /// What came; nothing at the end.
        found: Option<char>,
    },
    /// A call of something that is no function here.
    #[error("`{0}` is not a function; known are floor, ceil, Mod, Min, Max, FloorDiv and CeilDiv")]
    UnknownFunction(String),
    /// A function with too few or too many arguments.
    #[error("`{name}` cannot take {given} arguments")]
    ArgumentCount {
        /// The function.
        name: String,
        /// How many arguments it was given.
        given: usize,
    },
    /// A divisor, modulus or exponent that must be a constant in a range.
    #[error("expected a constant in {min}..={max}, found `{found}`")]
    NotConstant {
        /// Least constant allowed.
        min: i64,
        /// Greatest constant allowed.
        max: i64,
        /// What was there.
        found: Expr,
    },
    /// A true division that may leave a fraction.
    #[error("the division may leave a fraction: write `//`, floor(..) or ceil(..)")]
    Fraction,
    /// A number or a result beyond 64 bits, or a form beyond its size limit.
    #[error("the result does not fit 64 bits, or is too large a formula")]
    Overflow,
    /// Parentheses and calls nested too deeply.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More text than any dimension has.
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
}

/// Reads an expression as exporters write dimensions: `s36 + s70`, `2*s0`, `(s0+1)//4`, `s1 % 4`, `Max(1, s0)`,
/// `floor(s0/2 - 1/2)`. Operators bind as in Python. Each name is turned into a symbol by `symbol`; a name that is not
/// letters, digits, `_ . : $` stands in double quotes.
///
/// # Errors
/// [`ParseError`] with the column. Length and nesting are bounded, so any text may be given.
pub fn parse(text: &str, symbol: &mut dyn FnMut(&str) -> Symbol) -> Result<Expr, ParseError> {
    let mut parser = Parser { text, at: 0, depth: 0, symbol };
    let result = if text.len() > MAX_LENGTH { Err(ParseProblem::TooLong) } else { parser.whole_text() };
    result.map_err(|problem| ParseError {
        text: text.chars().take(100).collect(),
        column: text.char_indices().take_while(|(at, _)| *at < parser.at).count() + 1,
        problem,
    })
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes read.
    at: usize,
    depth: u32,
    symbol: &'a mut dyn FnMut(&str) -> Symbol,
}

pub(crate) type Parsed<T> = Result<T, ParseProblem>;

impl Parser<'_> {
    fn whole_text(&mut self) -> Parsed<Expr> {
        let value = self.sum()?.whole()?;
        self.skip_space();
        if self.at < self.text.len() { self.expected("an operator or the end") } else { Ok(value) }
    }

    fn sum(&mut self) -> Parsed<Fraction> {
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value = value.plus(&self.product()?, 1)?;
            } else if self.take("-") {
                value = value.plus(&self.product()?, -1)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Parsed<Fraction> {
        let mut value = self.unary()?;
        loop {
            if self.take("//") {
                let k = self.unary()?.divisor()?;
                value = Fraction::new(value.over(k)?.floor(), 1)?;
            } else if self.take("/") {
                let k = self.unary()?.divisor()?;
                value = value.over(k)?;
            } else if self.take("%") {
                let k = self.unary()?.divisor()?;
                value = Fraction::new(value.whole()?.modulo(k), 1)?;
            } else if self.take("*") {
                let other = self.unary()?;
                let denominator = value.denominator.checked_mul(other.denominator);
                value = Fraction::new(
                    value.numerator * other.numerator,
                    denominator.ok_or(ParseProblem::Overflow)?,
                )?;
            } else {
                return Ok(value);
            }
        }
    }

    fn unary(&mut self) -> Parsed<Fraction> {
        let mut negative = false;
        loop {
            if self.take("-") {
                negative = !negative;
            } else if !self.take("+") {
                break;
            }
        }
        let digits = self.scan(|character| character.is_ascii_digit());
        let base = if digits.is_empty() {
            self.primary()?
        } else {
            let value: i128 = digits.parse().map_err(|_| ParseProblem::Overflow)?;
            if negative && !self.next_is("**") && !self.next_is("^") {
                return Fraction::new(i64::try_from(-value).map_or(Expr::OVERFLOW, Expr::from), 1);
            }
            Fraction::new(i64::try_from(value).map_or(Expr::OVERFLOW, Expr::from), 1)?
        };
        let value = if self.take("**") || self.take("^") { self.power(base)? } else { base };
        if negative { Fraction::new(-value.numerator, value.denominator) } else { Ok(value) }
    }

    fn power(&mut self, base: Fraction) -> Parsed<Fraction> {
        let digits = self.scan(|character| character.is_ascii_digit());
        let Ok(exponent) = digits.parse::<i64>() else { return self.expected("an exponent") };
        let exponent = constant_in(Expr::from(exponent), 0, MAX_EXPONENT)?;
        let base = base.whole()?;
        Fraction::new((0..exponent).fold(Expr::ONE, |all, _| all * &base), 1)
    }

    fn primary(&mut self) -> Parsed<Fraction> {
        self.skip_space();
        match self.peek() {
            Some('(') => self.nested(Self::sum),
            Some('"') => {
                let name = self.quoted()?;
                Fraction::new(Expr::from((self.symbol)(&name)), 1)
            }
            Some(first) if starts_name(first) => {
                let start = self.at;
                let name = self.scan(continues_name).to_owned();
                if !self.next_is("(") {
                    return Fraction::new(Expr::from((self.symbol)(&name)), 1);
                }
                let Some(function) = Function::named(&name) else {
                    self.at = start;
                    return Err(ParseProblem::UnknownFunction(name));
                };
                function.call(&name, self.nested(Self::arguments)?)
            }
            _ => self.expected("a name, a number or `(`"),
        }
    }

    fn arguments(&mut self) -> Parsed<Vec<Fraction>> {
        let mut arguments = vec![self.sum()?];
        while self.take(",") {
            arguments.push(self.sum()?);
        }
        Ok(arguments)
    }

    /// `(`, what `inside` reads, `)`.
    fn nested<T>(&mut self, inside: fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return Err(ParseProblem::TooDeep);
        }
        self.depth += 1;
        self.take("(");
        let value = inside(self)?;
        self.depth -= 1;
        if self.take(")") { Ok(value) } else { self.expected("an operator or `)`") }
    }

    fn quoted(&mut self) -> Parsed<String> {
        let mut name = String::new();
        let mut characters = self.text[self.at..].char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(name);
                }
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => name.push(character),
            }
        }
        self.at = self.text.len();
        self.expected("a closing `\"`")
    }

    /// Skips space, then reads the characters that `belongs` accepts.
    fn scan(&mut self, belongs: fn(char) -> bool) -> &str {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length = rest.find(|character| !belongs(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.next_is(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn next_is(&mut self, token: &str) -> bool {
        self.skip_space();
        self.text[self.at..].starts_with(token)
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn expected<T>(&mut self, expected: &'static str) -> Parsed<T> {
        self.skip_space();
        Err(ParseProblem::Expected { expected, found: self.peek() })
    }
}
