//! Tensors of every type and storage come out as the bytes that went in.

use std::collections::HashSet;

use bytes::Bytes;
use onnx_import::{
    Attribute, DataType, ExternalFiles, ImportError, LeaveAbsent, SafeLocation, Tensor, TensorData, import,
    strip, tensor_from_pb, tensor_to_pb,
};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{AttributeProto, Message, NodeProto, TensorProto};
use proptest::prelude::*;

use crate::build::{attribute, encode, entries, floats, graph, model, node};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Storage {
    Raw,
    Typed,
    External,
}

/// A tensor's type, sizes and elements in memory.
#[derive(Clone, Debug)]
struct Case {
    dtype: DataType,
    dims: Vec<u64>,
    bytes: Vec<u8>,
}

fn case() -> impl Strategy<Value = Case> {
    let types: Vec<DataType> =
        DataType::ALL.iter().copied().filter(|dtype| *dtype != DataType::String).collect();
    let shape = proptest::collection::vec(0u64..5, 0..4);
    (proptest::sample::select(types), shape).prop_flat_map(|(dtype, dims)| {
        let len = dtype.size_bytes(dims.iter().product()).unwrap() as usize;
        let byte = if dtype == DataType::Bool { 0..=1u8 } else { 0..=255u8 };
        proptest::collection::vec(byte, len).prop_map(move |bytes| Case { dtype, dims: dims.clone(), bytes })
    })
}

/// Fills the typed field, by ONNX's rules for each type.
fn fill_typed(proto: &mut TensorProto, case: &Case) {
    let words = |size: usize| case.bytes.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let four = |b: &Vec<u8>| <[u8; 4]>::try_from(b.as_slice()).unwrap();
    let eight = |b: &Vec<u8>| <[u8; 8]>::try_from(b.as_slice()).unwrap();
    match case.dtype {
        DataType::F32 | DataType::Complex64 => {
            proto.float_data = words(4).iter().map(|b| f32::from_le_bytes(four(b))).collect();
        }
        DataType::F64 | DataType::Complex128 => {
            proto.double_data = words(8).iter().map(|b| f64::from_le_bytes(eight(b))).collect();
        }
        DataType::I64 => proto.int64_data = words(8).iter().map(|b| i64::from_le_bytes(eight(b))).collect(),
        DataType::U64 => proto.uint64_data = words(8).iter().map(|b| u64::from_le_bytes(eight(b))).collect(),
        DataType::U32 => {
            proto.uint64_data = words(4).iter().map(|b| u32::from_le_bytes(four(b)).into()).collect();
        }
        DataType::I32 => proto.int32_data = words(4).iter().map(|b| i32::from_le_bytes(four(b))).collect(),
        DataType::I16 => {
            proto.int32_data = words(2).iter().map(|b| i16::from_le_bytes([b[0], b[1]]).into()).collect();
        }
        DataType::I8 => proto.int32_data = case.bytes.iter().map(|b| i32::from(*b as i8)).collect(),
        DataType::F16 | DataType::Bf16 | DataType::U16 => {
            proto.int32_data = words(2).iter().map(|b| u16::from_le_bytes([b[0], b[1]]).into()).collect();
        }
        _ => proto.int32_data = case.bytes.iter().map(|b| i32::from(*b)).collect(),
    }
}

fn proto(case: &Case, storage: Storage) -> TensorProto {
    let mut proto = TensorProto {
        name: "w".to_owned(),
        data_type: case.dtype.to_onnx(),
        dims: case.dims.iter().map(|dim| *dim as i64).collect(),
        ..Default::default()
    };
    match storage {
        Storage::Raw => proto.raw_data = case.bytes.clone(),
        Storage::Typed => fill_typed(&mut proto, case),
        Storage::External => {
            let length = case.bytes.len().to_string();
            proto.data_location = DataLocation::EXTERNAL.into();
            proto.external_data = entries(&[
                ("location", "sub/w.bin"),
                ("offset", "3"),
                ("length", &length),
                ("checksum", "x"),
            ]);
        }
    }
    proto
}

/// One file in memory, `sub/w.bin`: three bytes, the data, one byte.
struct OneFile(Bytes);

impl OneFile {
    fn new(case: &Case) -> Self {
        Self([&[9, 9, 9], case.bytes.as_slice(), &[9]].concat().into())
    }
}

