//! From the ONNX model to the graph: every node becomes an operator of ours, or the model is refused with the
//! full list of what is missing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use onnx_import::{Attribute, DataType, Model, TensorData};

use crate::{
    dtype::DType,
    error::{EngineError, OpError},
    graph::{Constant, Fact, Graph, Node, Value, ValueId},
    host::HostTensor,
    op::{Body, OnnxNode, Op, Operator},
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
    let graph = import_graph(&model.graph)?;
    for input in graph.inputs.clone() {
        if graph.fact(input).is_none() {
            let name = &graph.value(input).name;
            return Err(EngineError::model("import", format!("input {name:?} has no tensor type and shape")));
        }
    }
    Ok(graph)
}

/// A graph with the nodes of its subgraphs. These are as deep as the importer lets them be.
fn import_graph(from: &onnx_import::Graph) -> Result<Graph, EngineError> {
    let mut graph = Graph::default();
    for value in &from.values {
        graph.values.push(import_value(value)?);
    }
    let id = |v: &onnx_import::ValueId| ValueId(v.0);
    graph.inputs = from.inputs.iter().map(id).collect();
    graph.outputs = from.outputs.iter().map(id).collect();
    for node in &from.nodes {
        let mut inputs: Vec<Option<ValueId>> = node.inputs.iter().map(|v| v.as_ref().map(id)).collect();
        let bodies = import_bodies(node, &mut inputs)?;
        let name = if node.name.is_empty() { computed(from, node) } else { &node.name };
        let op =
            decode(node, &bodies).map_err(|source| EngineError::at("import", name, &node.op_type, source))?;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for (index, output) in node.outputs.iter().enumerate() {
            outputs.push(match output {
                Some(v) => id(v),
                None => graph.add_value(&format!("{name}.unused{index}"), None),
            });
        }
        graph.nodes.push(Node { name: name.to_owned(), op, inputs, outputs });
    }
    Ok(graph)
}

/// The name of the first value that a node computes, which tells it from others where it has no name itself.
fn computed<'a>(graph: &'a onnx_import::Graph, node: &onnx_import::Node) -> &'a str {
    let first = node.outputs.iter().flatten().next();
    first.and_then(|v| graph.values.get(v.0 as usize)).map_or("", |value| &value.name)
}

/// A node's subgraphs by attribute. What they read from the graph around them becomes inputs of the node, behind its own.
fn import_bodies(
    node: &onnx_import::Node,
    inputs: &mut Vec<Option<ValueId>>,
) -> Result<BTreeMap<String, Body>, EngineError> {
    let mut bodies = BTreeMap::new();
    for (name, attribute) in &node.attributes {
        let Attribute::Graph(from) = attribute else { continue };
        let mut captures = Vec::with_capacity(from.captures.len());
        for capture in &from.captures {
            captures.push((ValueId(capture.inner.0), inputs.len()));
            inputs.push(Some(ValueId(capture.outer.0)));
        }
        bodies.insert(name.clone(), Body::new(import_graph(from)?, captures));
    }
    Ok(bodies)
}

/// The operators of a model that the engine does not have, one line each: name, opset, number of nodes, an example.
#[must_use]
pub fn unsupported(model: &Model) -> Vec<String> {
    let mut missing: BTreeMap<(&str, &str, i64), (usize, String)> = BTreeMap::new();
    let mut graphs = vec![&model.graph];
    while let Some(graph) = graphs.pop() {
        for node in &graph.nodes {
            if find(&node.domain, &node.op_type, node.version).is_none() {
                let key = (&*node.domain, &*node.op_type, node.version);
                let example = || match &*node.name {
                    "" => format!("the one that computes {:?}", computed(graph, node)),
                    name => format!("{name:?}"),
                };
                missing.entry(key).or_insert_with(|| (0, example())).0 += 1;
            }
            graphs.extend(node.subgraphs());
        }
    }
    let lines = missing.into_iter().map(|((domain, op, version), (count, example))| {
        let shown = if domain.is_empty() { "ai.onnx" } else { domain };
        let line = format!("  {shown}::{op} (opset {version}): {count} nodes, such as {example}");
        match known_versions(domain, op) {
            Some(known) => format!("{line}; known are opsets {known}: export with one of them"),
            None => line,
        }
    });
    lines.collect()
}

