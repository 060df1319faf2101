//! Models to run the program on.

use std::{fs, path::Path};

use onnx_protobuf::{
    GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto::Dimension, type_proto,
};

/// The ONNX number of f32.
pub const F32: i32 = 1;

fn input(name: &str, dims: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| {
        let mut dim = Dimension::new();
        match text.parse() {
            Ok(size) => dim.set_dim_value(size),
            Err(_) => dim.set_dim_param((*text).to_owned()),
        }
        dim
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect(), ..Default::default() };
    let mut kind = TypeProto::new();
    kind.set_tensor_type(type_proto::Tensor {
        elem_type: F32,
        shape: Some(shape).into(),
        ..Default::default()
    });
    ValueInfoProto { name: name.to_owned(), type_: Some(kind).into(), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("make_{output}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|i| (*i).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

fn model(graph: GraphProto) -> Vec<u8> {
    let opset = OperatorSetIdProto { version: 20, ..Default::default() };
    let model = ModelProto {
        ir_version: 9,
        opset_import: vec![opset],
        graph: Some(graph).into(),
        ..Default::default()
    };
    model.write_to_bytes().unwrap()
}

/// `z = (x + y) * 2`, `x` and `y` of `[rows, 3]`, the 2 a constant.
pub fn arithmetic(path: &Path) {
    let two = TensorProto {
        name: "two".to_owned(),
        data_type: F32,
        dims: vec![1],
        raw_data: 2f32.to_le_bytes().to_vec(),
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node("Add", &["x", "y"], "sum"), node("Mul", &["sum", "two"], "z")],
        input: vec![input("x", &["rows", "3"]), input("y", &["rows", "3"])],
        output: vec![input("z", &["rows", "3"])],
        initializer: vec![two],
        ..Default::default()
    };
    fs::write(path, model(graph)).unwrap();
}

/// Nodes of two operators that no engine has, and one that this one has.
pub fn unsupported(path: &Path) {
    let nodes =
        vec![node("Frobnicate", &["x"], "a"), node("Relu", &["a"], "b"), node("Twiddle", &["b"], "c")];
    let graph = GraphProto {
        node: nodes,
        input: vec![input("x", &["3"])],
        output: vec![input("c", &["3"])],
        ..Default::default()
    };
    fs::write(path, model(graph)).unwrap();
}

/// `z = x + w`, the data of `w` in a file that is not there.
pub fn without_data(path: &Path) {
    let entry = onnx_protobuf::StringStringEntryProto {
        key: "location".to_owned(),
        value: "weights.bin".to_owned(),
        ..Default::default()
    };
    let weight = TensorProto {
        name: "w".to_owned(),
        data_type: F32,
        dims: vec![3],
        data_location: onnx_protobuf::tensor_proto::DataLocation::EXTERNAL.into(),
        external_data: vec![entry],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node("Add", &["x", "w"], "z")],
        input: vec![input("x", &["3"])],
        output: vec![input("z", &["3"])],
        initializer: vec![weight],
        ..Default::default()
    };
    fs::write(path, model(graph)).unwrap();
}

/// The tiny language model of the repository, with a tokenizer whose token ids are ASCII codes.
pub fn language(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("model.onnx");
    fs::copy(fixture("model.onnx"), &path).unwrap();
    fs::write(folder.join("tokenizer.json"), ascii_tokenizer()).unwrap();
    let config = r#"{"chat_template":
        "{% for m in messages %}({{ m.role }}: {{ m.content }}){% endfor %}{% if add_generation_prompt %}({% endif %}"}"#;
    fs::write(folder.join("tokenizer_config.json"), config).unwrap();
    fs::write(folder.join("config.json"), r#"{"max_position_embeddings": 96}"#).unwrap();
    path
}

pub fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny_llama/dynamo20").join(name)
}

/// The int64 numbers of an .npy file of the fixture, which stand behind a header of 128 bytes.
pub fn expected(name: &str) -> Vec<u8> {
    let bytes = fs::read(fixture("expected").join(name)).unwrap();
    bytes[128..].chunks(8).map(|c| i64::from_le_bytes(c.try_into().unwrap()) as u8).collect()
}

/// One token for each ASCII code, named as byte-level tokenizers name bytes.
fn ascii_tokenizer() -> String {
    let name = |byte: u8| match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        33..=126 => char::from(byte).to_string(),
        127 => "\u{121}".to_owned(),
        _ => char::from_u32(0x100 + u32::from(byte)).unwrap().to_string(),
    };
    let vocabulary: Vec<String> = (0..128).map(|b| format!("\"{}\": {b}", name(b))).collect();
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [],
        "pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}},
        "decoder": {{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}},
        "model": {{"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {{{}}}, "merges": []}}}}"#,
        vocabulary.join(", ")
    )
}
