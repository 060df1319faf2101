//! Imports point one way: between crates as the design's drawing shows, and inside `engine` from right to left.

use std::{collections::BTreeMap, fs, path::Path};

/// Which of our crates each crate may name.
const CRATES: &[(&str, &[&str])] = &[
    ("symbolic", &[]),
    ("shaders", &[]),
    ("devices", &[]),
    ("gguf", &[]),
    ("text", &["gguf"]),
    ("onnx_import", &["symbolic"]),
    ("engine", &["symbolic", "shaders", "devices", "onnx_import"]),
    ("bench", &["engine", "devices", "onnx_import"]),
    ("cli", &["engine", "bench", "devices", "gguf", "text", "onnx_import", "symbolic"]),
];

/// The layers of `engine/src`; a file may name its own layer and those before it.
const LAYERS: &[&[&str]] = &[
    &["dtype", "host", "processors", "sampler"],
    &["error"],
    &["graph", "op"],
    &["ops"],
    &["import", "infer", "passes"],
    &["plan"],
    &["language", "weights", "open", "record"],
    &["gpu"],
    &["session"],
    &["infer_once"],
    &["qualify"],
    &["tune"],
    &["tensor_session"],
    &["encoder"],
    &["generate"],
];

fn rust_files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn crates_depend_as_drawn() {
    let root = tests::root();
    let mut wrong = Vec::new();
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
        let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in normal.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let ours = CRATES.iter().any(|(n, _)| *n == dependency);
            if ours && !allowed.contains(&dependency) {
                wrong.push(format!("{name}/Cargo.toml: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these dependencies point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_gpu_folder_names_wgpu() {
    let root = tests::root();
    let mut files = Vec::new();
    for (name, _) in CRATES {
        rust_files(&root.join(name).join("src"), &mut files);
    }
    let mut wrong = Vec::new();
    for file in files.iter().filter(|f| !f.starts_with(root.join("engine/src/gpu"))) {
        let text = fs::read_to_string(file).unwrap();
        for (at, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("wgpu::") || code.contains("wgpu_hal") {
                wrong.push(format!("{}:{}: {line}", file.display(), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "only engine/src/gpu may name wgpu:\n{}", wrong.join("\n"));
}

#[test]
fn copy_commands_are_recorded_where_they_are_counted() {
    let mut files = Vec::new();
    rust_files(&tests::root().join("engine/src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let commands = ["copy_buffer_to_", "copy_texture_to_", "cmd_copy_", "DownloadBuffer"];
        let count: usize = commands.iter().map(|c| text.matches(c).count()).sum();
        if count > 0 {
            found.push((file.file_name().unwrap().to_string_lossy().into_owned(), count));
        }
    }
    found.sort();
    assert_eq!(
        found,
        [("buffer.rs".to_owned(), 1), ("texture.rs".to_owned(), 1)],
        "copy commands are recorded by Gpu::copy, and for textures by Gpu::texture_of, which count them"
    );
}

#[test]
fn engine_layers_import_to_the_left() {
    let source = tests::root().join("engine/src");
    let layer: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(i, names)| names.iter().map(move |n| (*n, i))).collect();
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let own = first.trim_end_matches(".rs");
        if own == "lib" {
            continue;
        }
        let own = *layer.get(own).unwrap_or_else(|| panic!("{own} has no layer in this test"));
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in imports(code) {
            if layer.get(line.as_str()).is_some_and(|l| *l > own) {
                wrong.push(format!("{}:{at}: names crate::{line}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these imports point to a later layer:\n{}", wrong.join("\n"));
}

/// Every module named behind `crate::`, with its line; groups in braces are read to their end.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + 7..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && (c.is_alphabetic() || c == '_') => {
                        found.push((line, word(&group[i..])));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.push((line, word(rest)));
        }
    }
    found
}