impl ExternalFiles for OneFile {
    fn open(&mut self, location: &SafeLocation) -> Result<Option<Bytes>, ImportError> {
        assert_eq!(location.as_str(), "sub/w.bin");
        Ok(Some(self.0.clone()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_type_and_storage_as_initializer_and_attribute(
        case in case(),
        storage in proptest::sample::select(vec![Storage::Raw, Storage::Typed, Storage::External]),
    ) {
        let tensor = proto(&case, storage);
        let value = AttributeProto { t: Some(tensor.clone()).into(), ..attribute("value", AttributeType::TENSOR) };
        let constant = NodeProto { attribute: vec![value], ..node("Constant", &[], &["c"]) };
        let mut graph = graph(vec![constant], &["c"]);
        graph.initializer = vec![tensor];
        let model = import(encode(&model(graph)), &mut OneFile::new(&case)).unwrap();
        let graph = &model.graph;
        let expected = Tensor::new(case.dtype, case.dims.clone(), case.bytes.clone().into()).unwrap();
        prop_assert_eq!(graph[graph.find("w").unwrap()].data.as_ref(), Some(&expected));
        prop_assert_eq!(graph.nodes[0].attributes.get("value"), Some(&Attribute::Tensor(expected)));
    }

    #[test]
    fn files_of_single_tensors(case in case(), typed in any::<bool>()) {
        let storage = if typed { Storage::Typed } else { Storage::Raw };
        let (name, tensor) = tensor_from_pb(encode(&proto(&case, storage))).unwrap();
        prop_assert_eq!(&name, "w");
        prop_assert_eq!(&tensor.data, &TensorData::Bytes(case.bytes.clone().into()));
        let written = tensor_to_pb("w", &tensor).unwrap();
        prop_assert_eq!(TensorProto::parse_from_bytes(&written).unwrap(), proto(&case, Storage::Raw));
    }
}

#[test]
fn string_tensors() {
    let texts: Vec<Vec<u8>> = vec![b"a".to_vec(), vec![], vec![0xFF]];
    let proto = TensorProto { data_type: 8, dims: vec![3], string_data: texts.clone(), ..Default::default() };
    let (_, tensor) = tensor_from_pb(encode(&proto)).unwrap();
    assert_eq!(tensor.data, TensorData::Strings(texts.into_iter().map(Bytes::from).collect()));
    let written = TensorProto::parse_from_bytes(&tensor_to_pb("", &tensor).unwrap()).unwrap();
    assert_eq!(written, proto);
    assert!(tensor.to_f32s().is_err());
    assert!(tensor.bytes().is_err());
}

#[test]
fn raw_weights_share_the_memory_of_the_file() {
    let case = Case { dtype: DataType::U8, dims: vec![4096], bytes: vec![7; 4096] };
    let mut graph = graph(vec![], &["w"]);
    graph.initializer = vec![proto(&case, Storage::Raw)];
    let file = encode(&model(graph));
    let range = file.as_ptr_range();
    let model = import(file.clone(), &mut OneFile(Bytes::new())).unwrap();
    let weight = model.graph[model.graph.outputs[0]].data.clone().unwrap();
    assert!(range.contains(&weight.bytes().unwrap().as_ptr()));
}

#[test]
fn a_stripped_model_lacks_the_named_data_and_nothing_else() {
    let mut graph = graph(vec![node("Add", &["v", "w"], &["y"])], &["y"]);
    graph.initializer = vec![floats("v", &[2], &[1.0, 2.0]), floats("w", &[2], &[3.0, 4.0])];
    let file = encode(&model(graph));
    let mut whole = import(file.clone(), &mut LeaveAbsent).unwrap();
    let stripped = import(strip(file, &HashSet::from(["w"])).unwrap().into(), &mut LeaveAbsent).unwrap();
    let weight = whole.graph.find("w").unwrap().0 as usize;
    let data = stripped.graph.values[weight].data.clone().unwrap();
    assert!(matches!(data.data, TensorData::Absent(_)));
    whole.graph.values[weight].data = Some(data);
    assert_eq!(stripped, whole);
}

#[test]
fn numbers_of_types_match_the_schema() {
    for dtype in DataType::ALL {
        assert_eq!(DataType::from_onnx(dtype.to_onnx()).unwrap(), *dtype);
    }
    assert!(DataType::from_onnx(0).is_err());
    assert!(DataType::from_onnx(27).is_err());
    assert!(DataType::from_onnx(-1).is_err());
}
