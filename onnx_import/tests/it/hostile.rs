//! Files that contradict themselves or ask for too much: each is refused, with the path to the place.

use bytes::Bytes;
use onnx_import::{LeaveAbsent, import};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{
    AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, tensor_proto,
};

use crate::build::{
    Dim, F32, I64, attribute, branch, floats, graph, graph_attribute, imported, info, int, model, node,
    opset, reference, untyped,
};

fn refused(model: &ModelProto) -> String {
    imported(model).unwrap_err().to_string()
}

fn one_node(node: NodeProto) -> ModelProto {
    model(graph(vec![node], &["y"]))
}

fn with_tensor(tensor: TensorProto) -> ModelProto {
    let mut graph = graph(vec![], &["x"]);
    graph.initializer = vec![tensor];
    model(graph)
}

fn check(cases: Vec<(ModelProto, &str)>) {
    for (model, expected) in cases {
        assert_eq!(refused(&model), expected);
    }
}

#[test]
fn headers() {
    let file = || model(graph(vec![], &["x"]));
    let with_opsets = |opset_import| ModelProto { opset_import, ..one_node(node("Neg", &["x"], &["y"])) };
    let ms = NodeProto { domain: "com.microsoft".to_owned(), ..node("FusedMatMul", &["x"], &["y"]) };
    check(vec![
        (
            ModelProto { ir_version: 2, ..file() },
            "IR version 2 is not supported, only 3 to 14: export the model again",
        ),
        (
            ModelProto { ir_version: 99, ..file() },
            "IR version 99 is not supported, only 3 to 14: export the model again",
        ),
        (ModelProto { graph: None.into(), ..file() }, "the graph is missing"),
        (
            with_opsets(vec![opset("", 99)]),
            "opset 99 of domain \"\" is not supported, only 1 to 28: export the model again",
        ),
        (
            with_opsets(vec![opset("", 18), opset("ai.onnx", 17)]),
            "domain \"\" is imported twice, as opset 18 and as opset 17",
        ),
        (with_opsets(vec![]), "graph > node \"make_y\" (Neg): no opset version is given for domain \"\""),
        (
            ModelProto { opset_import: vec![opset("", 18)], ..one_node(ms) },
            "graph > node \"make_y\" (FusedMatMul): no opset version is given for domain \"com.microsoft\"",
        ),
    ]);
    let message = import(Bytes::new(), &mut LeaveAbsent).unwrap_err().to_string();
    assert!(message.starts_with("IR version (none given) is not supported"), "{message}");
}

#[test]
fn names() {
    let twice = || vec![node("Neg", &["x"], &["y"]), node("Abs", &["x"], &["y"])];
    let mut same_inputs = graph(vec![], &["x"]);
    same_inputs.input.push(untyped("x"));
    let mut same_constants = graph(vec![node("Neg", &["x"], &["w"])], &["w"]);
    same_constants.initializer = vec![floats("w", &[0], &[])];
    let mut nameless = graph(vec![], &["x"]);
    nameless.initializer = vec![floats("", &[0], &[])];
    check(vec![
        (
            model(graph(twice(), &["y"])),
            "graph > node \"make_y\" (Abs) > output \"y\": the name \"y\" is taken: it is the output of another node already",
        ),
        (model(same_inputs), "graph > input \"x\": the name \"x\" is taken: it is an input already"),
        (
            model(same_constants),
            "graph > node \"make_w\" (Neg) > output \"w\": the name \"w\" is taken: it is an initializer already",
        ),
        (model(nameless), "graph > initializer \"\": the name is missing"),
        (model(graph(vec![], &["q"])), "graph > output \"q\": no value is named \"q\""),
        (model(graph(vec![], &[""])), "graph > output \"\": the name, or the value is missing"),
        (
            one_node(node("MatMul", &["x", "q"], &["y"])),
            "graph > node \"make_y\" (MatMul) > input 1: no value is named \"q\"",
        ),
        (
            one_node(NodeProto { name: String::new(), ..node("MatMul", &["q"], &["y"]) }),
            "graph > node 0 (MatMul) > input 0: no value is named \"q\"",
        ),
        (one_node(node("", &["x"], &["y"])), "graph > node \"make_y\" (): the operator is missing"),
    ]);
}

#[test]
fn cycles() {
    let ring = vec![
        node("Relu", &["c"], &["y"]),
        node("Add", &["x", "c"], &["a"]),
        node("Neg", &["a"], &["b"]),
        node("Abs", &["b"], &["c"]),
    ];
    let message = refused(&model(graph(ring, &["y"])));
    assert_eq!(message, "graph > node \"make_c\" (Abs): the node needs its own output, by way of \"c\"");
    let itself = refused(&one_node(node("Add", &["x", "y"], &["y"])));
    assert_eq!(itself, "graph > node \"make_y\" (Add): the node needs its own output, by way of \"y\"");
}