/// The versions of an operator that there are.
fn known_versions(domain: &str, op_type: &str) -> Option<String> {
    let names = OPERATORS.iter().flat_map(|o| o.onnx).filter(|n| n.domain == domain && n.op_type == op_type);
    let ranges: Vec<String> =
        names.map(|n| format!("{} to {}", n.versions.start(), n.versions.end())).collect();
    (!ranges.is_empty()).then(|| ranges.join(", "))
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

fn decode(node: &onnx_import::Node, bodies: &BTreeMap<String, Body>) -> Result<Arc<dyn Op>, OpError> {
    let operator = find(&node.domain, &node.op_type, node.version)
        .ok_or_else(|| OpError::Unsupported(node.op_type.clone()))?;
    (operator.decode)(&OnnxNode::new(node, bodies))
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
/// For strings and complex numbers, which no kernel reads.
pub fn data_type(dtype: DataType, name: &str) -> Result<DType, EngineError> {
    DType::of(dtype).ok_or_else(|| unreadable(name, &dtype.to_string()))
}

fn unreadable(name: &str, dtype: &str) -> EngineError {
    let text = format!("value {name:?} has element type {dtype}, which the engine does not compute with");
    EngineError::model("import", text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onnx_import::{Attribute, Capture, DataType, Graph, Model, Node, TensorType, Value, ValueId};
    use symbolic::Expr;

    use super::import;
    use crate::{error::EngineError, infer::infer};

    fn value(name: &str, dtype: DataType, shape: Vec<Expr>) -> Value {
        let info = Some(TensorType { dtype, shape: Some(shape) });
        Value { name: name.to_owned(), info, other_type: None, data: None }
    }

    fn node(op_type: &str, inputs: &[u32], outputs: &[u32], attributes: Vec<(&str, Graph)>) -> Node {
        let ids = |list: &[u32]| list.iter().map(|id| Some(ValueId(*id))).collect();
        let attributes = attributes.into_iter().map(|(name, body)| (name.to_owned(), Attribute::Graph(body)));
        Node {
            name: op_type.to_lowercase(),
            op_type: op_type.to_owned(),
            version: 25,
            inputs: ids(inputs),
            outputs: ids(outputs),
            attributes: attributes.collect(),
            ..Node::default()
        }
    }

    /// A branch that gives `op` of value 1 around it; of itself, without nodes.
    fn branch(op: Option<&str>) -> Graph {
        let captures = vec![Capture { outer: ValueId(1), inner: ValueId(0) }];
        let unknown = |name: &str| Value { info: None, ..value(name, DataType::F32, vec![]) };
        let values = vec![unknown("x"), unknown("z")];
        let nodes = op.map(|op| node(op, &[0], &[1], vec![])).into_iter().collect();
        let outputs = vec![ValueId(u32::from(op.is_some()))];
        Graph { values, nodes, outputs, captures, ..Graph::default() }
    }

    /// `y = If(condition, x)` with the given branches.
    fn model(then_branch: Graph, else_branch: Graph) -> Model {
        let x = value("x", DataType::F32, vec![2.into(), 1.into()]);
        let y = Value { info: None, ..value("y", DataType::F32, vec![]) };
        let branches = vec![("then_branch", then_branch), ("else_branch", else_branch)];
        let graph = Graph {
            values: vec![value("condition", DataType::Bool, vec![]), x, y],
            nodes: vec![node("If", &[0], &[2], branches)],
            inputs: vec![ValueId(0), ValueId(1)],
            outputs: vec![ValueId(2)],
            ..Graph::default()
        };
        let (opsets, metadata) = (BTreeMap::new(), BTreeMap::new());
        Model { ir_version: 10, opsets, producer: String::new(), metadata, graph }
    }

    fn refusal(model: &Model) -> EngineError {
        import(model).and_then(|mut graph| infer(&mut graph)).unwrap_err()
    }

    #[test]
    fn captures_are_inputs_of_the_node() {
        let mut graph = import(&model(branch(Some("Neg")), branch(None))).unwrap();
        assert_eq!(graph.nodes[0].inputs.len(), 3);
        infer(&mut graph).unwrap();
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(names.last(), Some(&"Where"));
        assert!(names.contains(&"Neg"), "{names:?}");
        assert_eq!(graph.fact(graph.outputs[0]).unwrap().to_string(), "f32[2, 1]");
    }

    #[test]
    fn what_subgraphs_do_not_have_is_listed() {
        let error = refusal(&model(branch(Some("Unheard")), branch(None))).to_string();
        assert!(error.contains("ai.onnx::Unheard (opset 25): 1 nodes, such as \"unheard\""), "{error}");
    }

    #[test]
    fn a_node_without_a_name_is_known_by_what_it_computes() {
        let unnamed = |then: &str, other: Option<&str>| {
            let mut model = model(branch(Some(then)), branch(other));
            let Node { name, attributes, .. } = &mut model.graph.nodes[0];
            name.clear();
            let Some(Attribute::Graph(body)) = attributes.get_mut("then_branch") else { panic!("no branch") };
            body.nodes[0].name.clear();
            model
        };
        let error = refusal(&unnamed("Unheard", None)).to_string();
        assert!(error.contains("1 nodes, such as the one that computes \"z\""), "{error}");
        let error = refusal(&unnamed("Squeeze", None)).to_string();
        assert!(error.starts_with("infer > node \"y\" (If)"), "{error}");
    }

    #[test]
    fn branches_of_other_shapes_need_a_known_condition() {
        let error = refusal(&model(branch(Some("Squeeze")), branch(None)));
        let text = "infer > node \"if\" (If) > the condition must be known before the model runs, since its branches \
                    give f32[2] and f32[2, 1]";
        assert_eq!(error.to_string(), text);
        assert!(matches!(error, EngineError::Op { source, .. } if source.lacks_inputs()));
    }

    #[test]
    fn bodies_that_do_not_fit_their_node_are_refused() {
        let takes = |mut body: Graph, id: u32| {
            body.inputs.push(ValueId(id));
            body
        };
        let none = |mut body: Graph| {
            body.outputs.clear();
            body
        };
        let unread = Graph { captures: vec![], ..branch(Some("Neg")) };
        for (yes, no, text) in [
            (takes(branch(None), 1), branch(None), "the body takes 1 and gives 1 values, not 0 and 1"),
            (branch(None), none(branch(None)), "the body takes 0 and gives 1 values, not 0 and 0"),
            (none(branch(None)), none(branch(None)), "it has more outputs than its branches"),
            (unread, branch(None), "\"x\" is read before it is computed"),
        ] {
            let error = refusal(&model(yes, no)).to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
