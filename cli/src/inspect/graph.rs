//! The model as its file has it: inputs, outputs, operators.

use engine::graph::{Graph, ValueId};
use onnx_import::Model;
use serde::Serialize;

/// An input or output.
#[derive(Debug, Serialize)]
pub(super) struct Port {
    pub name: String,
    /// Type and symbolic shape: `i64[batch, sequence]`.
    pub form: String,
}

impl Port {
    /// Those of a graph whose types are inferred.
    pub fn all(graph: &Graph, ids: &[ValueId]) -> Vec<Self> {
        let port = |id: &ValueId| {
            let value = graph.value(*id);
            let form = value.fact.as_ref().map_or("unknown".to_owned(), ToString::to_string);
            Self { name: value.name.clone(), form }
        };
        ids.iter().map(port).collect()
    }
}

/// An operator and how many nodes are of it.
#[derive(Debug, Serialize)]
pub(super) struct OperatorCount {
    pub name: String,
    pub opset: i64,
    pub nodes: usize,
}

/// What is in the file.
#[derive(Debug, Serialize)]
pub(super) struct Contents {
    pub producer: String,
    pub ir_version: i64,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub nodes: usize,
    pub operators: Vec<OperatorCount>,
}

impl Contents {
    /// Of an imported model.
    pub fn of(model: &Model) -> Self {
        let operators: Vec<OperatorCount> = model
            .operators()
            .into_iter()
            .map(|(op, nodes)| {
                let name =
                    if op.domain.is_empty() { op.op_type } else { format!("{}::{}", op.domain, op.op_type) };
                OperatorCount { name, opset: op.version, nodes }
            })
            .collect();
        Self {
            producer: model.producer.clone(),
            ir_version: model.ir_version,
            inputs: ports(model, &model.graph.inputs),
            outputs: ports(model, &model.graph.outputs),
            nodes: operators.iter().map(|o| o.nodes).sum(),
            operators,
        }
    }
}

fn ports(model: &Model, ids: &[onnx_import::ValueId]) -> Vec<Port> {
    let port = |id: &onnx_import::ValueId| {
        let value = &model.graph[*id];
        let form = match (&value.info, &value.other_type) {
            (Some(info), _) => match &info.shape {
                Some(shape) => {
                    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
                    format!("{}[{}]", info.dtype, dims.join(", "))
                }
                None => format!("{} of any shape", info.dtype),
            },
            (None, Some(other)) => other.clone(),
            (None, None) => "unknown".to_owned(),
        };
        Port { name: value.name.clone(), form }
    };
    ids.iter().map(port).collect()
}
