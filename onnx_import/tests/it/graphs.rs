//! Random graphs, their nodes in any order in the file, import as they were built.

use std::collections::{BTreeMap, HashMap};

use onnx_import::{Attribute, Graph, Node};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, GraphProto, ModelProto, NodeProto};
use proptest::prelude::*;

use crate::build::{attribute, floats, graph, imported, int, lines, model, name_of, node, opset, untyped};

/// A random node: operator, picks among the values there are (0 is none), number of outputs, attributes.
type Plan = (usize, Vec<usize>, usize, Vec<AttributeProto>);

const OPERATORS: [(&str, &str); 4] =
    [("", "Add"), ("ai.onnx", "Mul"), ("com.microsoft", "MatMulNBits"), ("local", "Mine")];

fn any_attribute() -> impl Strategy<Value = AttributeProto> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        any::<i64>().prop_map(|i| int("int", i)),
        (-9f32..9.0).prop_map(|f| AttributeProto { f, ..attribute("float", AttributeType::FLOAT) }),
        bytes().prop_map(|s| AttributeProto { s, ..attribute("string", AttributeType::STRING) }),
        proptest::collection::vec(any::<i64>(), 0..4)
            .prop_map(|ints| AttributeProto { ints, ..attribute("ints", AttributeType::INTS) }),
        proptest::collection::vec(-9f32..9.0, 0..4)
            .prop_map(|floats| AttributeProto { floats, ..attribute("floats", AttributeType::FLOATS) }),
        proptest::collection::vec(bytes(), 0..4)
            .prop_map(|strings| AttributeProto { strings, ..attribute("strings", AttributeType::STRINGS) }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let picks = proptest::collection::vec(0usize..1000, 0..4);
    (0..OPERATORS.len(), picks, 0usize..3, proptest::collection::vec(any_attribute(), 0..3))
}

/// The nodes, each reading what comes before it.
fn build(plans: Vec<Plan>) -> Vec<NodeProto> {
    let mut known = vec![String::new(), "x".to_owned(), "w".to_owned()];
    let mut nodes = Vec::new();
    for (index, (operator, picks, outputs, mut attributes)) in plans.into_iter().enumerate() {
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        attributes.dedup_by(|a, b| a.name == b.name);
        let (domain, op_type) = OPERATORS[operator];
        let input = picks.iter().map(|pick| known[pick % known.len()].clone()).collect();
        let output: Vec<String> =
            (0..=outputs).map(|i| if i == 1 { String::new() } else { format!("v{index}_{i}") }).collect();
        known.extend(output.iter().filter(|name| !name.is_empty()).cloned());
        nodes.push(NodeProto {
            name: format!("node{index}"),
            domain: domain.to_owned(),
            op_type: op_type.to_owned(),
            input,
            output,
            attribute: attributes,
            ..Default::default()
        });
    }
    nodes
}

fn file(nodes: Vec<NodeProto>) -> ModelProto {
    let last = nodes.last().map_or("x".to_owned(), |node| node.output[0].clone());
    model(GraphProto { initializer: vec![floats("w", &[2], &[1.0, 2.0])], ..graph(nodes, &[&last]) })
}

fn expected(attribute: &AttributeProto) -> Attribute {
    match attribute.type_.enum_value().unwrap() {
        AttributeType::INT => Attribute::Int(attribute.i),
        AttributeType::FLOAT => Attribute::Float(attribute.f),
        AttributeType::STRING => Attribute::String(attribute.s.clone()),
        AttributeType::INTS => Attribute::Ints(attribute.ints.clone()),
        AttributeType::FLOATS => Attribute::Floats(attribute.floats.clone()),
        AttributeType::STRINGS => Attribute::Strings(attribute.strings.clone()),
        other => panic!("not generated: {other:?}"),
    }
}

fn assert_same(graph: &Graph, node: &Node, built: &NodeProto) {
    let domain = if built.domain == "ai.onnx" { "" } else { built.domain.as_str() };
    let version = if domain.is_empty() { 18 } else { 1 };
    assert_eq!((node.domain.as_str(), &node.op_type, node.version), (domain, &built.op_type, version));
    let names = |ids: &[Option<_>]| ids.iter().map(|id| name_of(graph, *id)).collect::<Vec<_>>();
    assert_eq!(names(&node.inputs), built.input);
    assert_eq!(names(&node.outputs), built.output);
    let attributes: BTreeMap<String, Attribute> =
        built.attribute.iter().map(|a| (a.name.clone(), expected(a))).collect();
    assert_eq!(node.attributes, attributes);
}

