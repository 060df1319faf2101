//! BatchNormalization, InstanceNormalization and GroupNormalization: normalised images `[batch, channels, ..]`, each
//! channel with a weight and a bias.

use std::sync::Arc;

use super::{
    binary::Binary, mean_variance_norm::standardised, one_hot::facing, reshape::Reshape, shape::Shape,
    unary::Unary,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Where mean and variance come from. Inputs 1 and 2 are weight and bias, `[channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Inputs 3 and 4, as in inference.
    Given,
    /// Each channel of each image.
    Channel,
    /// That many groups of neighbouring channels of each image.
    Groups {
        /// How many.
        count: i64,
        /// Whether weight and bias are `[count]`, as opset 18 has it.
        weight_by_group: bool,
    },
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelNorm {
    /// Where mean and variance come from.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f32,
}

impl ChannelNorm {
    /// `(x - mean) / sqrt(variance + epsilon)` with the statistics of inputs 3 and 4.
    fn by_given(self, parts: &mut Parts<'_, '_>, x: ValueId, behind: usize) -> Result<ValueId, OpError> {
        let (mean, variance) = (parts.input(3)?, parts.input(4)?);
        let mean = facing(parts, mean, behind)?;
        let epsilon = parts.number(self.epsilon.into(), parts.fact(variance)?.dtype)?;
        let sum = parts.add(Binary::Add, &[variance, epsilon])?;
        let deviation = parts.add(Unary::Sqrt, &[sum])?;
        let deviation = facing(parts, deviation, behind)?;
        let centred = parts.add(Binary::Sub, &[x, mean])?;
        parts.add(Binary::Div, &[centred, deviation])
    }
}

impl Composite for ChannelNorm {
    fn name(&self) -> &'static str {
        match self.statistics {
            Statistics::Given => "BatchNormalization",
            Statistics::Channel => "InstanceNormalization",
            Statistics::Groups { .. } => "GroupNormalization",
        }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, weight, bias) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
        let fact = parts.fact(x)?;
        let rank = fact.rank();
        // A batch of single numbers has one channel.
        let behind = match (rank, self.statistics) {
            (1, Statistics::Given) => 0,
            (0 | 1, _) => return Err(invalid(format!("{fact} has no channels"))),
            _ => rank - 2,
        };
        let shape = parts.add(Shape { start: 0, end: None, total: false }, &[x])?;
        let back = |parts: &mut Parts<'_, '_>, x| parts.add(Reshape { allow_zero: true }, &[x, shape]);
        let weighted = |parts: &mut Parts<'_, '_>, x: ValueId, behind: usize| {
            let (weight, bias) = (facing(parts, weight, behind)?, facing(parts, bias, behind)?);
            let product = parts.add(Binary::Mul, &[x, weight])?;
            parts.add(Binary::Add, &[product, bias])
        };
        let out = match self.statistics {
            Statistics::Given => {
                let normal = self.by_given(parts, x, behind)?;
                weighted(parts, normal, behind)?
            }
            Statistics::Channel => {
                let axes: Vec<i64> = (2..rank as i64).collect();
                let normal = standardised(parts, x, &axes, self.epsilon)?.x;
                weighted(parts, normal, behind)?
            }
            Statistics::Groups { count, weight_by_group } => {
                let groups = parts.integers(&[0, count, -1])?;
                let grouped = parts.add(Reshape { allow_zero: false }, &[x, groups])?;
                let normal = standardised(parts, grouped, &[2], self.epsilon)?.x;
                if weight_by_group {
                    let all = weighted(parts, normal, 1)?;
                    back(parts, all)?
                } else {
                    let normal = back(parts, normal)?;
                    weighted(parts, normal, behind)?
                }
            }
        };
        Ok(vec![out])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let statistics = match node.op_type() {
        "InstanceNormalization" => Statistics::Channel,
        "GroupNormalization" => {
            let count =
                node.int("num_groups")?.ok_or_else(|| invalid("attribute \"num_groups\" is missing"))?;
            Statistics::Groups { count, weight_by_group: node.version() < 21 }
        }
        _ => {
            let training = match node.version() {
                ..7 => node.int_or("is_test", 0)? == 0,
                7..14 => node.has_output(1),
                _ => node.int_or("training_mode", 0)? != 0,
            };
            if training {
                return Err(OpError::Unsupported("BatchNormalization in training".into()));
            }
            if node.int_or("spatial", 1)? == 0 {
                return Err(OpError::Unsupported("BatchNormalization with statistics of each place".into()));
            }
            Statistics::Given
        }
    };
    Ok(composite(ChannelNorm { statistics, epsilon: node.float_or("epsilon", 1e-5)? }))
}

fn cases() -> Vec<Case> {
    let case = |statistics, shape: &[usize], width: usize| {
        let op = ChannelNorm { statistics, epsilon: 1e-3 };
        let mut inputs = vec![Some(sample::floats(shape, 1))];
        inputs.extend([2, 3].map(|seed| Some(sample::floats(&[width], seed))));
        if statistics == Statistics::Given {
            inputs.push(Some(sample::floats(&[width], 4)));
            inputs.push(Some(sample::floats_in(&[width], 5, 0.5, 2.0)));
        }
        Case::composite(format!("{statistics:?} of {shape:?}"), op, inputs).constants(&[1, 2, 3, 4])
    };
    let groups = |weight_by_group| Statistics::Groups { count: 2, weight_by_group };
    vec![
        case(Statistics::Given, &[2, 3, 4, 5], 3),
        case(Statistics::Given, &[4, 3], 3),
        case(Statistics::Given, &[4], 1),
        case(Statistics::Channel, &[2, 3, 4, 5], 3),
        case(Statistics::Channel, &[2, 3, 7], 3),
        case(groups(false), &[2, 4, 3, 2], 4),
        case(groups(true), &[2, 4, 3, 2], 2),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[
        standard("BatchNormalization", 1..=27),
        standard("GroupNormalization", 18..=27),
        standard("InstanceNormalization", 1..=27),
    ],
    decode,
    cases,
};
