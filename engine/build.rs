//! Lists `src/ops/` and writes the operator table, so that adding an operator is adding one file.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/ops");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src/ops");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rs") && path.file_stem().is_some_and(|s| s != "mod") {
            names.extend(path.file_stem().map(|s| s.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    let modules: String = names
        .iter()
        .map(|n| format!("#[path = {:?}]\npub mod {n};\n", folder.join(format!("{n}.rs"))))
        .collect();
    let entries: String = names.iter().map(|n| format!("    &{n}::OPERATOR,\n")).collect();
    let text = format!(
        "{modules}\n/// Every operator, in the order of its file's name.\npub static OPERATORS: &[&Operator] = &[\n{entries}];\n"
    );
    let out = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("operators.rs");
    fs::write(out, text)
}
