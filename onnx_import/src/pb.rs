//! Single tensors in files of their own, as ONNX's test data has them.

use bytes::Bytes;
use prost::Message;

use crate::proto::TensorProto;
use crate::storage;
use crate::tensor::TensorData;
use crate::{ImportError, LeaveAbsent, Tensor};

/// Decodes the bytes of a `TensorProto` (a `.pb` file) to its name and value.
///
/// # Errors
/// When the bytes are none, the data does not fit type and sizes, or it lies in another file.
pub fn tensor_from_pb(bytes: Bytes) -> Result<(String, Tensor), ImportError> {
    let proto = decode::<TensorProto>("TensorProto", bytes)?;
    let tensor = storage::tensor(&proto, &mut LeaveAbsent)?;
    match &tensor.data {
        TensorData::Absent(range) => Err(ImportError::Absent { location: range.location.to_string() }),
        _ => Ok((proto.name.unwrap_or_default(), tensor)),
    }
}

/// Encodes a tensor as a `TensorProto`, its data raw (strings in their own field).
///
/// # Errors
/// When the data was left in an external file, or a size does not fit in `i64`.
pub fn tensor_to_pb(name: &str, tensor: &Tensor) -> Result<Vec<u8>, ImportError> {
    let too_large = |_| ImportError::TooLarge { dtype: tensor.dtype, dims: tensor.dims.clone() };
    let dims = tensor.dims.iter().map(|&dim| i64::try_from(dim).map_err(too_large));
    let mut proto = TensorProto {
        dims: dims.collect::<Result<_, _>>()?,
        data_type: Some(tensor.dtype.to_onnx()),
        name: Some(name.to_owned()),
        ..TensorProto::default()
    };
    match &tensor.data {
        TensorData::Strings(strings) => proto.string_data = strings.clone(),
        _ => proto.raw_data = Some(tensor.bytes()?.clone()),
    }
    Ok(proto.encode_to_vec())
}

/// Decodes one protobuf message, sharing the memory of `bytes`.
pub(crate) fn decode<M: Message + Default>(message: &'static str, bytes: Bytes) -> Result<M, ImportError> {
    M::decode(bytes).map_err(|source| ImportError::Decode { message, source })
}
