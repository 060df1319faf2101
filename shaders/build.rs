//! Embeds the kernel files and validates every variant of every kernel, so that a wrong one fails the build.

#![allow(dead_code)] // parts of the crate are shared with this script, which does not use all of them

use std::{collections::HashSet, env, error::Error, fmt::Write as _, fs, path::Path};

#[path = "src/axes.rs"]
mod axes;
#[path = "src/condition.rs"]
mod condition;
#[path = "src/error.rs"]
mod error;
#[path = "src/template.rs"]
mod template;
#[path = "src/validate.rs"]
mod validate;

type Files = Vec<(String, String)>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=wgsl");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("wgsl");
    let out = env::var("OUT_DIR")?;
    let (kernels, imports) = (read(&folder)?, read(&folder.join("lib"))?);
    let seen = Path::new(&out).join("validated");
    let mut validated: HashSet<u64> =
        fs::read_to_string(&seen).unwrap_or_default().lines().filter_map(|l| l.parse().ok()).collect();
    let mut errors = Vec::new();
    for (name, text) in &kernels {
        if let Err(e) = check(name, text, &borrow(&kernels), &borrow(&imports), &mut validated) {
            errors.push(e.to_string());
        }
    }
    fs::write(seen, validated.iter().map(|h| format!("{h}\n")).collect::<String>())?;
    if !errors.is_empty() {
        return Err(errors.join("\n").into());
    }
    let text = table("KERNELS", &folder, &kernels)? + &table("IMPORTS", &folder.join("lib"), &imports)?;
    Ok(fs::write(Path::new(&out).join("kernels.rs"), text)?)
}

/// `(name, text)` of every `.wgsl` file directly in `folder`, sorted.
fn read(folder: &Path) -> Result<Files, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(stem), true) = (path.file_stem(), path.extension().is_some_and(|e| e == "wgsl")) {
            files.push((stem.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

fn borrow(files: &Files) -> Vec<(&str, &str)> {
    files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect()
}

/// Validates the variants of one kernel, passing over text that an earlier build has validated.
fn check(
    name: &str,
    text: &str,
    kernels: &[(&str, &str)],
    imports: &[(&str, &str)],
    validated: &mut HashSet<u64>,
) -> Result<(), error::ShaderError> {
    let axes = axes::Axes::parse(&template::kernel_path(name), text)?;
    for choices in axes.variants()? {
        let rendered = template::render(template::Library { kernels, imports }, name, &axes, &choices)?;
        let hash = fnv(rendered.source.as_bytes());
        if !validated.contains(&hash) {
            validate::validate(&rendered, &axes.describe(&choices))?;
            validated.insert(hash);
        }
    }
    Ok(())
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn table(name: &str, folder: &Path, files: &Files) -> Result<String, std::fmt::Error> {
    let mut text = format!("pub(crate) static {name}: &[(&str, &str)] = &[\n");
    for (stem, _) in files {
        let path = folder.join(format!("{stem}.wgsl"));
        writeln!(text, "    ({stem:?}, include_str!({path:?})),")?;
    }
    Ok(text + "];\n")
}
