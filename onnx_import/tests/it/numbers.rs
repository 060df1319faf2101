//! Tensors read as plain numbers.

use bytes::Bytes;
use onnx_import::{DataType, Tensor};

fn tensor(dtype: DataType, len: u64, bytes: &[u8]) -> Tensor {
    Tensor::new(dtype, vec![len], Bytes::copy_from_slice(bytes)).unwrap()
}

#[test]
fn integers() {
    let cases: &[(DataType, &[u8], &[i64])] = &[
        (DataType::I64, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &[-2]),
        (DataType::I32, &[0, 0, 0, 0x80], &[i32::MIN as i64]),
        (DataType::U32, &[0, 0, 0, 0x80], &[0x8000_0000]),
        (DataType::I16, &[0xFF, 0xFF, 1, 0], &[-1, 1]),
        (DataType::U16, &[0xFF, 0xFF], &[65535]),
        (DataType::I8, &[0x80, 0x7F], &[-128, 127]),
        (DataType::U8, &[0x80], &[128]),
        (DataType::Bool, &[0, 1, 7], &[0, 1, 1]),
        (DataType::U4, &[0xF1, 0x02], &[1, 15, 2]),
        (DataType::I4, &[0xF1, 0x08], &[1, -1, -8]),
        (DataType::U2, &[0b11_10_01_00, 0b10], &[0, 1, 2, 3, 2]),
        (DataType::I2, &[0b11_10_01_00, 0b10], &[0, 1, -2, -1, -2]),
        (DataType::U64, &[5, 0, 0, 0, 0, 0, 0, 0], &[5]),
    ];
    for (dtype, bytes, expected) in cases {
        let tensor = tensor(*dtype, expected.len() as u64, bytes);
        assert_eq!(tensor.to_i64s().unwrap(), *expected, "{dtype}");
        let floats: Vec<f32> = expected.iter().map(|i| *i as f32).collect();
        assert_eq!(tensor.to_f32s().unwrap(), floats, "{dtype}");
    }
}

#[test]
fn floats() {
    let cases: &[(DataType, &[u8], &[f32])] = &[
        (DataType::F32, &[0, 0, 0xC0, 0x3F], &[1.5]),
        (DataType::F64, &[0, 0, 0, 0, 0, 0, 0xF8, 0xBF], &[-1.5]),
        (DataType::F16, &[0, 0x3E, 1, 0], &[1.5, 5.960_464_5e-8]),
        (DataType::Bf16, &[0xC0, 0x3F], &[1.5]),
        (DataType::F8E4M3Fn, &[0x3C], &[1.5]),
        (DataType::F8E5M2, &[0x3E], &[1.5]),
        (DataType::F4E2M1, &[0xD3, 0x07], &[1.5, -3.0, 6.0]),
        (DataType::F8E8M0, &[128], &[2.0]),
    ];
    for (dtype, bytes, expected) in cases {
        let tensor = tensor(*dtype, expected.len() as u64, bytes);
        assert_eq!(tensor.to_f32s().unwrap(), *expected, "{dtype}");
        assert!(tensor.to_i64s().is_err(), "{dtype}");
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let message = tensor(DataType::U64, 1, &[0xFF; 8]).to_i64s().unwrap_err().to_string();
    assert_eq!(message, "element 0 is 18446744073709551615, which is no i64");
    let message = tensor(DataType::Complex64, 1, &[0; 8]).to_f32s().unwrap_err().to_string();
    assert_eq!(message, "a complex64 tensor cannot be read as floats");
    let message = Tensor::new(DataType::I4, vec![3], Bytes::from_static(&[0])).unwrap_err().to_string();
    assert_eq!(message, "i4 of [3] takes 2 bytes, but 1 are there");
    assert!(Tensor::new(DataType::String, vec![0], Bytes::new()).is_err());
}
