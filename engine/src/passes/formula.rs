//! Formulas of elements, and their arithmetic: constants are computed, truth values kept apart from numbers.

use symbolic::Expr;

use crate::{dtype::DType, graph::ValueId};

/// A formula for one element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Element {
    /// An integer.
    Int(Expr),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Whether an expression is at least 0.
    NonNegative(Expr),
    /// An element of a value that is not looked into: a number.
    Load(ValueId, Vec<Expr>),
    /// Whether an element of a value that is not looked into is not 0.
    Set(ValueId, Vec<Expr>),
    /// Negation of a truth value.
    Not(Box<Element>),
    /// Both.
    And(Box<Element>, Box<Element>),
    /// Either.
    Or(Box<Element>, Box<Element>),
    /// `if .0 { .1 } else { .2 }`.
    Choose(Box<Element>, Box<Element>, Box<Element>),
    /// Sum of numbers.
    Sum(Box<Element>, Box<Element>),
    /// Product of numbers.
    Product(Box<Element>, Box<Element>),
}

use Element::{And, Bool, Choose, Float, Int, Load, NonNegative, Not, Or, Product, Set, Sum};

/// The element in another type; `None` where that may change it in a way that no formula says.
pub(super) fn cast(e: Element, from: DType, to: DType) -> Option<Element> {
    // Small integers are the same in every type.
    let narrow = to.bits() < 32;
    let small = |v: f64| !narrow || (0.0..8.0).contains(&v);
    match e {
        Load(value, at) if to == DType::Bool && !from.is_float() => Some(Set(value, at)),
        e if to == DType::Bool => truth(e),
        _ if to.minifloat().is_some() => None,
        e if to.is_float() => Some(e),
        Float(v) => (v.fract() == 0.0 && small(v)).then_some(Float(v)),
        Int(v) => (!narrow || v.constant().is_some_and(|v| small(v as f64))).then_some(Int(v)),
        Load(..) | Sum(..) | Product(..) => (!from.is_float() && !narrow).then_some(e),
        Choose(condition, then, otherwise) => {
            choose(*condition, cast(*then, from, to)?, cast(*otherwise, from, to)?)
        }
        Bool(_) | NonNegative(_) | Set(..) | Not(_) | And(..) | Or(..) => Some(e),
    }
}

/// Whether a number is not 0.
pub(super) fn truth(e: Element) -> Option<Element> {
    match e {
        Int(v) => Some(Bool(v.constant()? != 0)),
        Float(v) => Some(Bool(v != 0.0)),
        Bool(_) | NonNegative(_) | Set(..) | Not(_) | And(..) | Or(..) => Some(e),
        Choose(condition, then, otherwise) => {
            let (then, otherwise) = (truth(*then)?, truth(*otherwise)?);
            Some(or(and((*condition).clone(), then), and(not(*condition), otherwise)))
        }
        Load(..) | Sum(..) | Product(..) => None,
    }
}

pub(super) fn not(e: Element) -> Element {
    match e {
        Bool(b) => Bool(!b),
        Not(inner) => *inner,
        NonNegative(v) => non_negative(&(&Expr::from(-1) - &v)),
        other => Not(Box::new(other)),
    }
}

pub(super) fn and(a: Element, b: Element) -> Element {
    match (a, b) {
        (Bool(true), x) | (x, Bool(true)) => x,
        (Bool(false), _) | (_, Bool(false)) => Bool(false),
        (a, b) => And(Box::new(a), Box::new(b)),
    }
}

fn or(a: Element, b: Element) -> Element {
    match (a, b) {
        (Bool(false), x) | (x, Bool(false)) => x,
        (Bool(true), _) | (_, Bool(true)) => Bool(true),
        (a, b) => Or(Box::new(a), Box::new(b)),
    }
}

pub(super) fn non_negative(e: &Expr) -> Element {
    if Expr::from(0).provably_le(e) {
        Bool(true)
    } else if e.provably_lt(&Expr::from(0)) {
        Bool(false)
    } else {
        NonNegative(e.clone())
    }
}

/// `if condition { then } else { otherwise }`.
pub(super) fn choose(condition: Element, then: Element, otherwise: Element) -> Option<Element> {
    Some(match truth(condition)? {
        Bool(true) => then,
        Bool(false) => otherwise,
        condition => {
            let contrary = not(condition.clone());
            let then = given(&condition, &contrary, then);
            let otherwise = given(&contrary, &condition, otherwise);
            Choose(Box::new(condition), Box::new(then), Box::new(otherwise))
        }
    })
}

