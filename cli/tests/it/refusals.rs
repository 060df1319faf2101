//! What bad input prints: where the fault is and what to do, on standard error, with exit code 1, or 2 for wrong usage.

use std::{fs, path::Path};

use crate::{finish, halfbyte, models, program, refuse, refused, text};

#[test]
fn files_that_are_no_models() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("garbage.onnx"), [0x9c; 500]).unwrap();
    let whole = fs::read(models::fixture("model.onnx")).unwrap();
    fs::write(at("short.onnx"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("empty.onnx"), "").unwrap();
    let table: [(&str, &[&str]); 4] = [
        ("absent.onnx", &["No such file"]),
        ("garbage.onnx", &["import"]),
        ("short.onnx", &["import"]),
        ("empty.onnx", &["import"]),
    ];
    let (out, prompt) = (at("out"), ["--prompt", "x"]);
    for (name, parts) in table {
        let path = at(name);
        let parts = [&[name], parts].concat();
        refuse(&[&["run", text(&path)][..], &prompt].concat(), 1, &parts);
        refuse(&["inspect", text(&path)], 1, &parts);
        refuse(&["quantize", text(&path), "-o", text(&out)], 1, &parts);
    }
}

#[test]
fn packed_files_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let packed = folder.path().join("tiny.halfbyte");
    crate::succeed(&["quantize", text(&model), "-o", text(&packed)]);
    let whole = fs::read(&packed).unwrap();
    let args = |path: &Path| ["run".to_owned(), text(path).to_owned(), "--prompt".to_owned(), "x".to_owned()];
    let run = |path: &Path| finish(program().args(args(path)));
    fs::write(&packed, &whole[..whole.len() - 1000]).unwrap();
    refused(&run(&packed), 1, &["tiny.halfbyte", "pack the model again"]);
    let mut changed = whole.clone();
    changed[60] ^= 0x55;
    fs::write(&packed, changed).unwrap();
    refused(&run(&packed), 1, &["tiny.halfbyte", "pack the model again"]);
    fs::write(&packed, whole).unwrap();
    let mut formats = args(&packed).to_vec();
    formats.extend(["--format".to_owned(), "f16".to_owned()]);
    refused(&finish(program().args(formats)), 2, &["is packed with --format m0e4-g32"]);
    let format = ["infer", text(&packed), "--format", "f16"];
    refuse(&format, 2, &["tiny.halfbyte is packed", "leave --format away"]);
    let again = folder.path().join("again.halfbyte");
    refuse(&["quantize", text(&packed), "-o", text(&again)], 2, &["packed already"]);
}

#[test]
fn models_that_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    models::unsupported(&at("odd.onnx"));
    models::without_data(&at("hollow.onnx"));
    models::arithmetic(&at("sum.onnx"));
    let run = |name: &str, parts: &[&str]| {
        let path = at(name);
        refuse(&["infer", text(&path), "--input", "x=/nonexistent.npy"], 1, &["nonexistent"]);
        refuse(&["quantize", text(&path), "-o", text(&at("out"))], 1, parts)
    };
    run("odd.onnx", &["odd.onnx", "2 of the model's operators", "Frobnicate", "Twiddle", "make_a"]);
    run("hollow.onnx", &["hollow.onnx", "weights.bin"]);
    run("sum.onnx", &["sum.onnx", "no token input", "halfbyte infer"]);
}

#[test]
fn prompts_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let model = text(&model);
    let long = "x".repeat(200);
    refuse(
        &["run", model, "--prompt", &long],
        1,
        &["the prompt has 209 tokens", "holds 96", "shorten the prompt"],
    );
    refuse(&["run", model, "--prompt", "Hello", "--context", "10"], 1, &["14 tokens", "raise --context"]);
    refuse(&["run", model, "--prompt", "x", "--context", "500"], 2, &["--context 500", "96"]);
    refuse(
        &["bench", model, "--prefill", "90", "--decode", "8", "--depth", "90"],
        2,
        &["180 tokens", "is 96"],
    );
    refuse(&["run", model, "--prompt", "", "--raw"], 2, &["the prompt is empty"]);
    fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    refuse(&["run", model, "--prompt", "x"], 1, &["chat template", "--raw"]);
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    refuse(&["run", model, "--prompt", "x"], 1, &["tokenizer.json"]);
}

#[test]
fn no_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let hidden = |args: &[&str]| {
        let mut command = program();
        command.env("VK_ICD_FILENAMES", "/nonexistent.json").env("VK_DRIVER_FILES", "/nonexistent.json");
        finish(command.args(args))
    };
    for args in [&["run", text(&model), "--prompt", "x"][..], &["devices"]] {
        refused(&hidden(args), 1, &["no GPU was found", "apt-get install mesa-vulkan-drivers"]);
    }
    let said = halfbyte(&["devices", "--adapter", "toaster"]);
    refused(&said, 1, &["no GPU matches \"toaster\"", "there are"]);
}

#[test]
fn wrong_usage() {
    for (args, parts) in [
        (&["run", "m.onnx"][..], &["--prompt"][..]),
        (&["run", "m.onnx", "--prompt", "a", "--prompt-file", "b"], &["cannot be used with"]),
        (&["run", "m.onnx", "--prompt", "a", "--format", "m0e4"], &["m0e4-g32"]),
        (&["walk"], &["unrecognized subcommand"]),
    ] {
        refuse(args, 2, parts);
    }
}
