//! Truncated, flipped and random bytes: an error or another model, never a panic.

use bytes::Bytes;
use onnx_import::{LeaveAbsent, import, tensor_from_pb};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{ModelProto, NodeProto};
use proptest::prelude::*;

use crate::build::{
    Dim, F32, branch, call, encode, entries, floats, function, graph, graph_attribute, info, int, model,
    node, reference,
};

/// A small model with something of everything.
pub fn everything() -> ModelProto {
    let body = branch(vec![node("Add", &["x", "w"], &["z"])], &["z"]);
    let branching =
        NodeProto { attribute: vec![graph_attribute("then_branch", body)], ..node("If", &["x"], &["m"]) };
    let attribute = vec![reference("axis", "axis", AttributeType::INT)];
    let softmax = NodeProto { attribute, ..node("Softmax", &["a"], &["c"]) };
    let mut soft = function("Soft", &["a"], &["c"], vec![softmax]);
    soft.attribute_proto = vec![int("axis", -1)];
    let mut graph = graph(vec![branching, call("Soft", &["m"], &["y"])], &["y"]);
    graph.input = vec![info("x", F32, &[Dim::Named("past + seq"), Dim::Open, Dim::Size(2)])];
    let mut outside = floats("o", &[1], &[]);
    outside.data_location = onnx_protobuf::tensor_proto::DataLocation::EXTERNAL.into();
    outside.external_data = entries(&[("location", "w.bin"), ("offset", "4")]);
    graph.initializer = vec![floats("w", &[2], &[1.0, 2.0]), outside];
    ModelProto { functions: vec![soft], ..model(graph) }
}

#[test]
fn truncated_at_every_byte() {
    let bytes = encode(&everything());
    assert!(import(bytes.clone(), &mut LeaveAbsent).is_ok());
    let whole = |len: usize| import(bytes.slice(..len), &mut LeaveAbsent).is_ok();
    let complete = (0..bytes.len()).filter(|len| whole(*len)).count();
    assert!(complete < bytes.len() / 4, "{complete} of {} truncations look whole", bytes.len());
}

#[test]
fn every_byte_replaced() {
    let bytes = encode(&everything());
    for at in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7F, 0x80, 0xFF, bytes[at] ^ 0x08, bytes[at].wrapping_add(1)] {
            let mut damaged = bytes.to_vec();
            damaged[at] = value;
            let _ = import(damaged.into(), &mut LeaveAbsent);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_flips(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = encode(&everything()).to_vec();
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let _ = import(bytes.into(), &mut LeaveAbsent);
    }

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = import(bytes.clone(), &mut LeaveAbsent);
        let _ = tensor_from_pb(bytes);
    }
}