fn assert_runs_in_order(graph: &Graph) {
    let mut known: Vec<_> = graph.inputs.clone();
    known.extend(graph.find("w"));
    for node in &graph.nodes {
        assert!(node.inputs.iter().flatten().all(|id| known.contains(id)), "{}", node.name);
        known.extend(node.outputs.iter().flatten());
    }
}

proptest! {
    #[test]
    fn graphs_import_as_built(
        plans in proptest::collection::vec(plan(), 0..12),
        keys in proptest::collection::vec(any::<u32>(), 12),
    ) {
        let nodes = build(plans);
        let in_order = imported(&file(nodes.clone())).unwrap();
        let names: Vec<&str> = in_order.graph.nodes.iter().map(|node| node.name.as_str()).collect();
        prop_assert_eq!(names, nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>());
        let built: HashMap<&str, &NodeProto> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let mut shuffled: Vec<(u32, NodeProto)> = keys.into_iter().zip(nodes.clone()).collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let mut mixed = file(shuffled.into_iter().map(|(_, node)| node).collect());
        mixed.graph.as_mut().unwrap().output = file(nodes.clone()).graph.unwrap().output.clone();
        for model in [&in_order, &imported(&mixed).unwrap()] {
            prop_assert_eq!(model.graph.nodes.len(), nodes.len());
            assert_runs_in_order(&model.graph);
            for node in &model.graph.nodes {
                assert_same(&model.graph, node, built[node.name.as_str()]);
            }
        }
        let total: usize = in_order.operators().values().sum();
        prop_assert_eq!(total, nodes.len());
    }
}

#[test]
fn header() {
    let mut model = model(graph(vec![node("Relu", &["x"], &["y"])], &["y"]));
    model.producer_version = "1.0".to_owned();
    model.metadata_props = crate::build::entries(&[("key", "value")]);
    model.opset_import.push(opset("ai.onnx", 18));
    let model = imported(&model).unwrap();
    assert_eq!((model.ir_version, model.producer.as_str()), (8, "test 1.0"));
    assert_eq!(model.opsets.get(""), Some(&18));
    assert_eq!(model.metadata.get("key").map(String::as_str), Some("value"));
    assert_eq!(model.graph.name, "g");
}

#[test]
fn an_input_with_an_initializer_is_a_constant() {
    for ir_version in [3, 8] {
        let mut graph = graph(vec![node("Add", &["x", "w"], &["y"])], &["y"]);
        graph.input.push(untyped("w"));
        graph.initializer = vec![floats("w", &[1], &[2.0])];
        let model = imported(&ModelProto { ir_version, ..model(graph) }).unwrap();
        let names: Vec<_> = model.graph.inputs.iter().map(|id| model.graph[*id].name.as_str()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(lines(&model.graph), ["Add(x, w) -> y"]);
        let weight = &model.graph[model.graph.find("w").unwrap()];
        assert_eq!(weight.data.as_ref().unwrap().to_f32s().unwrap(), [2.0]);
        assert_eq!(weight.info.as_ref().unwrap().shape.as_ref().unwrap()[0].constant(), Some(1));
    }
}

#[test]
fn typed_getters() {
    let attributes =
        vec![int("axis", -1), AttributeProto { ints: vec![1], ..attribute("axes", AttributeType::INTS) }];
    let relu = NodeProto { attribute: attributes, ..node("Relu", &["x"], &["y"]) };
    let model = imported(&model(graph(vec![relu], &["y"]))).unwrap();
    let node = &model.graph.nodes[0];
    assert_eq!(node.int("axis").unwrap(), Some(-1));
    assert_eq!(node.ints("axes").unwrap(), Some(&[1i64][..]));
    assert_eq!(node.float("alpha").unwrap(), None);
    let message = node.float("axis").unwrap_err().to_string();
    assert_eq!(message, r#"node "make_y" (Relu) > attribute "axis": must be a float, but is an integer"#);
    assert_eq!((node.input(0), node.input(1)), (model.graph.find("x"), None));
    assert_eq!(node.output(0), model.graph.find("y"));
}