#[test]
fn attributes() {
    let with = |attribute: AttributeProto| {
        one_node(NodeProto { attribute: vec![attribute], ..node("Op", &["x"], &["y"]) })
    };
    let twice = NodeProto { attribute: vec![int("a", 1), int("a", 2)], ..node("Op", &["x"], &["y"]) };
    let at = "graph > node \"make_y\" (Op) > attribute \"a\": ";
    let cases = vec![
        (with(attribute("a", AttributeType::UNDEFINED)), "attribute type 0 is unknown"),
        (
            with(AttributeProto { type_: protobuf::EnumOrUnknown::from_i32(77), ..int("a", 1) }),
            "attribute type 77 is unknown",
        ),
        (with(attribute("a", AttributeType::TENSOR)), "the tensor is missing"),
        (with(attribute("a", AttributeType::GRAPH)), "the graph is missing"),
        (with(attribute("a", AttributeType::SPARSE_TENSOR)), "not supported: sparse tensors"),
        (
            with(reference("a", "b", AttributeType::INT)),
            "refers to the function attribute \"b\", but stands in no function",
        ),
    ];
    for (model, expected) in cases {
        assert_eq!(refused(&model), format!("{at}{expected}"));
    }
    let message = refused(&one_node(twice));
    assert_eq!(
        message,
        "graph > node \"make_y\" (Op): the name \"a\" is taken: it is another attribute already"
    );
}

#[test]
fn tensors() {
    let typed = |data_type, dims: &[i64], int32_data: &[i32]| {
        with_tensor(TensorProto {
            data_type,
            dims: dims.to_vec(),
            int32_data: int32_data.to_vec(),
            ..floats("w", &[], &[])
        })
    };
    let raw = |dims: &[i64], len: usize| {
        with_tensor(TensorProto { raw_data: vec![0; len], ..floats("w", dims, &[]) })
    };
    let both = TensorProto { raw_data: vec![0; 4], ..floats("w", &[1], &[1.0]) };
    let segment = Some(tensor_proto::Segment::new()).into();
    let cases = vec![
        (typed(0, &[], &[]), "element type 0 is unknown"),
        (typed(99, &[], &[]), "element type 99 is unknown"),
        (typed(6, &[-1], &[]), "axis 0 has the size -1"),
        (raw(&[2, 3], 20), "f32 of [2, 3] takes 24 bytes, but 20 are there"),
        (
            raw(&[i64::MAX, i64::MAX, i64::MAX], 4),
            "a f32 tensor of [9223372036854775807, 9223372036854775807, 9223372036854775807] is too large",
        ),
        (raw(&[i64::MAX], 4), "a f32 tensor of [9223372036854775807] is too large"),
        (raw(&[1 << 40], 4), "f32 of [1099511627776] takes 4398046511104 bytes, but 4 are there"),
        (raw(&[1; 65], 4), "65 axes, more than 64"),
        (with_tensor(both), "f32 data must not stand in raw_data"),
        (typed(1, &[1], &[1]), "f32 data must not stand in int32_data"),
        (typed(6, &[2], &[1]), "i32 of [2] takes 8 bytes, but 4 are there"),
        (typed(2, &[2], &[0, 256]), "element 1 is 256, which is no u8"),
        (typed(3, &[1], &[-129]), "element 0 is -129, which is no i8"),
        (typed(9, &[1], &[2]), "element 0 is 2, which is no bool"),
        (typed(10, &[1], &[-1]), "element 0 is -1, which is no f16"),
        (
            with_tensor(TensorProto { data_type: 12, uint64_data: vec![1 << 32], ..floats("w", &[1], &[]) }),
            "element 0 is 4294967296, which is no u32",
        ),
        (
            with_tensor(TensorProto { data_type: 8, ..floats("w", &[3], &[]) }),
            "string of [3] takes 3 strings, but 0 are there",
        ),
        (
            with_tensor(TensorProto { data_type: 8, raw_data: vec![1], ..floats("w", &[1], &[]) }),
            "string data must not stand in raw_data",
        ),
        (
            with_tensor(TensorProto { segment, ..floats("w", &[0], &[]) }),
            "not supported: a tensor stored in segments",
        ),
    ];
    for (model, expected) in cases {
        assert_eq!(refused(&model), format!("graph > initializer \"w\": {expected}"));
    }
}

