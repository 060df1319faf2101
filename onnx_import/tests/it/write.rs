//! What a writer makes is read back as it was meant.

use bytes::Bytes;
use onnx_import::{Attribute, DataType, GraphWriter, LeaveAbsent, Setting, Size, TensorData, import};
use symbolic::{Expr, Symbol};

#[test]
fn graphs_are_read_back() {
    let mut writer = GraphWriter::new("g");
    writer.input("x", DataType::F32, &[Size::Named("rows"), Size::Fixed(2)]);
    writer.floats("gain", &[2], &[1.0, -0.5]);
    writer.integers("axes", &[1], &[-1]);
    writer.absent("matrix", DataType::F32, &[2, 1 << 20]);
    let settings = [("axis", Setting::Int(-1)), ("epsilon", Setting::Float(0.25))];
    writer.node("RMSNormalization", &["x", "gain"], &["normal"], &settings);
    writer.node("Gelu", &["normal"], &["bent"], &[("approximate", Setting::Text("tanh"))]);
    writer.node("MatMul", &["bent", "matrix"], &["product"], &[]);
    writer.node("Transpose", &["product"], &["turned"], &[("perm", Setting::Ints(&[1, 0]))]);
    writer.node("Unsqueeze", &["turned", "axes"], &["y"], &[]);
    writer.output("y", DataType::F32, &[Size::Fixed(1 << 20), Size::Named("rows"), Size::Fixed(1)]);
    let model = import(Bytes::from(writer.finish("here", 23)), &mut LeaveAbsent).unwrap();

    assert_eq!((model.producer.as_str(), model.opsets.get("")), ("here", Some(&23)));
    let graph = &model.graph;
    let value = |name: &str| &graph[graph.find(name).unwrap()];
    let shape = value("x").info.as_ref().unwrap().shape.clone().unwrap();
    assert_eq!(shape, [Expr::from(&Symbol::new("rows")), Expr::from(2)]);
    let bytes = |name: &str| value(name).data.as_ref().unwrap().bytes().unwrap().to_vec();
    assert_eq!(bytes("gain"), [1f32, -0.5].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(bytes("axes"), (-1i64).to_le_bytes());
    let matrix = value("matrix").data.as_ref().unwrap();
    assert_eq!(matrix.dims, [2, 1 << 20]);
    assert!(matches!(matrix.data, TensorData::Absent(_)));
    let operators: Vec<&str> = graph.nodes.iter().map(|node| node.op_type.as_str()).collect();
    assert_eq!(operators, ["RMSNormalization", "Gelu", "MatMul", "Transpose", "Unsqueeze"]);
    let found = |node: usize, name: &str| graph.nodes[node].attributes[name].clone();
    assert_eq!(found(0, "axis"), Attribute::Int(-1));
    assert_eq!(found(0, "epsilon"), Attribute::Float(0.25));
    assert_eq!(found(1, "approximate"), Attribute::String(b"tanh".to_vec()));
    assert_eq!(found(3, "perm"), Attribute::Ints(vec![1, 0]));
}
