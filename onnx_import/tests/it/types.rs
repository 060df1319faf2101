//! Declared types: sizes as expressions, unknown sizes, types that are no tensors.

use onnx_import::{DataType, Model};
use onnx_protobuf::type_proto::{Map, Optional, Sequence, Tensor};
use onnx_protobuf::{TypeProto, ValueInfoProto};
use symbolic::{Expr, Symbol};

use crate::build::{Dim, F32, I64, graph, imported, info, model, node, tensor_type};

fn sizes(model: &Model, name: &str) -> Vec<String> {
    let graph = &model.graph;
    let info = graph[graph.find(name).unwrap()].info.clone().unwrap();
    info.shape.unwrap().iter().map(ToString::to_string).collect()
}

fn with_input(dims: &[Dim<'_>]) -> Model {
    let mut graph = graph(vec![], &["x"]);
    graph.input = vec![info("x", F32, dims)];
    imported(&model(graph)).unwrap()
}

#[test]
fn sizes_are_expressions_over_symbols_of_the_model() {
    let mut graph = graph(vec![node("Relu", &["x"], &["y"])], &["y"]);
    graph.input = vec![info("x", F32, &[Dim::Named("batch"), Dim::Size(3), Dim::Named("past + seq")])];
    graph.output = vec![info("y", I64, &[Dim::Named(" seq + past "), Dim::Size(0)])];
    let model = imported(&model(graph)).unwrap();
    let (x, y) = (model.graph.find("x").unwrap(), model.graph.find("y").unwrap());
    let shape = |id| model.graph[id].info.clone().unwrap().shape.unwrap();
    assert_eq!(shape(x)[2], shape(y)[0]);
    assert_eq!(shape(x)[0], Expr::from(Symbol::new("batch")));
    assert_eq!(shape(x)[1], Expr::from(3));
    assert_eq!(model.graph[y].info.as_ref().unwrap().dtype, DataType::I64);
}

#[test]
fn text_that_is_no_expression_names_a_symbol() {
    let odd = "dim (odd) ]";
    let model = with_input(&[Dim::Named(odd), Dim::Named(odd), Dim::Named("9999999999999999999*a")]);
    let shape = model.graph[model.graph.inputs[0]].info.clone().unwrap().shape.unwrap();
    assert_eq!(shape[0].as_symbol().map(Symbol::name), Some(odd));
    assert_eq!(shape[0], shape[1]);
    assert!(shape[2].as_symbol().is_some());
}

#[test]
fn unknown_sizes_are_symbols_of_their_own() {
    let taken = "x?0";
    let model =
        with_input(&[Dim::Open, Dim::Named("?"), Dim::Named(""), Dim::Named("-1"), Dim::Named(taken)]);
    let mut names = sizes(&model, "x");
    assert_eq!(names[0], "\"x?0\"");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5);
}

#[test]
fn unknown_rank_and_missing_types() {
    let mut graph = graph(vec![node("F", &["x"], &["y"])], &["y"]);
    let mut rankless = TypeProto::new();
    rankless.set_tensor_type(Tensor { elem_type: F32, ..Default::default() });
    graph.input[0].type_ = Some(rankless).into();
    let model = imported(&model(graph)).unwrap();
    let info = model.graph[model.graph.inputs[0]].info.clone().unwrap();
    assert_eq!((info.dtype, info.shape), (DataType::F32, None));
    assert_eq!(model.graph[model.graph.outputs[0]].info, None);
}

#[test]
fn other_types_are_told_in_words() {
    let tensor = || Some(tensor_type(F32, &[])).into();
    let mut sequence = TypeProto::new();
    sequence.set_sequence_type(Sequence { elem_type: tensor(), ..Default::default() });
    let mut optional = TypeProto::new();
    let elem_type = Some(sequence.clone()).into();
    optional.set_optional_type(Optional { elem_type, ..Default::default() });
    let mut map = TypeProto::new();
    map.set_map_type(Map { key_type: I64, value_type: tensor(), ..Default::default() });
    let cases = [
        (sequence, "sequence(tensor(f32))"),
        (optional, "optional(sequence(tensor(f32)))"),
        (map, "map(i64, tensor(f32))"),
    ];
    for (proto, words) in cases {
        let mut graph = graph(vec![], &["x"]);
        graph.input =
            vec![ValueInfoProto { name: "x".to_owned(), type_: Some(proto).into(), ..Default::default() }];
        let model = imported(&model(graph)).unwrap();
        let value = &model.graph[model.graph.inputs[0]];
        assert_eq!((value.other_type.as_deref(), &value.info), (Some(words), &None));
    }
}
