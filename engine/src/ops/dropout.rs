//! Dropout as it is in inference: nothing is dropped. Training is refused.

use std::sync::Arc;

use super::{constant_of_shape::ConstantOfShape, identity::Identity, shape::Shape};
use crate::{
    dtype::DType,
    error::OpError,
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: x, the part that is dropped in training (1/2 when left out), whether this is training. Outputs: x, and true for
/// every element that is not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout;

impl Composite for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let number = |index| {
            let given = parts.optional(index).map(|id| parts.host(id).ok_or(OpError::NotConstant { index }));
            Ok::<_, OpError>(given.transpose()?.and_then(|t| t.to_f64s().first().copied()))
        };
        if number(2)?.is_some_and(|training| training != 0.0) && number(1)?.is_none_or(|part| part != 0.0) {
            return Err(OpError::Unsupported("Dropout in training".into()));
        }
        let shape = parts.add(Shape { start: 0, end: None, total: false }, &[x])?;
        let value = HostTensor::from_f64s(DType::Bool, vec![1], &[1.0])?;
        let mask = parts.add(ConstantOfShape { value }, &[shape])?;
        Ok(vec![parts.add(Identity, &[x])?, mask])
    }
}

/// Before opset 7 an attribute says whether this is training.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.version() < 7 && node.int_or("is_test", 0)? == 0 {
        return Err(OpError::Unsupported("Dropout in training".into()));
    }
    Ok(composite(Dropout))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, part: Option<f64>, training: Option<f64>| {
        let inputs = vec![
            Some(sample::floats(&[3, 5], 1)),
            part.map(|v| sample::scalar(DType::F32, v)),
            training.map(|v| sample::scalar(DType::Bool, v)),
        ];
        Case::composite(name, Dropout, inputs).constants(&[1, 2]).tolerance(Tolerance::EXACT)
    };
    vec![
        case("inference", None, None),
        case("inference, said so", Some(0.3), Some(0.0)),
        case("nothing to drop", Some(0.0), Some(1.0)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Dropout", 1..=27)], decode, cases };
