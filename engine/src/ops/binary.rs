//! Functions of two elements, with broadcasting: arithmetic, comparison and logic.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Elem, Infer, Lowering, OnnxName, OnnxNode, Op, Operator, Tolerance, converted, elementwise,
        nd::{Positions, broadcast_sizes, fixed, floats, given, integers},
        sample, standard,
    },
};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum Binary {
    Add,
    And,
    /// Integers are rounded towards 0.
    Div,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// The remainder with the divisor's sign.
    Mod,
    /// The remainder with the dividend's sign, as in C.
    Fmod,
    Max,
    Min,
    Mul,
    Or,
    Pow,
    Sub,
    Xor,
}

use Binary::{
    Add, And, Div, Equal, Fmod, Greater, GreaterOrEqual, Less, LessOrEqual, Max, Min, Mod, Mul, Or, Pow, Sub,
    Xor,
};

/// Each function with its ONNX name and the kernel's name for it.
const TABLE: [(Binary, &str, &str); 17] = [
    (Add, "Add", "add"),
    (And, "And", "and"),
    (Div, "Div", "div"),
    (Equal, "Equal", "equal"),
    (Greater, "Greater", "greater"),
    (GreaterOrEqual, "GreaterOrEqual", "greater_equal"),
    (Less, "Less", "less"),
    (LessOrEqual, "LessOrEqual", "less_equal"),
    (Mod, "Mod", "mod"),
    (Fmod, "Mod", "fmod"),
    (Max, "Max", "max"),
    (Min, "Min", "min"),
    (Mul, "Mul", "mul"),
    (Or, "Or", "or"),
    (Pow, "Pow", "pow"),
    (Sub, "Sub", "sub"),
    (Xor, "Xor", "xor"),
];

impl Binary {
    fn row(self) -> (&'static str, &'static str) {
        TABLE.iter().find(|(f, ..)| *f == self).map_or(("", ""), |(_, name, kernel)| (name, kernel))
    }

    /// The function with an ONNX name.
    #[must_use]
    pub fn named(op_type: &str) -> Option<Self> {
        TABLE.iter().find(|(_, name, _)| *name == op_type).map(|row| row.0)
    }

