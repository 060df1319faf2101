//! Decodes the ways in which a `TensorProto` stores its elements: raw, in typed fields, or in another file.

use bytes::{BufMut, Bytes, BytesMut};

use crate::external::{ExternalFiles, SafeLocation};
use crate::proto::{StringStringEntryProto, TensorProto};
use crate::tensor::{ExternalRange, TensorData, element_count, size_bytes};
use crate::{DataType, ImportError, Tensor};

const EXTERNAL: i32 = 1;

/// Decodes a tensor. Raw and external data are shared, typed fields are converted; nothing is allocated by the size that
/// the tensor claims to have.
pub(crate) fn tensor(proto: &TensorProto, files: &mut dyn ExternalFiles) -> Result<Tensor, ImportError> {
    let dtype = DataType::from_onnx(proto.data_type.unwrap_or(0))?;
    let dims = sizes(&proto.dims)?;
    if proto.segment.is_some() {
        return Err(ImportError::Unsupported { what: "a tensor stored in segments" });
    }
    if proto.data_location == Some(EXTERNAL) {
        return external(proto, dtype, dims, files);
    }
    let typed = only_field(proto, dtype)?;
    match &proto.raw_data {
        Some(raw) if dtype != DataType::String && !typed => Tensor::new(dtype, dims, raw.clone()),
        Some(raw) if !raw.is_empty() => Err(ImportError::DataField { dtype, field: "raw_data" }),
        _ if dtype == DataType::String => strings(proto, dims),
        _ => from_fields(proto, dtype, dims),
    }
}

fn sizes(dims: &[i64]) -> Result<Vec<u64>, ImportError> {
    if dims.len() > Tensor::MAX_RANK {
        return Err(ImportError::Rank { rank: dims.len(), limit: Tensor::MAX_RANK });
    }
    let size = |(axis, &size)| u64::try_from(size).map_err(|_| ImportError::NegativeSize { axis, size });
    dims.iter().enumerate().map(size).collect()
}

/// Whether typed fields hold data; an error when one does that is not for the type.
fn only_field(proto: &TensorProto, dtype: DataType) -> Result<bool, ImportError> {
    let own = field_of(dtype);
    let filled = [
        ("float_data", !proto.float_data.is_empty()),
        ("int32_data", !proto.int32_data.is_empty()),
        ("string_data", !proto.string_data.is_empty()),
        ("int64_data", !proto.int64_data.is_empty()),
        ("double_data", !proto.double_data.is_empty()),
        ("uint64_data", !proto.uint64_data.is_empty()),
    ];
    match filled.iter().find(|(field, filled)| *filled && *field != own) {
        Some((field, _)) => Err(ImportError::DataField { dtype, field }),
        None => Ok(filled.iter().any(|(_, filled)| *filled)),
    }
}

/// The field that ONNX gives to a type.
pub(crate) fn field_of(dtype: DataType) -> &'static str {
    match dtype {
        DataType::F32 | DataType::Complex64 => "float_data",
        DataType::F64 | DataType::Complex128 => "double_data",
        DataType::I64 => "int64_data",
        DataType::U32 | DataType::U64 => "uint64_data",
        DataType::String => "string_data",
        _ => "int32_data",
    }
}

fn strings(proto: &TensorProto, dims: Vec<u64>) -> Result<Tensor, ImportError> {
    let dtype = DataType::String;
    let (expected, found) = (element_count(dtype, &dims)?, proto.string_data.len() as u64);
    if expected != found {
        return Err(ImportError::DataLength { dtype, dims, expected, found, unit: "strings" });
    }
    Ok(Tensor { dtype, dims, data: TensorData::Strings(proto.string_data.clone()) })
}

