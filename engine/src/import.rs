//! From the ONNX model to the graph: every node becomes an operator of ours, or the model is refused with the
//! full list of what is missing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use onnx_import::{DataType, Model, TensorData};

use crate::{
    dtype::DType,
    error::{EngineError, OpError},
    graph::{Constant, Fact, Graph, Node, Value, ValueId},
    host::HostTensor,
    op::{OnnxNode, Op, Operator},
    ops::OPERATORS,
};

/// Makes the graph of a model. Types of inner values are left to [`infer`](crate::infer::infer).
///
/// # Errors
/// [`EngineError::UnsupportedOperators`] lists every operator that is missing, with the number of nodes;
/// other errors name the node.
pub fn import(model: &Model) -> Result<Graph, EngineError> {
    let missing = unsupported(model);
    if !missing.is_empty() {
        return Err(EngineError::UnsupportedOperators(missing));
    }
    let mut graph = Graph::default();
    for value in &model.graph.values {
        graph.values.push(import_value(value)?);
    }
    let id = |v: &onnx_import::ValueId| ValueId(v.0);
    graph.inputs = model.graph.inputs.iter().map(id).collect();
    graph.outputs = model.graph.outputs.iter().map(id).collect();
    for node in &model.graph.nodes {
        let op =
            decode(node).map_err(|source| EngineError::at("import", &node.name, &node.op_type, source))?;
        let inputs = node.inputs.iter().map(|v| v.as_ref().map(id)).collect();
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for (index, output) in node.outputs.iter().enumerate() {
            outputs.push(match output {
                Some(v) => id(v),
                None => graph.add_value(&format!("{}.unused{index}", node.name), None),
            });
        }
        graph.nodes.push(Node { name: node.name.clone(), op, inputs, outputs });
    }
    for input in graph.inputs.clone() {
        if graph.fact(input).is_none() {
            let name = &graph.value(input).name;
            return Err(EngineError::model("import", format!("input {name:?} has no tensor type and shape")));
        }
    }
    Ok(graph)
}

/// The operators of a model that the engine does not have, one line each: name, opset, number of nodes, an example.
#[must_use]
pub fn unsupported(model: &Model) -> Vec<String> {
    let mut missing: BTreeMap<(&str, &str, i64), (usize, &str)> = BTreeMap::new();
    for node in &model.graph.nodes {
        if find(&node.domain, &node.op_type, node.version).is_none() {
            let entry = missing.entry((&node.domain, &node.op_type, node.version)).or_insert((0, &node.name));
            entry.0 += 1;
        }
    }
    let lines = missing.into_iter().map(|((domain, op, version), (count, example))| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        format!("  {domain}::{op} (opset {version}): {count} nodes, such as {example:?}")
    });
    lines.collect()
}

fn find(domain: &str, op_type: &str, version: i64) -> Option<&'static Operator> {
    static TABLE: LazyLock<HashMap<(&str, &str), Vec<&'static Operator>>> = LazyLock::new(|| {
        let mut table: HashMap<_, Vec<&'static Operator>> = HashMap::new();
        for operator in OPERATORS {
            for name in operator.onnx {
                table.entry((name.domain, name.op_type)).or_default().push(operator);
            }
        }
        table
    });
    let reads = |o: &&&Operator| {
        o.onnx.iter().any(|n| n.domain == domain && n.op_type == op_type && n.versions.contains(&version))
    };
    TABLE.get(&(domain, op_type))?.iter().find(reads).copied()
}

fn decode(node: &onnx_import::Node) -> Result<Arc<dyn Op>, OpError> {
    let operator = find(&node.domain, &node.op_type, node.version)
        .ok_or_else(|| OpError::Unsupported(node.op_type.clone()))?;
    (operator.decode)(&OnnxNode::new(node))
}

fn import_value(value: &onnx_import::Value) -> Result<Value, EngineError> {
    let name = value.name.clone();
    if let Some(tensor) = &value.data {
        let dtype = data_type(tensor.dtype, &name)?;
        let shape = tensor.dims.iter().map(|d| symbolic::Expr::from(*d as i64)).collect();
        let (constant, fact) = match &tensor.data {
            TensorData::Bytes(_) => {
                let host = host_tensor(tensor)?;
                let fact = crate::op::fact_of(&host);
                (Constant::Host(host), fact)
            }
            TensorData::Absent(_) => (Constant::Absent, Fact::new(dtype, shape)),
            TensorData::Strings(_) => return Err(unreadable(&name, "strings")),
        };
        return Ok(Value { name, fact: Some(fact), constant: Some(constant) });
    }
    let fact = match &value.info {
        Some(info) => {
            let dtype = data_type(info.dtype, &name)?;
            info.shape.as_ref().map(|shape| Fact::new(dtype, shape.clone()))
        }
        None => None,
    };
    Ok(Value { name, fact, constant: None })
}

/// A tensor of the file as host data; the bytes stay where they are.
///
/// # Errors
/// When the element type has no meaning here, or the data is not at hand.
pub fn host_tensor(tensor: &onnx_import::Tensor) -> Result<HostTensor, EngineError> {
    let TensorData::Bytes(bytes) = &tensor.data else {
        return Err(EngineError::model("import", "a tensor's data is in a file that was not given"));
    };
    let dtype = data_type(tensor.dtype, "tensor")?;
    let shape: Vec<usize> = tensor.dims.iter().map(|d| *d as usize).collect();
    Ok(HostTensor::new(dtype, shape, bytes.clone())?)
}

/// The engine's type for an ONNX element type.
///
/// # Errors
/// For strings, complex numbers and 8-bit floats, which no kernel reads.
pub fn data_type(dtype: DataType, name: &str) -> Result<DType, EngineError> {
    Ok(match dtype {
        DataType::F32 => DType::F32,
        DataType::F16 => DType::F16,
        DataType::Bf16 => DType::BF16,
        DataType::F64 => DType::F64,
        DataType::I64 => DType::I64,
        DataType::I32 => DType::I32,
        DataType::I16 => DType::I16,
        DataType::I8 => DType::I8,
        DataType::U64 => DType::U64,
        DataType::U32 => DType::U32,
        DataType::U16 => DType::U16,
        DataType::U8 => DType::U8,
        DataType::Bool => DType::Bool,
        DataType::I4 => DType::I4,
        DataType::U4 => DType::U4,
        other => return Err(unreadable(name, &other.to_string())),
    })
}

fn unreadable(name: &str, dtype: &str) -> EngineError {
    let text = format!("value {name:?} has element type {dtype}, which the engine does not compute with");
    EngineError::model("import", text)
}