    /// The elementwise kernel's name for the function.
    #[must_use]
    pub fn kernel(self) -> &'static str {
        self.row().1
    }

    /// On floats; a truth value is 0 or 1.
    pub(super) fn of_floats(self, a: f64, b: f64) -> f64 {
        match self {
            Add => a + b,
            And => f64::from(a != 0.0 && b != 0.0),
            Div => a / b,
            Equal => f64::from(a == b),
            Greater => f64::from(a > b),
            GreaterOrEqual => f64::from(a >= b),
            Less => f64::from(a < b),
            LessOrEqual => f64::from(a <= b),
            Mod => a - (a / b).floor() * b,
            Fmod => a % b,
            Max if a.is_nan() || b.is_nan() => f64::NAN,
            Min if a.is_nan() || b.is_nan() => f64::NAN,
            Max => a.max(b),
            Min => a.min(b),
            Mul => a * b,
            Or => f64::from(a != 0.0 || b != 0.0),
            Pow => a.powf(b),
            Sub => a - b,
            Xor => f64::from((a != 0.0) != (b != 0.0)),
        }
    }

    /// A division by 0 is 0.
    fn of_integers(self, a: i64, b: i64) -> i64 {
        match self {
            Add => a.wrapping_add(b),
            And => i64::from(a != 0 && b != 0),
            Div => a.checked_div(b).unwrap_or(0),
            Equal => i64::from(a == b),
            Greater => i64::from(a > b),
            GreaterOrEqual => i64::from(a >= b),
            Less => i64::from(a < b),
            LessOrEqual => i64::from(a <= b),
            Mod => {
                let rest = a.checked_rem(b).unwrap_or(0);
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            }
            Fmod => a.checked_rem(b).unwrap_or(0),
            Max => a.max(b),
            Min => a.min(b),
            Mul => a.wrapping_mul(b),
            Or => i64::from(a != 0 || b != 0),
            Pow => integer_power(a, b),
            Sub => a.wrapping_sub(b),
            Xor => i64::from((a != 0) != (b != 0)),
        }
    }

    /// The result for operands known as expressions; `float` where they stand for whole numbers in a float tensor.
    fn of_known(self, a: &Expr, b: &Expr, float: bool) -> Option<Expr> {
        let known = match (self, a.constant(), b.constant()) {
            (Div, Some(a), Some(b)) if float => (b != 0 && a % b == 0).then(|| Expr::from(a / b))?,
            (Pow, ..) if float => return None,
            (Div | Mod | Fmod, Some(_), Some(0)) => return None,
            (_, Some(a), Some(b)) => Expr::from(self.of_integers(a, b)),
            (Add, ..) => a + b,
            (Sub, ..) => a - b,
            (Mul, ..) => a * b,
            (Div, ..) => quotient(a, b, float)?,
            (Mod, _, Some(k)) if k > 0 && !float => a.modulo(k),
            (Fmod, _, Some(k)) if k > 0 && !float && Expr::from(0).provably_le(a) => a.modulo(k),
            (Min, ..) => a.min(b),
            (Max, ..) => a.max(b),
            (Equal, ..) => truth(a == b, less(a, b) || less(b, a))?,
            (Less, ..) => truth(less(a, b), b.provably_le(a))?,
            (LessOrEqual, ..) => truth(a.provably_le(b), less(b, a))?,
            (Greater, ..) => truth(less(b, a), a.provably_le(b))?,
            (GreaterOrEqual, ..) => truth(b.provably_le(a), less(a, b))?,
            _ => return None,
        };
        (!known.is_overflow()).then_some(known)
    }

    fn output_type(self, input: DType) -> DType {
        match self {
            And | Or | Xor | Equal | Greater | GreaterOrEqual | Less | LessOrEqual => DType::Bool,
            _ => input,
        }
    }

    /// The fact for two operands.
    ///
    /// # Errors
    /// When they do not broadcast.
    pub fn fact(self, cx: &mut Infer<'_>, a: &Fact, b: &Fact) -> Result<Fact, OpError> {
        let shape = cx.broadcast(&[&a.shape, &b.shape])?;
        let content = self.content(a, b, &shape);
        Ok(Fact { dtype: self.output_type(a.dtype), shape, content })
    }

    fn content(self, a: &Fact, b: &Fact, shape: &[Expr]) -> Option<Arc<[Expr]>> {
        let (x, y) = (a.content.as_ref()?, b.content.as_ref()?);
        let out = fixed(shape)?;
        let at = |fact: &Fact| Positions::all(&fixed(&fact.shape)?).broadcast(&out).ok().map(|p| p.list());
        let pairs = at(a)?.into_iter().zip(at(b)?);
        pairs.map(|(i, j)| self.of_known(x.get(i)?, y.get(j)?, a.dtype.is_float())).collect()
    }

    /// The result for two tensors.
    ///
    /// # Errors
    /// When they do not broadcast.
    pub fn of_tensors(self, a: &HostTensor, b: &HostTensor) -> Result<HostTensor, OpError> {
        let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
        let dtype = self.output_type(a.dtype());
        let i = Positions::all(a.shape()).broadcast(&shape)?.list();
        let j = Positions::all(b.shape()).broadcast(&shape)?.list();
        let pairs = i.into_iter().zip(j);
        if a.dtype().is_float() || b.dtype().is_float() {
            let (x, y) = (a.to_f64s(), b.to_f64s());
            return floats(dtype, shape, &pairs.map(|(i, j)| self.of_floats(x[i], y[j])).collect::<Vec<_>>());
        }
        let (x, y) = (a.to_i64s(), b.to_i64s());
        let all: Vec<i64> = pairs.map(|(i, j)| self.of_whole(a.dtype(), x[i], y[j])).collect();
        integers(dtype, shape, &all)
    }

    /// On integers and booleans of a type.
    pub(super) fn of_whole(self, dtype: DType, a: i64, b: i64) -> i64 {
        if dtype == DType::U64 { self.of_unsigned(a, b) } else { self.of_integers(a, b) }
    }

    /// On bits of `u64`, where order, quotients and remainders differ from `i64`.
    fn of_unsigned(self, a: i64, b: i64) -> i64 {
        let (x, y) = (a as u64, b as u64);
        match self {
            Div => x.checked_div(y).unwrap_or(0) as i64,
            Mod | Fmod => x.checked_rem(y).unwrap_or(0) as i64,
            Greater => i64::from(x > y),
            GreaterOrEqual => i64::from(x >= y),
            Less => i64::from(x < y),
            LessOrEqual => i64::from(x <= y),
            Max => x.max(y) as i64,
            Min => x.min(y) as i64,
            _ => self.of_integers(a, b),
        }
    }
}

