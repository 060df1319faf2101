//! Functions of one element: Neg, Exp, Sigmoid, Gelu, Not, IsNaN and the like.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxName, OnnxNode, Op, Operator, Tolerance, View, elementwise, fill,
        microsoft,
        nd::{floats, given, integers},
        sample, standard,
    },
};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum Unary {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    /// `x * 0.5 * (1 + erf(x / sqrt(2)))`.
    Gelu,
    /// Gelu by its tanh approximation.
    GeluTanh,
    IsInf {
        negative: bool,
        positive: bool,
    },
    IsNaN,
    Log,
    Neg,
    Not,
    Reciprocal,
    Relu,
    /// Halves go to even.
    Round,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    /// `log(exp(x) + 1)`.
    Softplus,
    Sqrt,
    /// `x * sigmoid(alpha * x)`.
    Swish {
        alpha: f32,
    },
    Tan,
    Tanh,
}

use Unary::{
    Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, Ceil, Cos, Cosh, Erf, Exp, Floor, Gelu, GeluTanh, IsInf,
    IsNaN, Log, Neg, Not, Reciprocal, Relu, Round, Sigmoid, Sign, Sin, Sinh, Softplus, Sqrt, Swish, Tan,
    Tanh,
};

/// The factor of quick Gelu, `x * sigmoid(1.702 * x)`.
pub const QUICK: f32 = 1.702;

/// Each function with its ONNX name and the kernel's name for it.
const TABLE: [(Unary, &str, &str); 33] = [
    (Abs, "Abs", "abs"),
    (Acos, "Acos", "acos"),
    (Acosh, "Acosh", "acosh"),
    (Asin, "Asin", "asin"),
    (Asinh, "Asinh", "asinh"),
    (Atan, "Atan", "atan"),
    (Atanh, "Atanh", "atanh"),
    (Ceil, "Ceil", "ceil"),
    (Cos, "Cos", "cos"),
    (Cosh, "Cosh", "cosh"),
    (Erf, "Erf", "erf"),
    (Exp, "Exp", "exp"),
    (Floor, "Floor", "floor"),
    (Gelu, "Gelu", "gelu"),
    (GeluTanh, "Gelu", "gelu_tanh"),
    (IsInf { negative: true, positive: true }, "IsInf", "isinf"),
    (IsInf { negative: true, positive: false }, "IsInf", "isinf"),
    (IsInf { negative: false, positive: true }, "IsInf", "isinf"),
    (IsNaN, "IsNaN", "isnan"),
    (Log, "Log", "log"),
    (Neg, "Neg", "neg"),
    (Not, "Not", "not"),
    (Reciprocal, "Reciprocal", "reciprocal"),
    (Relu, "Relu", "relu"),
    (Round, "Round", "round"),
    (Sigmoid, "Sigmoid", "sigmoid"),
    (Sign, "Sign", "sign"),
    (Sin, "Sin", "sin"),
    (Sinh, "Sinh", "sinh"),
    (Softplus, "Softplus", "softplus"),
    (Sqrt, "Sqrt", "sqrt"),
    (Tan, "Tan", "tan"),
    (Tanh, "Tanh", "tanh"),
];

impl Unary {
    fn row(self) -> (&'static str, &'static str) {
        let row = TABLE.iter().find(|(f, ..)| *f == self);
        let swish = if self == (Swish { alpha: QUICK }) { "quick_gelu" } else { "silu" };
        row.map_or(("Swish", swish), |(_, name, kernel)| (name, kernel))
    }

