//! No bytes make the reader panic, and no prefix of a file passes for the file.

use crate::build::{ARRAY, File, STRING, array, text};
use gguf::Gguf;
use proptest::prelude::{any, proptest};

fn sample() -> Vec<u8> {
    File::default()
        .key("name", STRING, &text("x"))
        .key("tokens", ARRAY, &array(STRING, 2, &[text("a"), text("b")].concat()))
        .key("deep", ARRAY, &array(ARRAY, 1, &array(0, 2, &[1, 2])))
        .f32s("a", &[4, 2], &[1.0; 8])
        .tensor("b", &[32, 2], 2, &[7; 36])
        .tensor("c", &[256], 14, &[9; 210])
        .bytes()
}

/// Reads all there is to read.
fn exercise(bytes: &[u8]) {
    let Ok(file) = Gguf::parse(bytes) else { return };
    for (key, _) in file.metadata() {
        let _ = (file.strings(key), file.f32s(key), file.i64s(key), file.u64(key));
    }
    for tensor in file.tensors() {
        let _ = tensor.to_f32();
        let _ = tensor.affine_row(0).map(Iterator::count);
    }
}

#[test]
fn every_prefix_is_refused() {
    let bytes = sample();
    assert!(Gguf::parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Gguf::parse(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&tail);
        exercise(&[b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", &tail[..]].concat());
    }

    #[test]
    fn changed_files_do_not_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        exercise(&bytes);
    }
}
