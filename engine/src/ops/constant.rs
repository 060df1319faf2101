//! Constant: data in an attribute, which inference turns into a constant of the graph.

use std::sync::Arc;

use onnx_import::Attribute;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, OnnxNode, Op, Operator, fact_of, sample, standard},
};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The data.
    pub data: HostTensor,
}

impl Op for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn infer(&self, _: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![fact_of(&self.data)])
    }

    fn reference(&self, _: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        Ok(vec![self.data.clone()])
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Err(OpError::Unsupported("a Constant that inference left in the graph".into()))
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let data = match node.attribute("value") {
        Some(_) => node.tensor("value")?,
        None => listed(node)?,
    };
    let data = data.ok_or_else(|| OpError::Unsupported("a Constant of strings, or a sparse one".into()))?;
    Ok(Arc::new(Constant { data }))
}

fn listed(node: &OnnxNode<'_>) -> Result<Option<HostTensor>, OpError> {
    if let Some(value) = node.int("value_int")? {
        return Ok(Some(HostTensor::from_i64(vec![], &[value])?));
    }
    if let Some(value) = node.float("value_float")? {
        return Ok(Some(HostTensor::from_f32(vec![], &[value])?));
    }
    if let Some(values) = node.ints("value_ints")? {
        return Ok(Some(HostTensor::from_i64(vec![values.len()], values)?));
    }
    match node.attribute("value_floats") {
        Some(Attribute::Floats(values)) => Ok(Some(HostTensor::from_f32(vec![values.len()], values)?)),
        Some(_) => Err(invalid("attribute \"value_floats\" must be a list of floats")),
        None => Ok(None),
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str, data| Case::new(name, Constant { data }, vec![]);
    vec![case("f32", sample::floats(&[2, 3], 1)), case("int64", sample::list(&[3, -1]))]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Constant", 1..=27)], decode, cases };
