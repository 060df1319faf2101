//! Packed model files: round trips, hostile bytes, failing disks.

use std::{fs, fs::File, path::Path};

use bytes::Bytes;
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Contents, ModelWriter, PackedModel, WeightSpec, write::Stream};
use crate::host::{Fit, HostError, HostTensor, Orientation, PackedWeight, StoredMatrix, WeightFormat, pack};

fn packed(n: usize, k: usize, format: WeightFormat) -> PackedWeight {
    let values: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.7).sin()).collect();
    let tensor = HostTensor::from_f32(vec![n, k], &values).unwrap();
    let source = StoredMatrix::new(&tensor, Orientation::RowsFirst).unwrap();
    pack(&source, format, Fit::Search, &|_| ()).unwrap()
}

fn example() -> (Contents, Vec<(&'static str, PackedWeight)>) {
    let weights: Vec<_> = ["model/a", "b#c", "d", "e"]
        .into_iter()
        .zip(["m0e4-g32", "affine8-g64", "f16", "f32"])
        .enumerate()
        .map(|(i, (name, format))| (name, packed(5 + i, 40, format.parse().unwrap())))
        .collect();
    let spec = |(name, w): &(&str, PackedWeight)| WeightSpec {
        name: (*name).to_owned(),
        n: w.n(),
        k: w.k(),
        format: w.format(),
    };
    let contents = Contents {
        source: "a test".to_owned(),
        weights: weights.iter().map(spec).collect(),
        tensors: vec![
            ("norm".to_owned(), HostTensor::from_f32(vec![3], &[1.0, 2.0, 3.0]).unwrap()),
            ("scalar".to_owned(), HostTensor::from_i64(vec![], &[-5]).unwrap()),
        ],
        blobs: vec![
            ("graph.onnx".to_owned(), Bytes::from_static(b"\x08\x07graph")),
            ("tokenizer.json".to_owned(), Bytes::from_static(b"{}")),
            ("empty".to_owned(), Bytes::new()),
        ],
    };
    (contents, weights)
}

fn example_bytes() -> Vec<u8> {
    let (contents, weights) = example();
    Stream::write_all(Vec::new(), Path::new("memory"), contents, &weights).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.halfbyte");
    fs::write(&path, "what was there before").unwrap();
    let (contents, weights) = example();
    let mut writer = ModelWriter::create(&path, contents.clone()).unwrap();
    for (name, weight) in &weights {
        writer.write_weight(name, weight).unwrap();
    }
    let size = writer.size_bytes();
    assert_eq!(fs::read(&path).unwrap(), b"what was there before");
    writer.finish().unwrap();
    assert_eq!(files(folder.path()), ["model.halfbyte"]);

    let bytes = Bytes::from(fs::read(&path).unwrap());
    assert_eq!(bytes.len() as u64, size);
    assert_eq!(bytes, example_bytes(), "the same contents give the same bytes");
    let model = PackedModel::open(bytes.clone()).unwrap();
    assert_eq!(model.source(), "a test");
    assert!(model.weights().map(|(name, w)| (name, w.clone())).eq(weights.clone()));
    for (name, weight) in &weights {
        let found = model.weight(name).unwrap();
        assert_eq!(found, weight);
        let offset = found.weight().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(offset < bytes.len() && offset.is_multiple_of(16), "shared and aligned");
    }
    for (name, tensor) in &contents.tensors {
        assert_eq!(model.tensor(name), Some(tensor));
    }
    for (name, blob) in &contents.blobs {
        assert_eq!(model.blob(name), Some(blob));
    }
    assert!(model.weight("norm").is_none() && model.blob("norm").is_none());
}

#[test]
fn other_programs_read_it() {
    let bytes = example_bytes();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("graph.onnx").unwrap().data(), b"\x08\x07graph");
    assert_eq!(file.tensor("model/a#weight").unwrap().data(), &example().1[0].1.weight()[..]);
}

#[test]
fn nothing_is_left_of_an_unfinished_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let (contents, weights) = example();
    let mut writer = ModelWriter::create(&path, contents.clone()).unwrap();
    writer.write_weight(weights[0].0, &weights[0].1).unwrap();
    let error = writer.write_weight(weights[2].0, &weights[2].1).unwrap_err().to_string();
    assert!(error.contains("b#c") && error.contains("\"d\""), "{error}");
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, HostError::WriteOrder { .. }), "{error}");
    drop(ModelWriter::create(&path, contents).unwrap());
    assert!(files(folder.path()).is_empty());
}