fn from_fields(proto: &TensorProto, dtype: DataType, dims: Vec<u64>) -> Result<Tensor, ImportError> {
    let mut raw = BytesMut::new();
    match field_of(dtype) {
        "float_data" => proto.float_data.iter().for_each(|&v| raw.put_f32_le(v)),
        "double_data" => proto.double_data.iter().for_each(|&v| raw.put_f64_le(v)),
        "int64_data" => proto.int64_data.iter().for_each(|&v| raw.put_i64_le(v)),
        "uint64_data" if dtype == DataType::U64 => proto.uint64_data.iter().for_each(|&v| raw.put_u64_le(v)),
        "uint64_data" => {
            for (index, &value) in proto.uint64_data.iter().enumerate() {
                let narrow = u32::try_from(value);
                raw.put_u32_le(narrow.map_err(|_| out_of_range(dtype, index, value.into()))?);
            }
        }
        _ => put_ints(&mut raw, dtype, &proto.int32_data)?,
    }
    Tensor::new(dtype, dims, raw.freeze())
}

/// `int32_data` holds integers as numbers, floats as their bits, and types under 8 bits a byte at a time.
fn put_ints(raw: &mut BytesMut, dtype: DataType, values: &[i32]) -> Result<(), ImportError> {
    let bits = dtype.bits().max(8);
    let (min, max) = match dtype {
        DataType::Bool => (0, 1),
        DataType::I8 | DataType::I16 | DataType::I32 => (-(1i64 << (bits - 1)), (1 << (bits - 1)) - 1),
        _ => (0, (1 << bits) - 1),
    };
    for (index, &value) in values.iter().enumerate() {
        if !(min..=max).contains(&i64::from(value)) {
            return Err(out_of_range(dtype, index, value.into()));
        }
        raw.put_int_le(value.into(), bits as usize / 8);
    }
    Ok(())
}

fn out_of_range(dtype: DataType, index: usize, value: i128) -> ImportError {
    ImportError::OutOfRange { dtype, index, value }
}

fn external(
    proto: &TensorProto,
    dtype: DataType,
    dims: Vec<u64>,
    files: &mut dyn ExternalFiles,
) -> Result<Tensor, ImportError> {
    if dtype == DataType::String {
        return Err(ImportError::DataField { dtype, field: "an external file" });
    }
    if only_field(proto, dtype)? || proto.raw_data.as_ref().is_some_and(|raw| !raw.is_empty()) {
        return Err(ImportError::DataField { dtype, field: "an external file and the model too" });
    }
    let expected = size_bytes(dtype, &dims)?;
    let location =
        entry(&proto.external_data, "location")?.ok_or(ImportError::Missing { what: "location" })?;
    let location = SafeLocation::new(location)?;
    let offset = number(&proto.external_data, "offset")?.unwrap_or(0);
    let length = number(&proto.external_data, "length")?.unwrap_or(expected);
    if length != expected {
        return Err(ImportError::DataLength { dtype, dims, expected, found: length, unit: "bytes" });
    }
    let data = match files.open(&location)? {
        Some(file) => TensorData::Bytes(range(&file, &location, offset, length)?),
        None => TensorData::Absent(ExternalRange { location, offset, length }),
    };
    Ok(Tensor { dtype, dims, data })
}

fn range(file: &Bytes, location: &SafeLocation, offset: u64, length: u64) -> Result<Bytes, ImportError> {
    let past_end = || ImportError::ExternalRange {
        location: location.to_string(),
        offset,
        length,
        size: file.len() as u64,
    };
    let end = offset.checked_add(length).filter(|&end| end <= file.len() as u64).ok_or_else(past_end)?;
    let start = usize::try_from(offset).map_err(|_| past_end())?;
    let end = usize::try_from(end).map_err(|_| past_end())?;
    Ok(file.slice(start..end))
}

fn entry<'p>(
    entries: &'p [StringStringEntryProto],
    key: &'static str,
) -> Result<Option<&'p str>, ImportError> {
    let mut values = entries.iter().filter(|entry| entry.key() == key).map(StringStringEntryProto::value);
    let (first, second) = (values.next(), values.next());
    match second {
        Some(value) => {
            Err(ImportError::ExternalEntry { key, value: value.to_owned(), problem: "is given twice" })
        }
        None => Ok(first),
    }
}

fn number(entries: &[StringStringEntryProto], key: &'static str) -> Result<Option<u64>, ImportError> {
    let Some(text) = entry(entries, key)? else { return Ok(None) };
    let problem = "is no number of bytes";
    let parse = |_| ImportError::ExternalEntry { key, value: text.to_owned(), problem };
    text.parse().map(Some).map_err(parse)
}