    /// The function of a number; 0 and 1 stand for false and true.
    #[must_use]
    pub fn of_float(self, x: f64) -> f64 {
        match self {
            Abs => x.abs(),
            Acos => x.acos(),
            Acosh => x.acosh(),
            Asin => x.asin(),
            Asinh => x.asinh(),
            Atan => x.atan(),
            Atanh => x.atanh(),
            Ceil => x.ceil(),
            Cos => x.cos(),
            Cosh => x.cosh(),
            Erf => erf(x),
            Exp => x.exp(),
            Floor => x.floor(),
            Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
            }
            IsInf { negative, positive } => {
                f64::from(x.is_infinite() && if x > 0.0 { positive } else { negative })
            }
            IsNaN => f64::from(x.is_nan()),
            Log => x.ln(),
            Neg => -x,
            Not => f64::from(x == 0.0),
            Reciprocal => 1.0 / x,
            Relu if x.is_nan() => x,
            Relu => x.max(0.0),
            Round => x.round_ties_even(),
            Sigmoid => sigmoid(x),
            Sign if x == 0.0 || x.is_nan() => x,
            Sign => x.signum(),
            Sin => x.sin(),
            Sinh => x.sinh(),
            Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Sqrt => x.sqrt(),
            Swish { alpha } => x * sigmoid(f64::from(alpha) * x),
            Tan => x.tan(),
            Tanh => x.tanh(),
        }
    }

    fn of_integer(self, x: i64) -> Option<i64> {
        Some(match self {
            Abs => x.wrapping_abs(),
            Ceil | Floor | Round => x,
            Neg => x.wrapping_neg(),
            Not => i64::from(x == 0),
            Relu => x.max(0),
            Sign => x.signum(),
            _ => return None,
        })
    }

    fn of_known(self, x: &Expr) -> Option<Expr> {
        match (self, x.constant()) {
            (_, Some(number)) => self.of_integer(number).map(Expr::from),
            (Neg, None) => Some(-x),
            (Ceil | Floor | Round, None) => Some(x.clone()),
            (Abs | Relu, None) if x.range().min.is_some_and(|low| low >= 0) => Some(x.clone()),
            _ => None,
        }
    }

    fn output_type(self, input: DType) -> DType {
        if matches!(self, IsInf { .. } | IsNaN | Not) { DType::Bool } else { input }
    }
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.row().0
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let content = input.content.as_ref().and_then(|c| c.iter().map(|e| self.of_known(e)).collect());
        Ok(vec![Fact { dtype: self.output_type(input.dtype), shape: input.shape.clone(), content }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let (dtype, shape) = (self.output_type(input.dtype()), input.shape().to_vec());
        let out = if input.dtype().is_float() {
            floats(dtype, shape, &input.to_f64s().into_iter().map(|x| self.of_float(x)).collect::<Vec<_>>())
        } else {
            let all: Option<Vec<i64>> = input.to_i64s().into_iter().map(|x| self.of_integer(x)).collect();
            let all = all.ok_or_else(|| invalid(format!("{} is not defined for integers", self.name())))?;
            integers(dtype, shape, &all)
        };
        Ok(vec![out?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let mut input = cx.shaped(0)?;
        let out = cx.output(0)?;
        match *self {
            IsInf { negative: false, positive: true } => input = through(cx, &["relu"], input)?,
            IsInf { negative: true, positive: false } => input = through(cx, &["neg", "relu"], input)?,
            Swish { alpha } if alpha != 1.0 && alpha != QUICK => return swish(cx, alpha, &input, &out),
            _ => {}
        }
        elementwise(cx, self.row().1, &[input], &out)
    }
}

fn through(cx: &mut Lowering<'_>, functions: &[&'static str], mut view: View) -> Result<View, OpError> {
    for function in functions {
        let next = cx.temporary(function, view.elem, &view.shape());
        elementwise(cx, function, &[view], &next)?;
        view = next;
    }
    Ok(view)
}

fn swish(cx: &mut Lowering<'_>, alpha: f32, input: &View, out: &View) -> Result<(), OpError> {
    let factor = fill::scalar(cx, alpha, input.elem);
    let scaled = cx.temporary("scaled", input.elem, &input.shape());
    elementwise(cx, "mul", &[input.clone(), factor], &scaled)?;
    let sigmoid = through(cx, &["sigmoid"], scaled)?;
    elementwise(cx, "mul", &[input.clone(), sigmoid], out)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function, by `2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (2n+1)!!` (Abramowitz and Stegun, 7.1.6),
/// whose terms all have one sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 || x.is_nan() {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let unary = match node.op_type() {
        "Gelu" => match node.string("approximate")?.unwrap_or("none") {
            "none" => Gelu,
            "tanh" => GeluTanh,
            other => {
                return Err(invalid(format!("approximate = {other:?} is neither \"none\" nor \"tanh\"")));
            }
        },
        "IsInf" => IsInf {
            negative: node.int_or("detect_negative", 1)? != 0,
            positive: node.int_or("detect_positive", 1)? != 0,
        },
        "Swish" => Swish { alpha: node.float_or("alpha", 1.0)? },
        "QuickGelu" => Swish { alpha: node.float_or("alpha", 1.702)? },
        other => {
            let row = TABLE.iter().find(|(_, name, _)| *name == other);
            row.ok_or_else(|| OpError::Unsupported(other.to_owned()))?.0
        }
    };
    if unary == (IsInf { negative: false, positive: false }) {
        return Err(OpError::Unsupported("IsInf that detects neither sign".into()));
    }
    Ok(Arc::new(unary))
}

const ALL: std::ops::RangeInclusive<i64> = 6..=27;