#[test]
fn names_are_given_once() {
    let (mut contents, _) = example();
    contents.blobs.push(("model/a#scales".to_owned(), Bytes::new()));
    let error = ModelWriter::create(Path::new("unused"), contents).unwrap_err();
    assert_eq!(error, HostError::NameTwice { name: "model/a#scales".to_owned() });
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let (contents, _) = example();
    for path in ["/nonexistent/folder/model", "/"] {
        let error = ModelWriter::create(Path::new(path), contents.clone()).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains("bytes"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_bytes_needed() {
    let (contents, weights) = example();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let path = Path::new("/data/model.halfbyte");
    let error = Stream::write_all(std::io::BufWriter::new(full), path, contents, &weights).unwrap_err();
    let text = error.to_string();
    let needed = example_bytes().len();
    assert!(text.contains("/data/model.halfbyte") && text.contains(&needed.to_string()), "{text}");
    assert!(text.contains("No space left"), "{text}");
}

#[test]
fn every_cut_is_refused() {
    let bytes = Bytes::from(example_bytes());
    for end in 0..bytes.len() {
        assert!(PackedModel::open(bytes.slice(..end)).is_err(), "cut at {end}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let open = |bytes: Vec<u8>| PackedModel::open(bytes.into()).map(|_| ()).unwrap_err().to_string();
    assert!(open(b"GGUF\x03\0\0\0\0\0\0\0\0".to_vec()).contains("not a packed model"));
    let plain = safetensors::serialize::<&str, safetensors::tensor::TensorView<'_>, _>([], None).unwrap();
    assert!(open(plain).contains("without \"halfbyte\" metadata"));
    let mut bytes = example_bytes();
    let later = bytes.windows(7).position(|text| text == b"version").unwrap();
    let digit = bytes[later..].iter().position(|b| *b == b'1').unwrap();
    bytes[later + digit] = b'2';
    let error = open(bytes);
    assert!(error.contains("version 2") && error.contains("version 1"), "{error}");
}

/// A file with this header and data.
fn file(header: &str, data: &[u8]) -> Bytes {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat().into()
}

#[test]
fn hostile_headers_are_refused() {
    let index = |weights: &str| {
        let index = format!(
            r#"{{"version":1,"layout":"n4","source":"","weights":[{weights}],"tensors":[],"blobs":[]}}"#
        );
        format!(r#""__metadata__":{{"halfbyte":{index:?}}}"#)
    };
    let huge = 1u64 << 60;
    let many: Vec<String> = (0..16)
        .map(|i| {
            let (start, end) = (i * huge, (i + 1).saturating_mul(huge));
            format!(r#""t{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        })
        .collect();
    let weight = r#"{"name":"w","n":18446744073709551615,"k":8,"format":"m0e4-g32"}"#;
    let empty = r#""w#weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w#scales":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let of_rows = |n: &str| weight.replace("18446744073709551615", n);
    let cases = [
        ("{}".to_owned(), "without \"halfbyte\" metadata"),
        ("[".repeat(100_000), "its header is malformed"),
        (format!("{{{},{}}}", index(""), many.join(",")), "its header"),
        (format!("{{{},{empty}}}", index(weight)), "\"w\": a matrix [18446744073709551615, 8]"),
        (format!("{{{}}}", index(weight)), "\"w#weight\" is missing"),
        (format!("{{{},{empty}}}", index(&of_rows("4"))), "takes 16 bytes of weight, but 0 were given"),
        (format!("{{{},{empty}}}", index(&weight.replace("g32", "g33"))), "\"m0e4-g33\" is no weight format"),
        (
            format!("{{{},{}}}", index(weight), empty.replace("\"U8\"", "\"F64\"")),
            "\"w#weight\" is not a run",
        ),
        (format!("{{{},{empty}}}", index(&[of_rows("0"), of_rows("0")].join(","))), "has \"w\" twice"),
    ];
    for (header, wanted) in cases {
        let error = PackedModel::open(file(&header, &[])).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}\n  lacks {wanted}");
    }
    let valid = format!("{{{},{empty}}}", index(&of_rows("0")));
    assert!(PackedModel::open(file(&valid, &[])).is_ok());
    assert!(PackedModel::open(Bytes::from_static(&[255; 16])).is_err());
}

proptest! {
    #[test]
    fn flipped_bits_never_panic(flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0u32..8), 1..4)) {
        let mut bytes = example_bytes();
        for (index, bit) in flips {
            let at = index.index(bytes.len().min(2500));
            bytes[at] ^= 1 << bit;
        }
        if let Ok(model) = PackedModel::open(bytes.into()) {
            for (_, weight) in model.weights() {
                for row in 0..weight.n() {
                    prop_assert_eq!(weight.unpack_row(row).map(|w| w.len()), Some(weight.k()));
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in 0u64..200) {
        let with_length = [&length.to_le_bytes()[..], &bytes].concat();
        for bytes in [bytes, with_length] {
            prop_assert_eq!(PackedModel::open(bytes.into()).is_err(), true);
        }
    }
}
