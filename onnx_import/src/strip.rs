//! A model's graph without its weights, for files that carry the weights in another form.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;

use crate::ImportError;
use crate::pb::decode;
use crate::proto::{ModelProto, StringStringEntryProto, TensorProto};

/// Where data that is left out is said to be; it is never opened.
const ELSEWHERE: &str = "stripped";
const EXTERNAL: i32 = 1;

/// The model's bytes with the data of the named initializers taken out: they become external tensors of a file that does
/// not exist, to be read with [`LeaveAbsent`](crate::LeaveAbsent).
///
/// # Errors
/// When the bytes are no model.
pub fn strip(bytes: Bytes, names: &HashSet<&str>) -> Result<Vec<u8>, ImportError> {
    let mut model: ModelProto = decode("ModelProto", bytes)?;
    if let Some(graph) = &mut model.graph {
        for tensor in &mut graph.initializer {
            if tensor.name.as_deref().is_some_and(|n| names.contains(n)) {
                *tensor = absent(tensor);
            }
        }
    }
    Ok(model.encode_to_vec())
}

/// The same without its data, which is said to be in another file.
pub(crate) fn absent(tensor: &TensorProto) -> TensorProto {
    let entry = StringStringEntryProto { key: Some("location".into()), value: Some(ELSEWHERE.into()) };
    TensorProto {
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        name: tensor.name.clone(),
        external_data: vec![entry],
        data_location: Some(EXTERNAL),
        ..TensorProto::default()
    }
}
