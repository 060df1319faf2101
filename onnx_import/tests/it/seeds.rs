//! The seeds of the fuzz targets are what the encoder makes today; `HALFBYTE_SEEDS=fuzz/corpus` writes them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use onnx_import::DataType;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, ModelProto, NodeProto, TensorProto};

use crate::build::{
    attribute, branch, call, encode, floats, function, graph, graph_attribute, imported, int, model, node,
    reference, strings,
};
use crate::damaged::everything;

fn nested() -> ModelProto {
    let inner = branch(vec![node("Add", &["x", "later"], &["z"])], &["z"]);
    let middle = NodeProto { attribute: vec![graph_attribute("body", inner)], ..node("If", &[], &["m"]) };
    let loops = graph_attribute("body", branch(vec![middle], &["m"]));
    let nodes = vec![
        NodeProto { attribute: vec![loops], ..node("Loop", &[], &["y"]) },
        node("Neg", &["x"], &["later"]),
    ];
    model(graph(nodes, &["y"]))
}

fn calls() -> ModelProto {
    let attribute =
        vec![reference("axis", "axis", AttributeType::INT), reference("k", "k", AttributeType::INTS)];
    let body = NodeProto { attribute, ..node("Topk", &["a", "b"], &["c", "d"]) };
    let mut inner = function("I", &["a", "b"], &["c", "a"], vec![body]);
    inner.attribute = strings(&["axis"]);
    inner.attribute_proto =
        vec![AttributeProto { ints: vec![1, 2], ..self::attribute("k", AttributeType::INTS) }];
    let passed = NodeProto { attribute: vec![int("axis", -1)], ..call("I", &["a"], &["c", "e"]) };
    let outer = function("O", &["a"], &["c"], vec![passed]);
    ModelProto { functions: vec![inner, outer], ..model(graph(vec![call("O", &["x"], &["y"])], &["y"])) }
}

fn tensor(dtype: DataType) -> TensorProto {
    let bytes = dtype.size_bytes(3).map_or(0, |len| len as usize);
    let string_data = if bytes == 0 { vec![b"a".to_vec(); 3] } else { vec![] };
    let raw_data = (0..bytes as u8).collect();
    TensorProto { data_type: dtype.to_onnx(), raw_data, string_data, ..floats("t", &[3], &[]) }
}

fn seeds() -> Vec<(String, Bytes)> {
    let models = [("everything", everything()), ("nested", nested()), ("calls", calls())];
    let mut seeds: Vec<(String, Bytes)> = Vec::new();
    for (name, model) in models {
        imported(&model).unwrap();
        seeds.push((format!("import/seed_{name}"), encode(&model)));
    }
    for dtype in DataType::ALL {
        seeds.push((format!("tensor/seed_{dtype}"), encode(&tensor(*dtype))));
    }
    let ints = TensorProto { data_type: 6, int32_data: vec![1, -1, 1 << 30], ..floats("t", &[3], &[]) };
    seeds.push(("tensor/seed_typed".to_owned(), encode(&ints)));
    seeds
}

#[test]
fn seeds_of_the_fuzz_targets_are_current() {
    let write = std::env::var_os("HALFBYTE_SEEDS");
    for (name, bytes) in seeds() {
        if let Some(folder) = &write {
            let path = Path::new(folder).join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &bytes).unwrap();
        }
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(&name);
        assert_eq!(fs::read(&committed).unwrap(), bytes, "{name}");
    }
}
