//! The values inside a text: fractions, so that `floor(s0/2 - 1/2)` can be read, and the functions of exporters.

use crate::Expr;
use crate::parse::{ParseProblem, Parsed};

/// `numerator / denominator`, for true divisions under floor and ceil.
pub(crate) struct Fraction {
    pub numerator: Expr,
    pub denominator: i64,
}

impl Fraction {
    pub fn new(numerator: Expr, denominator: i64) -> Parsed<Self> {
        if numerator.is_overflow() {
            Err(ParseProblem::Overflow)
        } else {
            Ok(Self { numerator, denominator })
        }
    }

    pub fn plus(self, other: &Self, sign: i64) -> Parsed<Self> {
        let denominator = self.denominator.checked_mul(other.denominator).ok_or(ParseProblem::Overflow)?;
        let right = &other.numerator * self.denominator;
        Self::new(self.numerator * other.denominator + right * sign, denominator)
    }

    pub fn over(self, k: i64) -> Parsed<Self> {
        Self::new(self.numerator, self.denominator.checked_mul(k).ok_or(ParseProblem::Overflow)?)
    }

    pub fn floor(&self) -> Expr {
        self.numerator.floor_div(self.denominator)
    }

    pub fn ceil(&self) -> Expr {
        self.numerator.ceil_div(self.denominator)
    }

    pub fn divisor(self) -> Parsed<i64> {
        constant_in(self.whole()?, 1, i64::MAX)
    }

    pub fn whole(self) -> Parsed<Expr> {
        if self.numerator.multiple_of() % self.denominator == 0 {
            Ok(self.floor())
        } else {
            Err(ParseProblem::Fraction)
        }
    }
}

/// The constant that `value` is, if it lies in `min..=max`.
pub(crate) fn constant_in(value: Expr, min: i64, max: i64) -> Parsed<i64> {
    match value.constant() {
        Some(constant) if (min..=max).contains(&constant) => Ok(constant),
        _ => Err(ParseProblem::NotConstant { min, max, found: value }),
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Function {
    Floor,
    Ceil,
    FloorDiv,
    CeilDiv,
    Mod,
    Min,
    Max,
}

impl Function {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "floor" => Self::Floor,
            "ceil" | "ceiling" => Self::Ceil,
            "FloorDiv" | "floordiv" => Self::FloorDiv,
            "CeilDiv" | "ceildiv" => Self::CeilDiv,
            "Mod" | "mod" => Self::Mod,
            "Min" | "min" => Self::Min,
            "Max" | "max" => Self::Max,
            _ => return None,
        })
    }

    /// `name` is for the error.
    pub fn call(self, name: &str, arguments: Vec<Fraction>) -> Parsed<Fraction> {
        let given = arguments.len();
        let mut arguments = arguments.into_iter();
        let value = match (self, arguments.next(), arguments.next()) {
            (Self::Floor, Some(only), None) => only.floor(),
            (Self::Ceil, Some(only), None) => only.ceil(),
            (Self::FloorDiv, Some(of), Some(k)) if given == 2 => of.over(k.divisor()?)?.floor(),
            (Self::CeilDiv, Some(of), Some(k)) if given == 2 => of.over(k.divisor()?)?.ceil(),
            (Self::Mod, Some(of), Some(k)) if given == 2 => of.whole()?.modulo(k.divisor()?),
            (Self::Min | Self::Max, Some(first), second) => {
                let pick = if matches!(self, Self::Min) { Expr::min } else { Expr::max };
                second
                    .into_iter()
                    .chain(arguments)
                    .try_fold(first.whole()?, |a, b| Ok(pick(&a, &b.whole()?)))?
            }
            _ => return Err(ParseProblem::ArgumentCount { name: name.to_owned(), given }),
        };
        Fraction::new(value, 1)
    }
}
