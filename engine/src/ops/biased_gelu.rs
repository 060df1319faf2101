//! BiasGelu and FastGelu of ONNX Runtime: Gelu, exact or by its tanh approximation, of a sum with a bias.

use std::sync::Arc;

use super::{binary::Binary, unary::Unary};
use crate::{
    error::OpError,
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: x, and a bias that broadcasts to it.
#[derive(Clone, Debug, PartialEq)]
pub struct BiasedGelu {
    /// The function of the sum.
    pub gelu: Unary,
}

impl Composite for BiasedGelu {
    fn name(&self) -> &'static str {
        "BiasGelu"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let inputs = [parts.input(0)?, parts.input(1)?];
        let sum = parts.add(Binary::Add, &inputs)?;
        Ok(vec![parts.add(self.gelu, &[sum])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let gelu = if node.op_type() == "FastGelu" { Unary::GeluTanh } else { Unary::Gelu };
    if node.op_type() == "FastGelu" && !node.has_input(1) {
        return Ok(Arc::new(gelu));
    }
    Ok(composite(BiasedGelu { gelu }))
}

fn cases() -> Vec<Case> {
    let case = |gelu: Unary| {
        let inputs = [sample::floats(&[2, 3, 8], 1), sample::floats(&[8], 2)].map(Some);
        Case::composite(format!("{gelu:?}"), BiasedGelu { gelu }, inputs.to_vec())
    };
    vec![case(Unary::Gelu), case(Unary::GeluTanh)]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[microsoft("BiasGelu"), microsoft("FastGelu")], decode, cases };
