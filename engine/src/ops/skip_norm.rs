//! SkipLayerNormalization and SkipSimplifiedLayerNormalization of ONNX Runtime: a residual sum, and its normalisation.

use std::sync::Arc;

use super::{binary::Binary, layer_norm::LayerNorm, rms_norm::RmsNorm};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: x, skip (which broadcasts to x), weight, then, unless `simple`, the bias of the normalisation, and last a bias
/// of the sum. Outputs: the normalised sum; two that only training uses, NaN here so that no reader goes unnoticed; the
/// sum.
#[derive(Clone, Debug, PartialEq)]
pub struct SkipNorm {
    /// Whether the sum is divided by its root mean square; otherwise by its deviation, the mean taken off.
    pub simple: bool,
    /// Added to the mean of squares.
    pub epsilon: f32,
}

impl Composite for SkipNorm {
    fn name(&self) -> &'static str {
        if self.simple { "SkipSimplifiedLayerNormalization" } else { "SkipLayerNormalization" }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, skip, weight) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
        let (beta, bias) =
            if self.simple { (None, parts.optional(3)) } else { (parts.optional(3), parts.optional(4)) };
        let mut sum = parts.add(Binary::Add, &[x, skip])?;
        if let Some(bias) = bias {
            sum = parts.add(Binary::Add, &[sum, bias])?;
        }
        let out = if self.simple {
            parts.add(RmsNorm { axis: -1, epsilon: self.epsilon }, &[sum, weight])?
        } else {
            let inputs = [Some(sum), Some(weight), beta];
            parts.add_all(LayerNorm { axis: -1, epsilon: self.epsilon }, &inputs, 1)?[0]
        };
        let unread = parts.number(f64::NAN, DType::F32)?;
        Ok(vec![out, unread, unread, sum])
    }
}

const SIMPLE: &str = "SkipSimplifiedLayerNormalization";

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(SkipNorm { simple: node.op_type() == SIMPLE, epsilon: node.float_or("epsilon", 1e-12)? }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, simple, skip: &[usize], biases: usize| {
        let mut inputs = vec![sample::floats(&[2, 3, 16], 1), sample::floats(skip, 2)];
        inputs.push(sample::floats_in(&[16], 3, 0.5, 1.5));
        inputs.extend((0..biases).map(|n| sample::floats(&[16], 4 + n as u64)));
        Case::composite(name, SkipNorm { simple, epsilon: 1e-5 }, inputs.into_iter().map(Some).collect())
            .constants(&[2, 3, 4])
    };
    vec![
        case("RMS", true, &[2, 3, 16], 0),
        case("RMS, bias of the sum", true, &[2, 3, 16], 1),
        case("layer", false, &[2, 3, 16], 0),
        case("layer, bias, skip of one batch", false, &[1, 3, 16], 1),
        case("layer, both biases, skip of no batch", false, &[3, 16], 2),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[microsoft(SIMPLE), microsoft("SkipLayerNormalization")], decode, cases };
