//! The functions that cells apply, by the names that nodes give.

use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{OnnxNode, Parts, composite},
    ops::{activation::Activation, binary::Binary, unary::Unary},
};

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// One without numbers.
    Plain(Unary),
    /// One that is an operator too.
    Other(Activation),
    /// `alpha * x + beta`.
    Affine { alpha: f32, beta: f32 },
    /// `alpha * tanh(beta * x)`.
    ScaledTanh { alpha: f32, beta: f32 },
}

impl Function {
    /// Adds the parts that compute it.
    pub fn apply(self, parts: &mut Parts<'_, '_>, x: ValueId) -> Result<ValueId, OpError> {
        let dtype = parts.fact(x)?.dtype;
        match self {
            Self::Plain(op) => parts.add(op, &[x]),
            Self::Other(op) => Ok(parts.add_op("activation", composite(op), &[Some(x)], 1)?[0]),
            Self::Affine { alpha, beta } => {
                let (alpha, beta) = (parts.number(alpha.into(), dtype)?, parts.number(beta.into(), dtype)?);
                let scaled = parts.add(Binary::Mul, &[x, alpha])?;
                parts.add(Binary::Add, &[scaled, beta])
            }
            Self::ScaledTanh { alpha, beta } => {
                let (alpha, beta) = (parts.number(alpha.into(), dtype)?, parts.number(beta.into(), dtype)?);
                let scaled = parts.add(Binary::Mul, &[x, beta])?;
                let bounded = parts.add(Unary::Tanh, &[scaled])?;
                parts.add(Binary::Mul, &[bounded, alpha])
            }
        }
    }
}

/// The functions of each direction: the node's, or `plain`. Numbers are taken from their lists in the order of the functions
/// that have some.
pub fn functions(
    node: &OnnxNode<'_>,
    plain: &[Unary],
    directions: usize,
) -> Result<Vec<Vec<Function>>, OpError> {
    let floats = |name: &str| Ok::<_, OpError>(node.floats(name)?.unwrap_or(&[]).iter().copied());
    let (mut alphas, mut betas) = (floats("activation_alpha")?, floats("activation_beta")?);
    let Some(names) = node.strings("activations")? else {
        return Ok(vec![plain.iter().copied().map(Function::Plain).collect(); directions]);
    };
    if names.len() != plain.len() * directions {
        return Err(invalid(format!("{} activations for {directions} directions", names.len())));
    }
    let mut function = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        Ok(match name.as_str() {
            "relu" => Function::Plain(Unary::Relu),
            "tanh" => Function::Plain(Unary::Tanh),
            "sigmoid" => Function::Plain(Unary::Sigmoid),
            "affine" => Function::Affine { alpha: alpha(1.0), beta: beta(0.0) },
            "scaledtanh" => Function::ScaledTanh { alpha: alpha(1.0), beta: beta(1.0) },
            "leakyrelu" => Function::Other(Activation::LeakyRelu { alpha: alpha(0.01) }),
            "thresholdedrelu" => Function::Other(Activation::ThresholdedRelu { alpha: alpha(1.0) }),
            "hardsigmoid" => Function::Other(Activation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) }),
            "elu" => Function::Other(Activation::Exponential { alpha: alpha(1.0), rate: 1.0, gain: 1.0 }),
            "softsign" => Function::Other(Activation::Softsign),
            "softplus" => Function::Plain(Unary::Softplus),
            _ => return Err(OpError::Unsupported(format!("activation {name:?}"))),
        })
    };
    let all = names.iter().map(|name| function(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(all.chunks(plain.len().max(1)).map(<[_]>::to_vec).collect())
}