const NAMES: &[OnnxName] = &[
    standard("Abs", ALL),
    standard("Acos", ALL),
    standard("Acosh", ALL),
    standard("Asin", ALL),
    standard("Asinh", ALL),
    standard("Atan", ALL),
    standard("Atanh", ALL),
    standard("Ceil", ALL),
    standard("Cos", ALL),
    standard("Cosh", ALL),
    standard("Erf", ALL),
    standard("Exp", ALL),
    standard("Floor", ALL),
    standard("Gelu", ALL),
    standard("IsInf", ALL),
    standard("IsNaN", ALL),
    standard("Log", ALL),
    standard("Neg", ALL),
    standard("Not", 1..=27),
    standard("Reciprocal", ALL),
    standard("Relu", ALL),
    standard("Round", ALL),
    standard("Sigmoid", ALL),
    standard("Sign", ALL),
    standard("Sin", ALL),
    standard("Sinh", ALL),
    standard("Softplus", 1..=27),
    standard("Sqrt", ALL),
    standard("Swish", ALL),
    standard("Tan", ALL),
    standard("Tanh", ALL),
    microsoft("Gelu"),
    microsoft("QuickGelu"),
];

fn cases() -> Vec<Case> {
    let functions = TABLE.iter().map(|(f, ..)| *f).chain([1.0, 0.5, QUICK].map(|alpha| Swish { alpha }));
    let mut cases: Vec<Case> = functions.map(case).collect();
    let special = sample::of(DType::F32, &[5], &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.5]);
    for f in [IsNaN, IsInf { negative: true, positive: true }, IsInf { negative: true, positive: false }] {
        cases.push(Case::new(format!("{f:?} of special values"), f, vec![Some(special.clone())]));
    }
    let halves = sample::of(DType::F32, &[6], &[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
    cases.push(Case::new("Round of halves", Round, vec![Some(halves)]));
    let far = sample::of(DType::F32, &[4], &[-90.0, -30.0, 30.0, 90.0]);
    for f in [Sigmoid, Softplus, Tanh, Gelu, GeluTanh, Swish { alpha: 1.0 }, Swish { alpha: QUICK }] {
        cases.push(Case::new(format!("{f:?} far from 0"), f, vec![Some(far.clone())]));
    }
    let angles = sample::of(DType::F32, &[7], &[-100_000.25, -8192.5, -4.0, 3.25, 47.0, 5000.0, 131_071.0]);
    for f in [Sin, Cos] {
        cases.push(Case::new(format!("{f:?} after many turns"), f, vec![Some(angles.clone())]));
    }
    for f in [Neg, Abs, Sign] {
        let input = sample::integers_in(&[2, 7], 5, -9, 9);
        cases.push(Case::new(format!("{f:?} of int64"), f, vec![Some(input)]).tolerance(Tolerance::EXACT));
    }
    cases.push(Case::new("Neg of nothing", Neg, vec![Some(sample::floats(&[0, 3], 1))]));
    cases.push(Case::new("Exp of a scalar", Exp, vec![Some(sample::floats(&[], 1))]));
    cases
}

fn case(f: Unary) -> Case {
    let input = match f {
        Not => sample::booleans(&[3, 5], 3),
        Sqrt | Log | Reciprocal => sample::floats_in(&[3, 5], 3, 0.1, 4.0),
        Acos | Asin | Atanh => sample::floats_in(&[3, 5], 3, -0.9, 0.9),
        Acosh => sample::floats_in(&[3, 5], 3, 1.1, 4.0),
        Tan => sample::floats_in(&[3, 5], 3, -1.2, 1.2),
        _ => sample::floats(&[3, 5, 7], 3),
    };
    Case::new(format!("{f:?}"), f, vec![Some(input)])
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };

#[cfg(test)]
mod tests {
    use super::{Gelu, Round, Sign, Unary, erf};

    #[test]
    fn erf_matches_published_values() {
        // Abramowitz and Stegun, table 7.1
        for (x, want) in
            [(0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0), (-1.0, -0.842_700_792_9)]
        {
            assert!((erf(x) - want).abs() < 1e-10, "{x}");
        }
        assert_eq!((erf(7.0), erf(-7.0), erf(0.0)), (1.0, -1.0, 0.0));
        assert!((erf(5.9) - 1.0).abs() < 1e-15 && erf(f64::NAN).is_nan());
    }

    #[test]
    fn functions_at_known_points() {
        let points: [(Unary, f64, f64); 4] =
            [(Round, 2.5, 2.0), (Round, -1.5, -2.0), (Sign, -0.3, -1.0), (Gelu, 1.0, 0.841_344_746_068_543)];
        for (f, x, want) in points {
            assert!((f.of_float(x) - want).abs() < 1e-12, "{f:?}({x}) = {}", f.of_float(x));
        }
    }
}
