//! External data: found in the model's folder, and nowhere else.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use onnx_import::{FolderFiles, ImportError, LeaveAbsent, Model, SafeLocation, TensorData, import};
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{ModelProto, TensorProto};
use tempfile::TempDir;

use crate::build::{encode, entries, floats, graph, model};

type Entries<'a> = &'a [(&'a str, &'a str)];

/// Two floats in an external file.
fn with_entries(pairs: Entries<'_>) -> ModelProto {
    let weight = TensorProto {
        data_location: DataLocation::EXTERNAL.into(),
        external_data: entries(pairs),
        ..floats("w", &[2], &[])
    };
    let mut graph = graph(vec![], &["w"]);
    graph.initializer = vec![weight];
    model(graph)
}

/// `model/weights.bin` with 16 bytes, `secret.bin` beside the folder.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("model/sub")).unwrap();
    fs::write(dir.path().join("model/weights.bin"), (0..16).collect::<Vec<u8>>()).unwrap();
    fs::write(dir.path().join("model/sub/more.bin"), [7; 8]).unwrap();
    fs::write(dir.path().join("secret.bin"), [0; 64]).unwrap();
    dir
}

fn import_from(dir: &TempDir, model: &ModelProto) -> Result<Model, ImportError> {
    let read = |path: &Path| fs::read(path).map(Bytes::from);
    import(encode(model), &mut FolderFiles::new(dir.path().join("model"), read))
}

fn weight(model: &Model) -> Vec<u8> {
    model.graph[model.graph.outputs[0]].data.as_ref().unwrap().bytes().unwrap().to_vec()
}

#[test]
fn ranges_of_files_in_the_folder() {
    let dir = folder();
    let cases: &[(Entries<'_>, Vec<u8>)] = &[
        (&[("location", "weights.bin"), ("offset", "8"), ("length", "8")], (8..16).collect()),
        (&[("location", "weights.bin"), ("length", "8")], (0..8).collect()),
        (&[("location", "./weights.bin"), ("offset", "3")], (3..11).collect()),
        (&[("location", "sub/more.bin")], vec![7; 8]),
    ];
    for (entries, expected) in cases {
        assert_eq!(weight(&import_from(&dir, &with_entries(entries)).unwrap()), *expected, "{entries:?}");
    }
}

#[test]
fn attacks_and_mistakes() {
    let dir = folder();
    let cases: &[(Entries<'_>, &str)] = &[
        (&[], "location is missing"),
        (&[("location", "")], "location is \"\", which is empty"),
        (&[("location", "/etc/passwd")], "absolute path"),
        (&[("location", "../secret.bin")], "leads out of the model's folder"),
        (&[("location", "sub/../../secret.bin")], "leads out of the model's folder"),
        (&[("location", "..\\secret.bin")], "has a character that is not allowed"),
        (&[("location", "C:secret.bin")], "has a character that is not allowed"),
        (&[("location", "a\0b")], "has a character that is not allowed"),
        (&[("location", "missing.bin")], "the external file \"missing.bin\" cannot be read"),
        (&[("location", "sub")], "the external file \"sub\" is not a regular file"),
        (&[("location", "weights.bin"), ("location", "x")], "location is \"x\", which is given twice"),
        (&[("location", "weights.bin"), ("offset", "-1")], "offset is \"-1\", which is no number of bytes"),
        (&[("location", "weights.bin"), ("offset", "1e3")], "which is no number of bytes"),
        (
            &[("location", "weights.bin"), ("offset", "9")],
            "bytes 9..17 of \"weights.bin\" are wanted, but the file has 16",
        ),
        (
            &[("location", "weights.bin"), ("offset", "18446744073709551615")],
            "bytes 18446744073709551615..18446744073709551623 of \"weights.bin\" are wanted, but the file has 16",
        ),
        (&[("location", "weights.bin"), ("length", "4")], "f32 of [2] takes 8 bytes, but 4 are there"),
    ];
    for (entries, expected) in cases {
        let message = import_from(&dir, &with_entries(entries)).unwrap_err().to_string();
        assert!(message.starts_with("graph > initializer \"w\": "), "{message}");
        assert!(message.contains(expected), "{entries:?}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn links_may_not_leave_the_folder() {
    use std::os::unix::fs::symlink;
    let dir = folder();
    let inside = dir.path().join("model");
    symlink(dir.path().join("secret.bin"), inside.join("out.bin")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("weights.bin", inside.join("in.bin")).unwrap();
    symlink("loop.bin", inside.join("loop.bin")).unwrap();
    for location in ["out.bin", "up/secret.bin"] {
        let error = import_from(&dir, &with_entries(&[("location", location)])).unwrap_err();
        assert!(matches!(error.cause(), ImportError::ExternalFile { .. }), "{error}");
    }
    let error = import_from(&dir, &with_entries(&[("location", "loop.bin")])).unwrap_err();
    assert!(matches!(error.cause(), ImportError::ExternalIo { .. }), "{error}");
    let model = import_from(&dir, &with_entries(&[("location", "in.bin")])).unwrap();
    assert_eq!(weight(&model), (0..8).collect::<Vec<u8>>());
}

#[test]
fn each_file_is_opened_once() {
    let dir = folder();
    let mut graph = graph(vec![], &["w"]);
    let first = with_entries(&[("location", "weights.bin")]).graph.unwrap().initializer[0].clone();
    graph.initializer = vec![TensorProto { name: "v".to_owned(), ..first.clone() }, first];
    let mut opened = 0;
    let read = |path: &Path| {
        opened += 1;
        fs::read(path).map(Bytes::from)
    };
    let mut files = FolderFiles::new(dir.path().join("model"), read);
    import(encode(&model(graph)), &mut files).unwrap();
    drop(files);
    assert_eq!(opened, 1);
}

#[test]
fn data_that_is_not_read_is_absent() {
    let proto = with_entries(&[("location", "elsewhere.bin"), ("offset", "40")]);
    let model = import(encode(&proto), &mut LeaveAbsent).unwrap();
    let weight = model.graph[model.graph.outputs[0]].data.clone().unwrap();
    let TensorData::Absent(range) = &weight.data else { panic!("{weight:?}") };
    assert_eq!((range.location.as_str(), range.offset, range.length), ("elsewhere.bin", 40, 8));
    assert_eq!(weight.len(), 2);
    let message = weight.to_f32s().unwrap_err().to_string();
    assert_eq!(message, "the data is in \"elsewhere.bin\", which was not read");
    assert!(SafeLocation::new("..").is_err());
    let outside = with_entries(&[("location", "../elsewhere.bin")]);
    assert!(import(encode(&outside), &mut LeaveAbsent).is_err());
}