/// The element where `holds` is true and its contrary is not.
fn given(holds: &Element, contrary: &Element, e: Element) -> Element {
    match e {
        Choose(condition, then, _) if *condition == *holds => *then,
        Choose(condition, _, otherwise) if *condition == *contrary => *otherwise,
        e => e,
    }
}

/// A truth value used as a number is 0 or 1.
fn number(e: Element) -> Element {
    match e {
        Bool(b) => Float(f64::from(b)),
        NonNegative(_) | Set(..) | Not(_) | And(..) | Or(..) => {
            Choose(Box::new(e), Box::new(Float(1.0)), Box::new(Float(0.0)))
        }
        Int(v) => v.constant().map_or(Int(v), |c| Float(c as f64)),
        other => other,
    }
}

/// An ONNX operator of two operands, where a formula says its result.
pub(super) fn binary(name: &str, a: Element, b: Element) -> Option<Element> {
    if let (Int(a), Int(b)) = (&a, &b) {
        return integers(name, a, b);
    }
    match name {
        "And" => Some(and(truth(a)?, truth(b)?)),
        "Or" => Some(or(truth(a)?, truth(b)?)),
        "Add" => Some(sum(number(a), number(b))),
        "Sub" => Some(sum(number(a), product(number(b), Float(-1.0)))),
        "Mul" => Some(product(number(a), number(b))),
        "Div" => match number(b) {
            Float(v) if v != 0.0 => Some(product(number(a), Float(1.0 / v))),
            _ => None,
        },
        _ => compared(name, number(a), number(b)),
    }
}

fn integers(name: &str, a: &Expr, b: &Expr) -> Option<Element> {
    let one = Expr::from(1);
    Some(match name {
        "Add" => Int(a + b),
        "Sub" => Int(a - b),
        "Mul" => Int(a * b),
        "Max" => Int(a.max(b)),
        "Min" => Int(a.min(b)),
        "LessOrEqual" => non_negative(&(b - a)),
        "Less" => non_negative(&(&(b - a) - &one)),
        "GreaterOrEqual" => non_negative(&(a - b)),
        "Greater" => non_negative(&(&(a - b) - &one)),
        "Equal" => and(non_negative(&(a - b)), non_negative(&(b - a))),
        _ => return None,
    })
}

/// A comparison with a constant: of one of two constants, or whether a loaded number is 0. A number that is loaded may be
/// anything else too, so that being 1 says less than not being 0.
fn compared(name: &str, a: Element, b: Element) -> Option<Element> {
    match (a, b) {
        (Float(x), Float(y)) => Some(Bool(match name {
            "Equal" => x == y,
            "Less" => x < y,
            "LessOrEqual" => x <= y,
            "Greater" => x > y,
            "GreaterOrEqual" => x >= y,
            _ => return None,
        })),
        (Choose(condition, then, otherwise), Float(y)) => {
            let (then, otherwise) = (compared(name, *then, Float(y))?, compared(name, *otherwise, Float(y))?);
            truth(Choose(condition, Box::new(then), Box::new(otherwise)))
        }
        (Float(x), Choose(condition, then, otherwise)) => {
            let (then, otherwise) = (compared(name, Float(x), *then)?, compared(name, Float(x), *otherwise)?);
            truth(Choose(condition, Box::new(then), Box::new(otherwise)))
        }
        (Load(value, at), Float(0.0)) | (Float(0.0), Load(value, at)) if name == "Equal" => {
            Some(not(Set(value, at)))
        }
        _ => None,
    }
}

fn sum(a: Element, b: Element) -> Element {
    match (a, b) {
        (Float(x), Float(y)) => Float(x + y),
        (Float(0.0), x) | (x, Float(0.0)) => x,
        (Choose(c, t, f), Float(y)) | (Float(y), Choose(c, t, f)) => {
            Choose(c, Box::new(sum(*t, Float(y))), Box::new(sum(*f, Float(y))))
        }
        (a, b) => Sum(Box::new(a), Box::new(b)),
    }
}

fn product(a: Element, b: Element) -> Element {
    match (a, b) {
        (Float(x), Float(y)) => Float(if x == 0.0 || y == 0.0 { 0.0 } else { x * y }),
        (Float(1.0), x) | (x, Float(1.0)) => x,
        (Choose(c, t, f), Float(y)) | (Float(y), Choose(c, t, f)) => {
            Choose(c, Box::new(product(*t, Float(y))), Box::new(product(*f, Float(y))))
        }
        (a, b) => Product(Box::new(a), Box::new(b)),
    }
}