#[test]
fn declarations() {
    let declared = |dtype, dims: &[Dim<'_>]| {
        let mut graph = graph(vec![], &["x"]);
        graph.initializer = vec![floats("w", &[1], &[1.0])];
        graph.value_info = vec![info("w", dtype, dims)];
        model(graph)
    };
    let input = |dtype, dims: &[Dim<'_>]| {
        let mut graph = graph(vec![], &["x"]);
        graph.input = vec![info("x", dtype, dims)];
        model(graph)
    };
    let mut sparse = graph(vec![], &["x"]);
    sparse.sparse_initializer = vec![SparseTensorProto::new()];
    check(vec![
        (
            declared(I64, &[Dim::Size(1)]),
            "graph > initializer \"w\": declared as i64 [1], but the data is f32 [1]",
        ),
        (
            declared(F32, &[Dim::Size(2)]),
            "graph > initializer \"w\": declared as f32 [2], but the data is f32 [1]",
        ),
        (declared(F32, &[]), "graph > initializer \"w\": declared as f32 [], but the data is f32 [1]"),
        (input(F32, &[Dim::Size(3), Dim::Size(-7)]), "graph > input \"x\": axis 1 has the size -7"),
        (input(99, &[]), "graph > input \"x\": element type 99 is unknown"),
        (input(F32, &[Dim::Open; 65]), "graph > input \"x\": 65 axes, more than 64"),
        (model(sparse), "graph: not supported: sparse initializers"),
    ]);
    assert!(imported(&declared(F32, &[Dim::Named("n")])).is_ok());
}

fn nested(depth: usize) -> GraphProto {
    (0..depth).fold(branch(vec![node("Neg", &["x"], &["y"])], &["y"]), |body, _| {
        let attribute = vec![graph_attribute("body", body)];
        branch(vec![NodeProto { attribute, ..node("If", &[], &["y"]) }], &["y"])
    })
}

#[test]
fn deep_graphs() {
    let file = |depth| model(GraphProto { input: vec![untyped("x")], ..nested(depth) });
    assert!(imported(&file(20)).is_ok());
    let message = refused(&file(100));
    assert!(message.contains("recursion limit reached"), "{message}");
}

#[test]
fn errors_in_subgraphs_tell_the_way() {
    let body = branch(vec![node("Add", &["x", "nothing"], &["z"])], &["z"]);
    let outer =
        NodeProto { attribute: vec![graph_attribute("then_branch", body)], ..node("If", &["x"], &["y"]) };
    let expected = "graph > node \"make_y\" (If) > attribute \"then_branch\" > node \"make_z\" (Add) > input 1: \
                    no value is named \"nothing\"";
    assert_eq!(refused(&one_node(outer)), expected);
}

#[test]
fn malformed_subgraphs() {
    let with = |body: GraphProto| NodeProto {
        attribute: vec![graph_attribute("body", body)],
        ..node("Loop", &[], &["y"])
    };
    let inputs = |names: &[&str]| GraphProto {
        input: names.iter().map(|name| untyped(name)).collect(),
        ..branch(vec![], &["x"])
    };
    let constant = GraphProto {
        initializer: vec![floats("x", &[1], &[0.0])],
        ..branch(vec![node("Neg", &["x"], &["x"])], &["x"])
    };
    let hidden = branch(vec![node("Neg", &["x"], &["z"])], &["z"]);
    let escaped = vec![with(hidden.clone()), node("Neg", &["z"], &["w"])];
    let mut sibling = with(hidden);
    sibling.attribute.push(graph_attribute("other", branch(vec![], &["z"])));
    let at = "graph > node \"make_y\" (Loop) > attribute";
    let body = format!("{at} \"body\"");
    let unknown = "no value is named \"z\"";
    let cases = vec![
        (with(branch(vec![], &["z"])), format!("{body} > output \"z\": {unknown}")),
        (
            with(inputs(&["i", "i"])),
            format!("{body} > input \"i\": the name \"i\" is taken: it is an input already"),
        ),
        (with(inputs(&[""])), format!("{body} > input \"\": the name of an input is missing")),
        (
            with(constant),
            format!(
                "{body} > node \"make_x\" (Neg) > output \"x\": the name \"x\" is taken: it is an initializer already"
            ),
        ),
        (sibling, format!("{at} \"other\" > output \"z\": {unknown}")),
    ];
    for (node, expected) in cases {
        assert_eq!(refused(&one_node(node)), expected);
    }
    let expected = format!("graph > node \"make_w\" (Neg) > input 0: {unknown}");
    assert_eq!(refused(&model(graph(escaped, &["w"]))), expected);
}
