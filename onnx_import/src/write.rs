//! Writes a model node by node, for those who make graphs instead of exporting them.

use bytes::Bytes;
use prost::Message;

use crate::DataType;
use crate::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
use crate::strip::absent;

const IR_VERSION: i64 = 11;

/// A size of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size<'a> {
    /// A number.
    Fixed(usize),
    /// A name, or an expression of names such as `past + sequence`.
    Named(&'a str),
}

/// An attribute of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting<'a> {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Text.
    Text(&'static str),
    /// Integers.
    Ints(&'a [i64]),
}

/// The graph of a model that is being written. Nothing is checked, neither names nor the lengths of data:
/// [`import`](crate::import) does.
#[derive(Clone, Debug, Default)]
pub struct GraphWriter {
    graph: GraphProto,
}

impl GraphWriter {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: Some(name.to_owned()), ..GraphProto::default() } }
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, dtype: DataType, sizes: &[Size<'_>]) {
        self.graph.input.push(port(name, dtype, sizes));
    }

    /// Adds an output.
    pub fn output(&mut self, name: &str, dtype: DataType, sizes: &[Size<'_>]) {
        self.graph.output.push(port(name, dtype, sizes));
    }

    /// Adds a constant of f32.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        let raw_data = Some(values.iter().flat_map(|v| v.to_le_bytes()).collect());
        self.graph.initializer.push(TensorProto { raw_data, ..tensor(name, DataType::F32, dims) });
    }

    /// Adds a constant of i64.
    pub fn integers(&mut self, name: &str, dims: &[usize], values: &[i64]) {
        let raw_data = Some(values.iter().flat_map(|v| v.to_le_bytes()).collect());
        self.graph.initializer.push(TensorProto { raw_data, ..tensor(name, DataType::I64, dims) });
    }

    /// Adds a constant whose data is elsewhere, to be read with [`LeaveAbsent`](crate::LeaveAbsent).
    pub fn absent(&mut self, name: &str, dtype: DataType, dims: &[usize]) {
        self.graph.initializer.push(absent(&tensor(name, dtype, dims)));
    }

    /// Adds a node of one of ONNX's own operators, behind those whose outputs it reads.
    pub fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Setting<'_>)],
    ) {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: all(inputs),
            output: all(outputs),
            name: outputs.first().map(|name| (*name).to_owned()),
            op_type: Some(op_type.to_owned()),
            attribute: attributes.iter().map(|(name, setting)| attribute(name, *setting)).collect(),
            ..NodeProto::default()
        });
    }

    /// The bytes of the model, whose nodes are of this operator set.
    #[must_use]
    pub fn finish(self, producer: &str, opset: i64) -> Vec<u8> {
        let opset = OperatorSetIdProto { domain: None, version: Some(opset) };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some(producer.to_owned()),
            graph: Some(Box::new(self.graph)),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

fn tensor(name: &str, dtype: DataType, dims: &[usize]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: Some(dtype.to_onnx()),
        name: Some(name.to_owned()),
        ..TensorProto::default()
    }
}

fn port(name: &str, dtype: DataType, sizes: &[Size<'_>]) -> ValueInfoProto {
    let dim = |size: &Size<'_>| DimensionProto {
        value: Some(match size {
            Size::Fixed(size) => DimensionValue::Value(*size as i64),
            Size::Named(name) => DimensionValue::Param((*name).to_owned()),
        }),
    };
    let shape = TensorShapeProto { dim: sizes.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(dtype.to_onnx()), shape: Some(shape) };
    let r#type = Some(Box::new(TypeProto { value: Some(TypeValue::Tensor(tensor)) }));
    ValueInfoProto { name: Some(name.to_owned()), r#type }
}

/// The types are numbers of `AttributeProto.AttributeType`.
fn attribute(name: &str, setting: Setting<'_>) -> AttributeProto {
    let empty = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    match setting {
        Setting::Float(f) => AttributeProto { f: Some(f), r#type: Some(1), ..empty },
        Setting::Int(i) => AttributeProto { i: Some(i), r#type: Some(2), ..empty },
        Setting::Text(s) => {
            AttributeProto { s: Some(Bytes::from_static(s.as_bytes())), r#type: Some(3), ..empty }
        }
        Setting::Ints(ints) => AttributeProto { ints: ints.to_vec(), r#type: Some(7), ..empty },
    }
}
