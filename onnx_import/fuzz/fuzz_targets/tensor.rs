//! Any bytes as a tensor: an error, or a tensor that survives being written and read again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onnx_import::{tensor_from_pb, tensor_to_pb};

fuzz_target!(|data: &[u8]| {
    let Ok((name, tensor)) = tensor_from_pb(Bytes::copy_from_slice(data)) else { return };
    let _ = tensor.to_i64s();
    if let Ok(floats) = tensor.to_f32s() {
        assert_eq!(floats.len() as u64, tensor.len());
    }
    let written = tensor_to_pb(&name, &tensor).expect("what was read can be written");
    assert_eq!(tensor_from_pb(written.into()).expect("what was written can be read"), (name, tensor));
});
