//! Functions of the model are replaced by their bodies.

use onnx_import::{Attribute, Model};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{FunctionProto, ModelProto, NodeProto};

use crate::build::{
    branch, call, floats, function, graph, graph_attribute, imported, int, lines, model, node, reference,
    strings,
};

fn file(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>) -> ModelProto {
    ModelProto { functions, ..model(graph(nodes, &["y"])) }
}

fn inlined(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>) -> Model {
    imported(&file(functions, nodes)).unwrap()
}

fn message(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>) -> String {
    imported(&file(functions, nodes)).unwrap_err().to_string()
}

#[test]
fn bodies_take_the_place_of_calls_with_fresh_names() {
    let square = function(
        "Square",
        &["a"],
        &["c"],
        vec![node("Mul", &["a", "a"], &["t"]), node("Identity", &["t"], &["c"])],
    );
    let fourth = function(
        "Fourth",
        &["v"],
        &["w"],
        vec![call("Square", &["v"], &["t"]), call("Square", &["t"], &["w"])],
    );
    let model =
        inlined(vec![fourth, square], vec![call("Fourth", &["x"], &["t"]), call("Square", &["t"], &["y"])]);
    assert_eq!(
        lines(&model.graph),
        [
            "Mul(x, x) -> make_t/make_t/t",
            "Identity(make_t/make_t/t) -> make_t/t",
            "Mul(make_t/t, make_t/t) -> make_t/make_w/t",
            "Identity(make_t/make_w/t) -> t",
            "Mul(t, t) -> make_y/t",
            "Identity(make_y/t) -> y",
        ]
    );
    assert_eq!(model.graph.nodes[0].name, "make_t/make_t/make_t");
    assert!(model.graph.nodes.iter().all(|node| node.version == 17));
}

#[test]
fn fresh_names_avoid_those_of_the_file() {
    let twice =
        function("Twice", &["a"], &["c"], vec![node("Neg", &["a"], &["t"]), node("Neg", &["t"], &["c"])]);
    let nodes = vec![
        call("Twice", &["x"], &["m"]),
        node("Relu", &["m"], &["make_m/t"]),
        node("Abs", &["make_m/t"], &["y"]),
    ];
    let model = inlined(vec![twice], nodes);
    let expected =
        ["Neg(x) -> make_m/t_1", "Neg(make_m/t_1) -> m", "Relu(m) -> make_m/t", "Abs(make_m/t) -> y"];
    assert_eq!(lines(&model.graph), expected);
}

#[test]
fn optional_inputs_and_outputs() {
    let clip = function(
        "MyClip",
        &["a", "low", "high"],
        &["c", "d"],
        vec![node("Clip", &["a", "low", "high"], &["c"]), node("Neg", &["c"], &["d"])],
    );
    let model = inlined(vec![clip], vec![call("MyClip", &["x", "", "x"], &["", "y"])]);
    assert_eq!(lines(&model.graph), ["Clip(x, , x) -> make_/c", "Neg(make_/c) -> y"]);
}

#[test]
fn an_output_that_is_an_input_is_passed_on() {
    let both = function("Both", &["a"], &["a", "n", "n"], vec![node("Neg", &["a"], &["n"])]);
    let model = inlined(
        vec![both],
        vec![call("Both", &["x"], &["p", "q", "r"]), node("Sum", &["p", "q", "r"], &["y"])],
    );
    let expected = ["Neg(x) -> r", "Identity(x) -> p", "Identity(r) -> q", "Sum(p, q, r) -> y"];
    assert_eq!(lines(&model.graph), expected);
}

#[test]
fn a_cycle_through_an_output_that_is_an_input_is_found() {
    let same = function("Same", &["a"], &["a"], vec![]);
    let message = message(vec![same], vec![call("Same", &["y"], &["y"])]);
    assert_eq!(
        message,
        "graph > node \"make_y/pass\" (Identity): the node needs its own output, by way of \"y\""
    );
}

fn with_attributes() -> Vec<FunctionProto> {
    let attribute = vec![
        reference("axis", "dim", AttributeType::INT),
        reference("keep", "keep", AttributeType::INT),
        reference("extra", "extra", AttributeType::INT),
    ];
    let softmax = NodeProto { attribute, ..node("Softmax", &["a"], &["c"]) };
    let inner = FunctionProto {
        attribute: strings(&["dim", "extra"]),
        attribute_proto: vec![int("keep", 7)],
        ..function("Inner", &["a"], &["c"], vec![softmax])
    };
    let passed = vec![
        reference("dim", "outer_dim", AttributeType::INT),
        reference("keep", "keep", AttributeType::INT),
    ];
    let body = NodeProto { attribute: passed, ..call("Inner", &["a"], &["c"]) };
    let outer = FunctionProto {
        attribute: strings(&["outer_dim", "keep"]),
        ..function("Outer", &["a"], &["c"], vec![body])
    };
    vec![inner, outer]
}

