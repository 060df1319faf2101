//! Subgraphs: values of the graph around them are captured, and count when nodes are put in order.

use onnx_import::Graph;
use onnx_protobuf::{GraphProto, NodeProto};

use crate::build::{branch, graph, graph_attribute, imported, lines, model, node, untyped};

fn with_body(name: &str, body: GraphProto, outputs: &[&str]) -> NodeProto {
    NodeProto { attribute: vec![graph_attribute("body", body)], ..node(name, &[], outputs) }
}

fn captures(graph: &Graph, around: &Graph) -> Vec<(String, String)> {
    let pair = |capture: &onnx_import::Capture| {
        (around[capture.outer].name.clone(), graph[capture.inner].name.clone())
    };
    graph.captures.iter().map(pair).collect()
}

fn pair(outer: &str, inner: &str) -> (String, String) {
    (outer.to_owned(), inner.to_owned())
}

#[test]
fn values_around_are_captured_through_each_level() {
    let inner = branch(vec![node("Add", &["x", "later"], &["z"])], &["z"]);
    let middle = branch(vec![with_body("If", inner, &["m"])], &["m"]);
    let nodes = vec![with_body("Loop", middle, &["y"]), node("Neg", &["x"], &["later"])];
    let model = imported(&model(graph(nodes, &["y"]))).unwrap();
    assert_eq!(lines(&model.graph), ["Neg(x) -> later", "Loop() -> y"]);
    let middle = model.graph.nodes[1].graph("body").unwrap().unwrap();
    assert_eq!(captures(middle, &model.graph), [pair("x", "x"), pair("later", "later")]);
    let inner = middle.nodes[0].graph("body").unwrap().unwrap();
    assert_eq!(captures(inner, middle), [pair("x", "x"), pair("later", "later")]);
    assert_eq!(lines(inner), ["Add(x, later) -> z"]);
    assert_eq!(model.operators().values().sum::<usize>(), 4);
}

#[test]
fn names_of_a_subgraph_hide_those_around_it() {
    let mut body = branch(vec![node("Neg", &["x"], &["later"])], &["later"]);
    body.input = vec![untyped("x")];
    let nodes = vec![with_body("Scan", body, &["y"]), node("Neg", &["y"], &["later"])];
    let model = imported(&model(graph(nodes, &["later"]))).unwrap();
    let body = model.graph.nodes[0].graph("body").unwrap().unwrap();
    assert!(body.captures.is_empty());
    assert_eq!(lines(body), ["Neg(x) -> later"]);
}

#[test]
fn a_subgraph_may_return_a_value_around_it() {
    let nodes = vec![with_body("If", branch(vec![], &["x"]), &["y"])];
    let model = imported(&model(graph(nodes, &["y"]))).unwrap();
    let body = model.graph.nodes[0].graph("body").unwrap().unwrap();
    assert_eq!(body.outputs, [body.captures[0].inner]);
}

#[test]
fn a_cycle_through_a_subgraph_is_found() {
    let nodes = vec![with_body("If", branch(vec![], &["b"]), &["a"]), node("Neg", &["a"], &["b"])];
    let message = imported(&model(graph(nodes, &["b"]))).unwrap_err().to_string();
    assert_eq!(message, r#"graph > node "make_a" (If): the node needs its own output, by way of "a""#);
}
