//! A failed case as files that a driver's makers can use: what was wrong in words, and each kernel as WGSL and SPIR-V.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shaders::{SpirvOptions, spirv};

use super::report::Failure;

/// Writes a failure to a folder of its own in `folder`, and returns that.
///
/// # Errors
/// When a file cannot be written.
pub fn save(folder: &Path, operator: &str, failure: &Failure) -> io::Result<PathBuf> {
    let folder = folder.join(slug(&format!("{operator} {} {}", failure.case, failure.variants.join(" "))));
    fs::create_dir_all(&folder)?;
    let mut text = format!("{operator}: {failure}\n");
    for (index, kernel) in failure.kernels.iter().enumerate() {
        let name = format!("{index}-{}", kernel.spec.kernel());
        text.push_str(&format!("{name}: {}\n", kernel.spec));
        fs::write(folder.join(format!("{name}.wgsl")), &kernel.source)?;
        let words = spirv(kernel, SpirvOptions::default()).map_err(io::Error::other)?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        fs::write(folder.join(format!("{name}.spv")), bytes)?;
    }
    fs::write(folder.join("case.txt"), text)?;
    Ok(folder)
}

/// A name that file systems take.
fn slug(text: &str) -> String {
    const LONGEST: usize = 120;
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(LONGEST).collect()
}