#[test]
fn attributes_are_passed_through_calls_with_defaults() {
    let nodes = vec![
        NodeProto { attribute: vec![int("outer_dim", 3)], ..call("Outer", &["x"], &["m"]) },
        NodeProto { attribute: vec![int("outer_dim", 4), int("keep", 0)], ..call("Outer", &["m"], &["y"]) },
    ];
    let model = inlined(with_attributes(), nodes);
    let attributes = |index: usize| {
        let all = &model.graph.nodes[index].attributes;
        all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(attributes(0), [("axis", Attribute::Int(3)), ("keep", Attribute::Int(7))]);
    assert_eq!(attributes(1), [("axis", Attribute::Int(4)), ("keep", Attribute::Int(0))]);
}

#[test]
fn subgraphs_in_functions_and_as_their_attributes_see_their_own_names() {
    let inner = branch(vec![node("Add", &["a", "t"], &["z"])], &["z"]);
    let own = NodeProto { attribute: vec![graph_attribute("body", inner)], ..node("If", &[], &["i"]) };
    let given = NodeProto {
        attribute: vec![reference("body", "branch", AttributeType::GRAPH)],
        ..node("If", &["i"], &["c"])
    };
    let choose = FunctionProto {
        attribute: strings(&["branch"]),
        ..function("Choose", &["a"], &["c"], vec![node("Neg", &["a"], &["t"]), own, given])
    };
    let argument = branch(vec![node("Mul", &["x", "t"], &["z"])], &["z"]);
    let nodes = vec![
        node("Relu", &["x"], &["t"]),
        NodeProto { attribute: vec![graph_attribute("branch", argument)], ..call("Choose", &["t"], &["y"]) },
    ];
    let model = inlined(vec![choose], nodes);
    assert_eq!(lines(&model.graph)[1..], ["Neg(t) -> make_y/t", "If() -> make_y/i", "If(make_y/i) -> y"]);
    let body = |index: usize| lines(model.graph.nodes[index].graph("body").unwrap().unwrap());
    assert_eq!(body(2), ["Add(t, make_y/t) -> z"]);
    assert_eq!(body(3), ["Mul(x, t) -> z"]);
}

#[test]
fn bad_calls() {
    let square = || function("Square", &["a"], &["c"], vec![node("Mul", &["a", "a"], &["c"])]);
    let again = function("Again", &["a"], &["c"], vec![call("Again", &["a"], &["c"])]);
    let no_output = function("None", &["a"], &["c"], vec![]);
    let no_value = function("Hole", &["a", "b"], &["b"], vec![]);
    let twice = function("Bad", &["a"], &["c"], vec![node("Neg", &["a"], &["a"])]);
    let cases = [
        (
            square(),
            call("Square", &["x", "x"], &["y"]),
            "the function local::Square has 1 inputs, the node gives 2",
        ),
        (
            square(),
            call("Square", &["x"], &["y", "z"]),
            "the function local::Square has 1 outputs, the node gives 2",
        ),
        (
            square(),
            NodeProto { attribute: vec![int("k", 1)], ..call("Square", &["x"], &["y"]) },
            "the function local::Square has no attribute \"k\"",
        ),
        (again, call("Again", &["x"], &["y"]), "the function local::Again calls itself"),
        (
            no_output,
            call("None", &["x"], &["y"]),
            "function local::None > output \"c\": no value is named \"c\"",
        ),
        (no_value, call("Hole", &["x"], &["y"]), "function local::Hole > output \"b\": its value is missing"),
        (twice, call("Bad", &["x"], &["y"]), "the name \"a\" is taken: it is an input already"),
    ];
    for (function, node, expected) in cases {
        let message = message(vec![function], vec![node]);
        assert!(message.starts_with("graph > node \"make_y\" ("), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }
    let message = message(vec![square(), square()], vec![]);
    assert_eq!(
        message,
        "function local::Square: the name \"Square\" is taken: it is another function already"
    );
}

#[test]
fn inlining_that_explodes_is_refused() {
    let double = |index: usize| {
        let next = format!("F{}", index + 1);
        function(
            &format!("F{index}"),
            &["a"],
            &["c"],
            vec![call(&next, &["a"], &["b"]), call(&next, &["b"], &["c"])],
        )
    };
    let mut functions: Vec<_> = (0..40).map(double).collect();
    functions.push(function("F40", &["a"], &["c"], vec![node("Neg", &["a"], &["c"])]));
    let message = message(functions, vec![call("F0", &["x"], &["y"])]);
    assert!(message.contains("inlining the functions takes more than"), "{message}");
}

#[test]
fn a_large_attribute_is_not_copied_without_end() {
    let big = onnx_protobuf::AttributeProto {
        ints: vec![1; 100_000],
        ..crate::build::attribute("big", AttributeType::INTS)
    };
    let uses = (0..1000).map(|index| NodeProto {
        attribute: vec![reference("big", "big", AttributeType::INTS)],
        ..node("Use", &["a"], &[&format!("u{index}")])
    });
    let holder =
        FunctionProto { attribute_proto: vec![big], ..function("Holder", &["a"], &["u0"], uses.collect()) };
    let message = message(vec![holder], vec![call("Holder", &["x"], &["y"])]);
    assert!(message.contains("inlining the functions takes more than"), "{message}");
}

#[test]
fn chains_of_functions_have_a_limit() {
    let next = |index: usize| {
        function(&format!("F{index}"), &["a"], &["c"], vec![call(&format!("F{}", index + 1), &["a"], &["c"])])
    };
    let functions: Vec<_> = (0..1000).map(next).collect();
    let message = message(functions, vec![call("F0", &["x"], &["y"])]);
    assert!(message.ends_with("graphs and functions are nested more than 64 deep"), "{message}");
}

#[test]
fn constants_in_functions_share_the_memory_of_the_file() {
    let weight = onnx_protobuf::AttributeProto {
        t: Some(onnx_protobuf::TensorProto { raw_data: vec![0; 1 << 20], ..floats("", &[1 << 18], &[]) })
            .into(),
        ..crate::build::attribute("value", AttributeType::TENSOR)
    };
    let constant = NodeProto { attribute: vec![weight], ..node("Constant", &[], &["w"]) };
    let scale = function("Scale", &["a"], &["c"], vec![constant, node("Mul", &["a", "w"], &["c"])]);
    let mut nodes: Vec<_> = (0..299).map(|index| call("Scale", &["x"], &[&format!("y{index}")])).collect();
    nodes.push(call("Scale", &["x"], &["y"]));
    assert_eq!(inlined(vec![scale], nodes).graph.nodes.len(), 600);
}
