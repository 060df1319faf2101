//! Short ways to say ONNX messages with the `onnx-protobuf` crate.

use bytes::Bytes;
use onnx_import::{Graph, ImportError, LeaveAbsent, Model, ValueId, import};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::{
    AttributeProto, FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

pub const F32: i32 = 1;
pub const I64: i32 = 7;

/// A size in a declared shape.
#[derive(Clone, Copy, Debug)]
pub enum Dim<'a> {
    Size(i64),
    Named(&'a str),
    Open,
}

pub fn tensor_type(dtype: i32, dims: &[Dim<'_>]) -> TypeProto {
    let dim = |dim: &Dim<'_>| {
        let mut proto = Dimension::new();
        match dim {
            Dim::Size(size) => proto.set_dim_value(*size),
            Dim::Named(name) => proto.set_dim_param((*name).to_owned()),
            Dim::Open => {}
        }
        proto
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect(), ..Default::default() };
    let mut proto = TypeProto::new();
    proto.set_tensor_type(type_proto::Tensor {
        elem_type: dtype,
        shape: Some(shape).into(),
        ..Default::default()
    });
    proto
}

pub fn info(name: &str, dtype: i32, dims: &[Dim<'_>]) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        type_: Some(tensor_type(dtype, dims)).into(),
        ..Default::default()
    }
}

pub fn untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.to_owned(), ..Default::default() }
}

pub fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A node named after its first output.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        name: format!("make_{}", outputs.first().copied().unwrap_or_default()),
        op_type: op.to_owned(),
        input: strings(inputs),
        output: strings(outputs),
        ..Default::default()
    }
}

pub fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), type_: kind.into(), ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::INT) }
}

pub fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph).into(), ..attribute(name, AttributeType::GRAPH) }
}

/// An attribute that refers to one of the function around it.
pub fn reference(name: &str, of: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { ref_attr_name: of.to_owned(), ..attribute(name, kind) }
}

pub fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: F32,
        dims: dims.to_vec(),
        float_data: data.to_vec(),
        ..Default::default()
    }
}

pub fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        ..Default::default()
    };
    pairs.iter().map(entry).collect()
}

/// Inputs `x`, outputs as given, all of them untyped.
pub fn graph(nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    GraphProto {
        name: "g".to_owned(),
        node: nodes,
        input: vec![untyped("x")],
        output: outputs.iter().map(|name| untyped(name)).collect(),
        ..Default::default()
    }
}

/// A subgraph without inputs.
pub fn branch(nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    GraphProto { input: vec![], name: "branch".to_owned(), ..graph(nodes, outputs) }
}

pub fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: domain.to_owned(), version, ..Default::default() }
}

pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        producer_name: "test".to_owned(),
        opset_import: vec![opset("", 18), opset("local", 1), opset("com.microsoft", 1)],
        graph: Some(graph).into(),
        ..Default::default()
    }
}

/// A function `local::name`.
pub fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        domain: "local".to_owned(),
        name: name.to_owned(),
        input: strings(inputs),
        output: strings(outputs),
        node: nodes,
        opset_import: vec![opset("", 17), opset("local", 1)],
        ..Default::default()
    }
}

pub fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto { domain: "local".to_owned(), ..node(name, inputs, outputs) }
}

pub fn encode(message: &impl Message) -> Bytes {
    Bytes::from(message.write_to_bytes().unwrap())
}

pub fn imported(model: &ModelProto) -> Result<Model, ImportError> {
    import(encode(model), &mut LeaveAbsent)
}

/// The name of a value; empty for one left out.
pub fn name_of(graph: &Graph, id: Option<ValueId>) -> String {
    id.map_or(String::new(), |id| graph[id].name.clone())
}

/// Each node as `op(inputs) -> outputs`.
pub fn lines(graph: &Graph) -> Vec<String> {
    let names =
        |ids: &[Option<ValueId>]| ids.iter().map(|id| name_of(graph, *id)).collect::<Vec<_>>().join(", ");
    let line = |node: &onnx_import::Node| {
        format!("{}({}) -> {}", node.op_type, names(&node.inputs), names(&node.outputs))
    };
    graph.nodes.iter().map(line).collect()
}
