//! Many small tests in one file: for each of their files a line `PATH LENGTH`, then its bytes and a line end.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::Test;

/// Tests of each operator in each form that are taken.
const EACH: usize = 3;
/// Bytes of the largest test that is taken.
const LARGEST: u64 = 12 << 10;

/// A fixed part of the tests: the smallest of each operator, plain and expanded.
///
/// # Errors
/// When a folder cannot be read.
pub fn pick<'t>(tests: impl IntoIterator<Item = &'t Test>) -> io::Result<Vec<&'t Test>> {
    let mut forms: BTreeMap<(&str, bool), Vec<(u64, &'t Test)>> = BTreeMap::new();
    for test in tests {
        let sizes = files(&test.folder)?.iter().map(|f| Ok(f.metadata()?.len())).sum::<io::Result<u64>>()?;
        if sizes <= LARGEST {
            forms.entry((&test.operator, test.expanded)).or_default().push((sizes, test));
        }
    }
    let smallest = forms.into_values().flat_map(|mut form| {
        form.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        form.into_iter().take(EACH).map(|(_, test)| test)
    });
    let mut picked: Vec<&Test> = smallest.collect();
    picked.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(picked)
}

/// The archive of tests.
///
/// # Errors
/// When a file cannot be read.
pub fn pack(tests: &[&Test]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for test in tests {
        for file in files(&test.folder)? {
            let inside = file.strip_prefix(&test.folder).map_err(io::Error::other)?;
            let data = fs::read(&file)?;
            out.extend(format!("{}/{} {}\n", test.name, inside.display(), data.len()).bytes());
            out.extend(data);
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// Writes an archive's files into a folder.
///
/// # Errors
/// When the archive is cut off, or a file cannot be written.
pub fn unpack(mut archive: &[u8], folder: &Path) -> io::Result<()> {
    let damaged = || io::Error::other("the archive is damaged");
    while !archive.is_empty() {
        let line = archive.iter().position(|b| *b == b'\n').ok_or_else(damaged)?;
        let head = std::str::from_utf8(&archive[..line]).map_err(io::Error::other)?;
        let (path, length) = head.rsplit_once(' ').ok_or_else(damaged)?;
        let length: usize = length.parse().map_err(io::Error::other)?;
        let rest = &archive[line + 1..];
        let data = rest.get(..length).ok_or_else(damaged)?;
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, data)?;
        archive = rest.get(length + 1..).ok_or_else(damaged)?;
    }
    Ok(())
}

/// All files under a folder, sorted.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
