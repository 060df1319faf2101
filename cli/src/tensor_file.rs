//! Tensors in files: NumPy's .npy, and ONNX's TensorProto in .pb.

use std::{fs, path::Path};

use bytes::Bytes;
use engine::{dtype::DType, host::HostTensor, import};
use npyz::{Endianness, NpyHeader, Order, TypeChar, TypeStr, WriteOptions, WriterBuilder};
use onnx_import::{DataType, Tensor, tensor_from_pb, tensor_to_pb};

use crate::error::CliError;

/// Reads a tensor, by the file name's ending.
pub fn read(path: &Path) -> Result<HostTensor, CliError> {
    let bytes = fs::read(path).map_err(CliError::file(path))?;
    let read = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => read_npy(&bytes),
        Some("pb") => read_pb(bytes.into()),
        _ => Err("only .npy and .pb files hold tensors".to_owned()),
    };
    read.map_err(|problem| CliError::other(format!("{}: {problem}", path.display())))
}

/// Writes a tensor as .npy, or as .pb where the name ends so. NumPy has no bf16 and no 4-bit integers: they are
/// written as f32, i8 and u8.
pub fn write(path: &Path, name: &str, tensor: &HostTensor) -> Result<(), CliError> {
    let bytes = match path.extension().and_then(|e| e.to_str()) {
        Some("pb") => write_pb(name, tensor),
        _ => write_npy(tensor),
    };
    let bytes = bytes.map_err(|problem| CliError::other(format!("{}: {problem}", path.display())))?;
    fs::write(path, bytes).map_err(CliError::file(path))
}

fn read_pb(bytes: Bytes) -> Result<HostTensor, String> {
    let (_, tensor) = tensor_from_pb(bytes).map_err(|e| e.to_string())?;
    import::host_tensor(&tensor).map_err(|e| e.to_string())
}

fn write_pb(name: &str, tensor: &HostTensor) -> Result<Vec<u8>, String> {
    let wanted = tensor.dtype().to_string();
    let dtype = DataType::ALL.iter().find(|d| d.to_string() == wanted);
    let dtype = *dtype.ok_or_else(|| format!("ONNX has no element type {wanted}"))?;
    let dims = tensor.shape().iter().map(|d| *d as u64).collect();
    let tensor = Tensor::new(dtype, dims, tensor.data().clone()).map_err(|e| e.to_string())?;
    tensor_to_pb(name, &tensor).map_err(|e| e.to_string())
}

fn read_npy(bytes: &[u8]) -> Result<HostTensor, String> {
    let mut rest = bytes;
    let header = NpyHeader::from_reader(&mut rest).map_err(|e| format!("it is no .npy file: {e}"))?;
    let npyz::DType::Plain(kind) = header.dtype() else {
        return Err("it holds records, not numbers".to_owned());
    };
    if kind.endianness() == Endianness::Big {
        return Err(format!(
            "its numbers are big-endian ({kind}): save it with .astype(a.dtype.newbyteorder('<'))"
        ));
    }
    let dtype = numpy_type(&kind).ok_or_else(|| format!("elements of type {kind} are no tensor's"))?;
    let shape: Vec<usize> = header.shape().iter().map(|d| *d as usize).collect();
    let tensor = HostTensor::new(dtype, shape, Bytes::copy_from_slice(rest)).map_err(|e| e.to_string())?;
    match header.order() {
        Order::C => Ok(tensor),
        Order::Fortran => row_major(&tensor),
    }
}

/// The tensor whose elements stand with the first index innermost.
fn row_major(tensor: &HostTensor) -> Result<HostTensor, String> {
    let (shape, width) = (tensor.shape().to_vec(), tensor.dtype().bits() / 8);
    let mut data = Vec::with_capacity(tensor.data().len());
    for mut at in 0..tensor.len() {
        let mut from = 0;
        let mut stride = tensor.len();
        for size in shape.iter().rev() {
            stride /= size;
            from += at % size * stride;
            at /= size;
        }
        data.extend_from_slice(&tensor.data()[from * width..][..width]);
    }
    HostTensor::new(tensor.dtype(), shape, data.into()).map_err(|e| e.to_string())
}

fn numpy_type(kind: &TypeStr) -> Option<DType> {
    Some(match (kind.type_char(), kind.size_field()) {
        (TypeChar::Bool, 1) => DType::Bool,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        _ => return None,
    })
}

fn write_npy(tensor: &HostTensor) -> Result<Vec<u8>, String> {
    let tensor = match tensor.dtype() {
        DType::I4 | DType::I2 => tensor.cast(DType::I8),
        DType::U4 | DType::U2 => tensor.cast(DType::U8),
        dtype if dtype == DType::BF16 || dtype.minifloat().is_some() => tensor.cast(DType::F32),
        _ => tensor.clone(),
    };
    let kind = match tensor.dtype() {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F64 => "<f8",
        _ => "<f4",
    };
    let kind: TypeStr = kind.parse().map_err(|e| format!("{e}"))?;
    let shape: Vec<u64> = tensor.shape().iter().map(|d| *d as u64).collect();
    let header = WriteOptions::new_header_only().dtype(npyz::DType::Plain(kind)).shape(&shape);
    let mut bytes = header.writer(Vec::new()).write_header_only().map_err(|e| e.to_string())?;
    bytes.extend_from_slice(tensor.data());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{DType, HostTensor, read_npy, read_pb, row_major, write_npy, write_pb};

    #[test]
    fn every_type_survives_both_files() {
        for dtype in DType::ALL {
            let tensor = HostTensor::from_i64(vec![2, 3], &[0, 1, 2, 3, 4, 5]).unwrap().cast(dtype);
            assert_eq!(read_pb(write_pb("x", &tensor).unwrap().into()).unwrap(), tensor, "{dtype}");
            let back = read_npy(&write_npy(&tensor).unwrap()).unwrap();
            assert_eq!((back.shape(), back.to_f64s()), (tensor.shape(), tensor.to_f64s()), "{dtype}");
        }
    }

    #[test]
    fn column_major_files_are_turned() {
        // [[0, 1, 2], [3, 4, 5]] with the first index innermost.
        let stored = HostTensor::from_i64(vec![2, 3], &[0, 3, 1, 4, 2, 5]).unwrap();
        assert_eq!(row_major(&stored).unwrap().to_i64s(), [0, 1, 2, 3, 4, 5]);
        let scalar = HostTensor::from_i64(vec![], &[7]).unwrap();
        assert_eq!(row_major(&scalar).unwrap(), scalar);
        let empty = HostTensor::from_i64(vec![2, 0], &[]).unwrap();
        assert_eq!(row_major(&empty).unwrap(), empty);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let big = b"\x93NUMPY\x01\x00\x46\x00{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }            \n\0\0\0\0";
        for (bytes, part) in [(&b"zebra"[..], "no .npy file"), (&big[..], "big-endian")] {
            let error = read_npy(bytes).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let whole = write_npy(&HostTensor::from_i64(vec![3], &[1, 2, 3]).unwrap()).unwrap();
        let error = read_npy(&whole[..whole.len() - 1]).unwrap_err();
        assert!(error.contains("takes 24 bytes, but 23 were given"), "{error}");
    }
}
