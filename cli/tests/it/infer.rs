//! `infer` on tensors in files.

use std::{fs, path::Path};

use crate::{finish, models, program, refuse, succeed, text};

fn npy(path: &Path, dtype: &str, shape: &str, data: &[u8]) {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn named_tensors_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::arithmetic(&at("model.onnx"));
    npy(&at("x.npy"), "<f4", "(2, 3)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    npy(&at("y.npy"), "<f4", "(2, 3)", &floats(&[0.5; 6]));
    let (x, y) = (format!("x={}", text(&at("x.npy"))), format!("y={}", text(&at("y.npy"))));
    let model = at("model.onnx");
    let args = ["infer", text(&model), "--input", &x, "--input", &y];
    let said = succeed(&args);
    assert!(said.contains("z: f32 [2, 3]") && said.contains("[3, 5, 7, 9, 11, 13] from 3 to 13"), "{said}");

    let out = at("out");
    succeed(&[&args[..], &["--output-dir", text(&out)]].concat());
    let wanted = floats(&[3.0, 5.0, 7.0, 9.0, 11.0, 13.0]);
    assert!(fs::read(out.join("z.npy")).unwrap().ends_with(&wanted));

    succeed(&[&args[..], &["--output-dir", text(&out), "--pb"]].concat());
    let again = format!("x={}", text(&out.join("z.pb")));
    let said = succeed(&["infer", text(&model), "--input", &again, "--input", &y]);
    assert!(said.contains("[7, 11, 15, 19, 23, 27]"), "{said}");
}

#[test]
fn compiled_pipelines_are_kept_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::arithmetic(&at("model.onnx"));
    npy(&at("x.npy"), "<f4", "(1, 3)", &floats(&[0.0; 3]));
    let (model, cache) = (at("model.onnx"), at("cache"));
    let (x, y) = (format!("x={}", text(&at("x.npy"))), format!("y={}", text(&at("x.npy"))));
    let run = || {
        let mut command = program();
        command.env("XDG_CACHE_HOME", &cache);
        finish(command.args(["infer", text(&model), "--input", &x, "--input", &y]))
    };
    let kept = || fs::read_dir(cache.join("halfbyte")).unwrap().count();
    assert_eq!((run().code, kept()), (Some(0), 2), "a file of wgpu's pipelines, and one of ours");
    let again = run();
    assert_eq!((again.code, again.err.as_str(), kept()), (Some(0), "", 2));
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "no folder").unwrap();
    assert_eq!(run().code, Some(0), "a cache is not needed");
}

#[test]
fn what_does_not_fit_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::arithmetic(&at("model.onnx"));
    npy(&at("wide.npy"), "<f4", "(2, 4)", &floats(&[0.0; 8]));
    npy(&at("two.npy"), "<f4", "(2, 3)", &floats(&[0.0; 6]));
    npy(&at("three.npy"), "<f4", "(3, 3)", &floats(&[0.0; 9]));
    npy(&at("ints.npy"), "<i8", "(2, 3)", &[0; 48]);
    npy(&at("short.npy"), "<f4", "(2, 3)", &[0; 20]);
    fs::write(at("no.npy"), "hello").unwrap();
    let given = |name: &str, file: &str| format!("{name}={}", text(&at(file)));
    let model = at("model.onnx");
    let model = text(&model);
    let table: [(&[String], &[&str]); 8] = [
        (&[given("x", "two.npy")], &["input \"y\"", "f32[rows, 3]", "is not given"]),
        (&[given("x", "wide.npy"), given("y", "two.npy")], &["input \"x\" has shape [2, 4]", "f32[rows, 3]"]),
        (&[given("x", "ints.npy"), given("y", "two.npy")], &["input \"x\" is i64", "f32[rows, 3]"]),
        (&[given("x", "two.npy"), given("y", "three.npy")], &["rows"]),
        (&[given("q", "two.npy")], &["no input \"q\"", "\"x\"", "\"y\""]),
        (&[given("x", "no.npy")], &["no.npy", "no .npy file"]),
        (&[given("x", "short.npy")], &["short.npy", "takes 24 bytes, but 20 were given"]),
        (&[given("x", "absent.npy")], &["absent.npy", "No such file"]),
    ];
    for (inputs, parts) in table {
        let mut args = vec!["infer", model];
        args.extend(inputs.iter().flat_map(|i| ["--input", i.as_str()]));
        refuse(&args, 1, parts);
    }
    refuse(&["infer", model, "--input", "x"], 2, &["NAME=FILE"]);
    let twice = given("x", "two.npy");
    refuse(&["infer", model, "--input", &twice, "--input", &twice], 2, &["\"x\" is given twice"]);
}
