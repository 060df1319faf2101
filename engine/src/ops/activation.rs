//! Activations made of arithmetic: Elu, Selu, Celu, LeakyRelu, PRelu, ThresholdedRelu, Shrink, HardSigmoid, HardSwish,
//! Softsign, Mish.

use std::sync::Arc;

use super::{binary::Binary, select::Where, squeeze::Squeeze, unary::Unary};
use crate::{
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxName, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Which function of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `gain * x`, below 0 `gain * alpha * (exp(x / rate) - 1)`: Elu, Selu and Celu.
    Exponential {
        /// Least value.
        alpha: f32,
        /// How fast it is reached.
        rate: f32,
        /// Factor of all.
        gain: f32,
    },
    /// `min(max(alpha * x + beta, 0), 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x * HardSigmoid(x)` with slope 1/6 and 1/2 at 0.
    HardSwish,
    /// `x`, below 0 `alpha * x`.
    LeakyRelu {
        /// Slope below 0.
        alpha: f32,
    },
    /// `x * tanh(Softplus(x))`.
    Mish,
    /// LeakyRelu whose slope is input 1; a list of slopes may be one for each channel, as opsets before 7 have it.
    PRelu {
        /// Whether it is.
        by_channel: bool,
    },
    /// 0 in `-limit..=limit`, nearer to 0 by `bias` elsewhere.
    Shrink {
        /// The limit.
        limit: f32,
        /// By how much.
        bias: f32,
    },
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x` above alpha, else 0.
    ThresholdedRelu {
        /// The limit.
        alpha: f32,
    },
}

/// Adds parts with numbers of the type of x.
struct Calculation<'a, 'b, 'c> {
    parts: &'a mut Parts<'b, 'c>,
    x: ValueId,
}

impl Calculation<'_, '_, '_> {
    fn number(&mut self, value: impl Into<f64>) -> Result<ValueId, OpError> {
        let dtype = self.parts.fact(self.x)?.dtype;
        self.parts.number(value.into(), dtype)
    }

    fn unary(&mut self, function: Unary, a: ValueId) -> Result<ValueId, OpError> {
        self.parts.add(function, &[a])
    }

    fn binary(&mut self, function: Binary, a: ValueId, b: ValueId) -> Result<ValueId, OpError> {
        self.parts.add(function, &[a, b])
    }

    fn with(&mut self, function: Binary, a: ValueId, number: impl Into<f64>) -> Result<ValueId, OpError> {
        let number = self.number(number)?;
        self.binary(function, a, number)
    }

    fn where_(&mut self, condition: ValueId, yes: ValueId, no: ValueId) -> Result<ValueId, OpError> {
        self.parts.add(Where, &[condition, yes, no])
    }

    /// `below` where x is less than 0, x elsewhere.
    fn below_zero(&mut self, below: ValueId) -> Result<ValueId, OpError> {
        let negative = self.with(Binary::Less, self.x, 0.0)?;
        self.where_(negative, below, self.x)
    }

    fn hard_sigmoid(&mut self, alpha: f64, beta: f64) -> Result<ValueId, OpError> {
        let scaled = self.with(Binary::Mul, self.x, alpha)?;
        let line = self.with(Binary::Add, scaled, beta)?;
        let low = self.with(Binary::Max, line, 0.0)?;
        self.with(Binary::Min, low, 1.0)
    }

    fn shrink(&mut self, limit: f32, bias: f32) -> Result<ValueId, OpError> {
        let (low, high) =
            (self.with(Binary::Less, self.x, -limit)?, self.with(Binary::Greater, self.x, limit)?);
        let (up, down) = (self.with(Binary::Add, self.x, bias)?, self.with(Binary::Sub, self.x, bias)?);
        let zero = self.number(0.0)?;
        let above = self.where_(high, down, zero)?;
        self.where_(low, up, above)
    }

    /// The slopes, of one for each channel where `by_channel`.
    fn slope(&mut self, by_channel: bool) -> Result<ValueId, OpError> {
        let slope = self.parts.input(1)?;
        let behind = self.parts.fact(self.x)?.rank() as i64 - 2;
        if !by_channel || behind < 1 || self.parts.fact(slope)?.rank() != 1 {
            return Ok(slope);
        }
        let axes = self.parts.integers(&(1..=behind).collect::<Vec<_>>())?;
        self.parts.add(Squeeze { insert: true, axes: None }, &[slope, axes])
    }
}

impl Composite for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Exponential { .. } => "Elu",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Mish => "Mish",
            Self::PRelu { .. } => "PRelu",
            Self::Shrink { .. } => "Shrink",
            Self::Softsign => "Softsign",
            Self::ThresholdedRelu { .. } => "ThresholdedRelu",
        }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let mut of = Calculation { parts, x };
        let out = match *self {
            Self::Exponential { alpha, rate, gain } => {
                let slow = if rate == 1.0 { x } else { of.with(Binary::Div, x, rate)? };
                let power = of.unary(Unary::Exp, slow)?;
                let less = of.with(Binary::Sub, power, 1.0)?;
                let below = of.with(Binary::Mul, less, alpha)?;
                let all = of.below_zero(below)?;
                if gain == 1.0 { all } else { of.with(Binary::Mul, all, gain)? }
            }
            Self::HardSigmoid { alpha, beta } => of.hard_sigmoid(alpha.into(), beta.into())?,
            Self::HardSwish => {
                let gate = of.hard_sigmoid(1.0 / 6.0, 0.5)?;
                of.binary(Binary::Mul, x, gate)?
            }
            Self::LeakyRelu { alpha } => {
                let below = of.with(Binary::Mul, x, alpha)?;
                of.below_zero(below)?
            }
            Self::Mish => {
                let softplus = of.unary(Unary::Softplus, x)?;
                let gate = of.unary(Unary::Tanh, softplus)?;
                of.binary(Binary::Mul, x, gate)?
            }
            Self::PRelu { by_channel } => {
                let slope = of.slope(by_channel)?;
                let below = of.binary(Binary::Mul, x, slope)?;
                of.below_zero(below)?
            }
            Self::Shrink { limit, bias } => of.shrink(limit, bias)?,
            Self::Softsign => {
                let size = of.unary(Unary::Abs, x)?;
                let divisor = of.with(Binary::Add, size, 1.0)?;
                of.binary(Binary::Div, x, divisor)?
            }
            Self::ThresholdedRelu { alpha } => {
                let above = of.with(Binary::Greater, x, alpha)?;
                let zero = of.number(0.0)?;
                of.where_(above, x, zero)?
            }
        };
        Ok(vec![out])
    }
}

/// The constants of Selu (Klambauer et al., "Self-normalizing neural networks", 2017), as ONNX writes them.
const SELU: [f32; 2] = [1.673_263_2, 1.050_701];

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(match node.op_type() {
        "Celu" => {
            let alpha = node.float_or("alpha", 1.0)?;
            Activation::Exponential { alpha, rate: alpha, gain: 1.0 }
        }
        "Elu" => Activation::Exponential { alpha: node.float_or("alpha", 1.0)?, rate: 1.0, gain: 1.0 },
        "Selu" => Activation::Exponential {
            alpha: node.float_or("alpha", SELU[0])?,
            rate: 1.0,
            gain: node.float_or("gamma", SELU[1])?,
        },
        "HardSigmoid" => {
            Activation::HardSigmoid { alpha: node.float_or("alpha", 0.2)?, beta: node.float_or("beta", 0.5)? }
        }
        "HardSwish" => Activation::HardSwish,
        "LeakyRelu" => Activation::LeakyRelu { alpha: node.float_or("alpha", 0.01)? },
        "Mish" => Activation::Mish,
        "PRelu" => Activation::PRelu { by_channel: node.version() < 7 },
        "Shrink" => {
            Activation::Shrink { limit: node.float_or("lambd", 0.5)?, bias: node.float_or("bias", 0.0)? }
        }
        "Softsign" => Activation::Softsign,
        "ThresholdedRelu" => Activation::ThresholdedRelu { alpha: node.float_or("alpha", 1.0)? },
        other => return Err(OpError::Unsupported(other.to_owned())),
    }))
}

const ALL: std::ops::RangeInclusive<i64> = 1..=27;

const NAMES: &[OnnxName] = &[
    standard("Celu", ALL),
    standard("Elu", ALL),
    standard("HardSigmoid", ALL),
    standard("HardSwish", ALL),
    standard("LeakyRelu", ALL),
    standard("Mish", ALL),
    standard("PRelu", ALL),
    standard("Selu", ALL),
    standard("Shrink", ALL),
    standard("Softsign", ALL),
    standard("ThresholdedRelu", ALL),
];

fn cases() -> Vec<Case> {
    let functions = [
        Activation::Exponential { alpha: 1.5, rate: 1.0, gain: 1.0 },
        Activation::Exponential { alpha: 2.0, rate: 2.0, gain: 1.0 },
        Activation::Exponential { alpha: SELU[0], rate: 1.0, gain: SELU[1] },
        Activation::HardSigmoid { alpha: 0.5, beta: 0.6 },
        Activation::HardSwish,
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::Mish,
        Activation::Shrink { limit: 1.0, bias: 0.5 },
        Activation::Softsign,
        Activation::ThresholdedRelu { alpha: 0.7 },
    ];
    let mut cases = Vec::new();
    let far = sample::of(crate::dtype::DType::F32, &[5], &[-90.0, -7.0, 0.0, 7.0, 90.0]);
    for f in functions {
        let x = sample::floats(&[3, 5, 7], 3);
        cases.push(Case::composite(format!("{f:?}"), f, vec![Some(x)]));
        cases.push(Case::composite(format!("{f:?} far from 0"), f, vec![Some(far.clone())]));
    }
    for (by_channel, slope) in [(false, &[4][..]), (false, &[3, 1]), (true, &[3])] {
        let name = format!("PRelu by {slope:?}, by channel: {by_channel}");
        let inputs = [sample::floats(&[2, 3, 4], 1), sample::floats(slope, 2)].map(Some);
        cases.push(Case::composite(name, Activation::PRelu { by_channel }, inputs.to_vec()));
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };
