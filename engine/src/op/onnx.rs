//! A node as the ONNX file has it, with the attribute getters that operator files decode from.

use std::collections::BTreeMap;

use onnx_import::{Attribute, DataType, Node, TensorData};

use super::Body;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    host::HostTensor,
};

/// An ONNX node before it is an [`Op`](super::Op).
#[derive(Clone, Copy, Debug)]
pub struct OnnxNode<'a> {
    node: &'a Node,
    bodies: &'a BTreeMap<String, Body>,
}

impl<'a> OnnxNode<'a> {
    /// Wraps an imported node and its subgraphs, by attribute.
    #[must_use]
    pub fn new(node: &'a Node, bodies: &'a BTreeMap<String, Body>) -> Self {
        Self { node, bodies }
    }

    /// The ONNX operator name.
    #[must_use]
    pub fn op_type(&self) -> &'a str {
        &self.node.op_type
    }

    /// The opset version of the node's domain.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.node.version
    }

    /// How many outputs are listed, used or not.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether output `index` is used by name.
    #[must_use]
    pub fn has_output(&self, index: usize) -> bool {
        self.node.outputs.get(index).is_some_and(Option::is_some)
    }

    /// Whether input `index` is given.
    #[must_use]
    pub fn has_input(&self, index: usize) -> bool {
        self.node.inputs.get(index).is_some_and(Option::is_some)
    }

    /// How many inputs are listed, left out or not.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// The attribute, if the node has it.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.node.attributes.get(name)
    }

    /// An integer attribute.
    ///
    /// # Errors
    /// When it has another type.
    pub fn int(&self, name: &str) -> Result<Option<i64>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Int(v)) => Ok(Some(*v)),
            Some(_) => Err(wrong(name, "an integer")),
        }
    }

    /// An integer attribute with its default.
    ///
    /// # Errors
    /// When it has another type.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A float attribute.
    ///
    /// # Errors
    /// When it has another type.
    pub fn float(&self, name: &str) -> Result<Option<f32>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(v)) => Ok(Some(*v)),
            Some(_) => Err(wrong(name, "a float")),
        }
    }

    /// A float attribute with its default.
    ///
    /// # Errors
    /// When it has another type.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, OpError> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A list of integers.
    ///
    /// # Errors
    /// When it has another type.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "a list of integers")),
        }
    }

    /// A list of floats.
    ///
    /// # Errors
    /// When it has another type.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "a list of floats")),
        }
    }

    /// A list of byte strings.
    ///
    /// # Errors
    /// When it has another type.
    pub fn strings(&self, name: &str) -> Result<Option<&'a [Vec<u8>]>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Strings(v)) => Ok(Some(v)),
            Some(_) => Err(wrong(name, "a list of strings")),
        }
    }

    /// A string attribute, UTF-8.
    ///
    /// # Errors
    /// When it has another type or is not UTF-8.
    pub fn string(&self, name: &str) -> Result<Option<&'a str>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::String(v)) => {
                std::str::from_utf8(v).map(Some).map_err(|_| wrong(name, "UTF-8 text"))
            }
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A tensor attribute as host data; the bytes stay where they are.
    ///
    /// # Errors
    /// When the attribute has another type, or elements that nothing here computes with.
    pub fn tensor(&self, name: &str) -> Result<Option<HostTensor>, OpError> {
        let tensor = match self.attribute(name) {
            None => return Ok(None),
            Some(Attribute::Tensor(v)) => v,
            Some(_) => return Err(wrong(name, "a tensor")),
        };
        let TensorData::Bytes(bytes) = &tensor.data else {
            return Err(wrong(name, "a tensor of numbers in the model file itself"));
        };
        let sizes: Option<Vec<usize>> = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
        let shape = sizes.ok_or_else(|| wrong(name, "a tensor that fits in memory"))?;
        Ok(Some(HostTensor::new(numbered_type(tensor.dtype.to_onnx().into())?, shape, bytes.clone())?))
    }

    /// A subgraph.
    ///
    /// # Errors
    /// When the attribute has another type.
    pub fn body(&self, name: &str) -> Result<Option<Body>, OpError> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Graph(_)) => Ok(self.bodies.get(name).cloned()),
            Some(_) => Err(wrong(name, "a graph")),
        }
    }

    /// An element type attribute, such as `to` of Cast.
    ///
    /// # Errors
    /// When the attribute has another type, or names elements that nothing here computes with.
    pub fn dtype(&self, name: &str) -> Result<Option<DType>, OpError> {
        self.int(name)?.map(numbered_type).transpose()
    }
}

fn wrong(name: &str, wanted: &str) -> OpError {
    invalid(format!("attribute {name:?} must be {wanted}"))
}

/// The element type with an ONNX number (`TensorProto.DataType`).
fn numbered_type(number: i64) -> Result<DType, OpError> {
    let known = i32::try_from(number).ok().and_then(|n| DataType::from_onnx(n).ok());
    known.and_then(DType::of).ok_or_else(|| {
        let name = known.map_or_else(|| format!("{number} of ONNX"), |known| known.to_string());
        OpError::Unsupported(format!("element type {name}"))
    })
}