fn integer_power(a: i64, b: i64) -> i64 {
    match (a, u32::try_from(b)) {
        (_, Ok(exponent)) => a.wrapping_pow(exponent),
        (1, Err(_)) => 1,
        (-1, Err(_)) => 1 - 2 * (b & 1),
        (_, Err(_)) => 0,
    }
}

/// Of sizes, which are not negative, rounding towards 0 is rounding down.
fn quotient(a: &Expr, b: &Expr, float: bool) -> Option<Expr> {
    if let Some(exact) = a.exact_div(b) {
        return Some(exact);
    }
    let k = b.constant().filter(|k| *k > 0 && !float)?;
    Expr::from(0).provably_le(a).then(|| a.floor_div(k))
}

fn less(a: &Expr, b: &Expr) -> bool {
    (a + &Expr::from(1)).provably_le(b)
}

fn truth(yes: bool, no: bool) -> Option<Expr> {
    (yes || no).then(|| Expr::from(i64::from(yes)))
}

impl Op for Binary {
    fn name(&self) -> &'static str {
        self.row().0
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        if a.dtype != b.dtype && *self != Pow && !(a.dtype.is_float() && b.dtype.is_float()) {
            return Err(invalid(format!("operands are {} and {}", a.dtype, b.dtype)));
        }
        Ok(vec![self.fact(cx, a, b)?])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        Ok(vec![self.of_tensors(given(inputs, 0)?, given(inputs, 1)?)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (a, b) = (cx.shaped(0)?, cx.shaped(1)?);
        let out = cx.output(0)?;
        if *self != Pow {
            return elementwise(cx, self.kernel(), &[a, b], &out);
        }
        // Powers are computed on floats; the two types may differ, and the result has the first one's.
        let floats = |e: Elem| if e == Elem::F16 { e } else { Elem::F32 };
        let wide = if a.elem == Elem::F16 { floats(b.elem) } else { Elem::F32 };
        let operands = [converted(cx, a, wide)?, converted(cx, b, wide)?];
        if out.elem == wide {
            return elementwise(cx, "pow", &operands, &out);
        }
        let shape = cx.output_fact(0)?.shape.clone();
        let power = cx.temporary("power", wide, &shape);
        elementwise(cx, "pow", &operands, &power)?;
        cx.copy(&power, &out)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let binary = Binary::named(node.op_type());
    let binary = binary.ok_or_else(|| OpError::Unsupported(node.op_type().to_owned()))?;
    let fmod = node.op_type() == "Mod" && node.int_or("fmod", 0)? != 0;
    Ok(Arc::new(if fmod { Fmod } else { binary }))
}

const ALL: std::ops::RangeInclusive<i64> = 7..=27;

/// Max and Min take any number of operands and are in `variadic.rs`.
const NAMES: &[OnnxName] = &[
    standard("Add", ALL),
    standard("And", ALL),
    standard("Div", ALL),
    standard("Equal", ALL),
    standard("Greater", ALL),
    standard("GreaterOrEqual", ALL),
    standard("Less", ALL),
    standard("LessOrEqual", ALL),
    standard("Mod", ALL),
    standard("Mul", ALL),
    standard("Or", ALL),
    standard("Pow", ALL),
    standard("Sub", ALL),
    standard("Xor", ALL),
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (f, ..) in TABLE {
        let input = |shape: &[usize], seed| match f {
            And | Or | Xor => sample::booleans(shape, seed),
            Pow => sample::floats_in(shape, seed, 0.25, 3.0),
            Mod | Div => sample::floats_in(shape, seed, 0.5, 9.0),
            _ => sample::floats_in(shape, seed, -2.0, 2.0),
        };
        if f != Mod {
            let inputs = vec![Some(input(&[3, 5], 1)), Some(input(&[3, 5], 2))];
            cases.push(Case::new(format!("{f:?}"), f, inputs));
            let inputs = vec![Some(input(&[2, 1, 7], 1)), Some(input(&[3, 1], 2))];
            cases.push(Case::new(format!("{f:?}, both repeated"), f, inputs));
        }
        if !matches!(f, And | Or | Xor) {
            let low = if f == Pow { 0 } else { 1 };
            let a = sample::integers_in(
                &[4, 6],
                3,
                if f == Pow { -3 } else { -20 },
                if f == Pow { 4 } else { 20 },
            );
            let b = sample::integers_in(&[6], 4, low, 6);
            let case = Case::new(format!("{f:?} of int64"), f, vec![Some(a), Some(b)]);
            cases.push(case.tolerance(Tolerance::EXACT));
        }
    }
    for f in [Mod, Fmod, Div] {
        let a = sample::list(&[-7, -7, 7, 7, 6, -6]);
        let b = sample::list(&[3, -3, 3, -3, 3, 3]);
        cases.push(
            Case::new(format!("{f:?} of both signs"), f, vec![Some(a), Some(b)]).tolerance(Tolerance::EXACT),
        );
    }
    let scalar = sample::scalar(DType::F32, 0.5);
    cases.push(Case::new("Mul by a scalar", Mul, vec![Some(sample::floats(&[2, 3, 4], 1)), Some(scalar)]));
    let nothing = vec![Some(sample::floats(&[0, 4], 1)), Some(sample::floats(&[1, 4], 2))];
    cases.push(Case::new("Add of nothing", Add, nothing));
    let power = vec![Some(sample::floats(&[9], 1)), Some(sample::of(DType::I64, &[], &[2.0]))];
    cases.push(Case::new("Pow of negative numbers to an int64", Pow, power));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };

#[cfg(test)]
mod tests {
    use symbolic::{Expr, Symbol};

    use super::{Add, Binary, Div, Equal, Fmod, Less, Mod, Mul, Pow, Sub};

    #[test]
    fn integers_follow_onnx() {
        let table: [(Binary, i64, i64, i64); 9] = [
            (Div, -7, 2, -3),
            (Mod, -7, 3, 2),
            (Mod, 7, -3, -2),
            (Fmod, -7, 3, -1),
            (Fmod, 7, -3, 1),
            (Pow, -2, 3, -8),
            (Pow, 2, -1, 0),
            (Pow, -1, -3, -1),
            (Div, i64::MIN, -1, 0),
        ];
        for (f, a, b, want) in table {
            assert_eq!(f.of_integers(a, b), want, "{f:?}({a}, {b})");
        }
    }

    #[test]
    fn sizes_stay_expressions() {
        let s = Expr::from(Symbol::new("s").with_range(1, 1000));
        let known = |f: Binary, a: &Expr, b: i64| f.of_known(a, &Expr::from(b), false);
        assert_eq!(known(Add, &s, 3), Some(&s + 3));
        assert_eq!(known(Mul, &s, 2).and_then(|e| known(Div, &e, 2)), Some(s.clone()));
        assert_eq!(known(Sub, &s, 0), Some(s.clone()));
        assert_eq!(known(Equal, &s, -1), Some(Expr::from(0)));
        assert_eq!(known(Less, &s, 1), Some(Expr::from(0)));
        assert_eq!(known(Equal, &s, 5), None);
        assert_eq!(Div.of_known(&Expr::from(7), &Expr::from(2), true), None);
    }
}
