//! Compiled pipelines kept in files between runs, where the backend can.

#![allow(unsafe_code)] // wgpu cannot know what a file holds; see the SAFETY comment

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::GpuError;

/// A file for what one device and driver have compiled.
#[derive(Debug)]
pub(super) struct CacheFile(PathBuf);

impl CacheFile {
    /// The file of this kind in a folder; `None` where the backend keeps no caches.
    ///
    /// # Errors
    /// In words, when the folder cannot be made.
    pub fn of(device: &wgpu::Device, folder: &Path, kind: &str) -> Result<Option<Self>, String> {
        let info = device.adapter_info();
        let Some(key) = wgpu::util::pipeline_cache_key(&info) else { return Ok(None) };
        let driver = hash(format!("{} {} {}", info.name, info.driver, info.driver_info).as_bytes());
        let file = Self(folder.join(format!("{key}_{driver:016x}.{kind}")));
        fs::create_dir_all(folder).map_err(|e| file.unread(&e))?;
        Ok(Some(file))
    }

    /// What an earlier run left, if nothing happened to it since.
    ///
    /// # Errors
    /// In words, when there is a file that cannot be read.
    pub fn read(&self) -> Result<Option<Vec<u8>>, String> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(unseal(&bytes).map(<[u8]>::to_vec)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.unread(&e)),
        }
    }

    fn unread(&self, e: &std::io::Error) -> String {
        format!("no pipeline cache: {}: {e}", self.0.display())
    }

    /// Writes the file, unless it holds the same already.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left behind.
    pub fn write(&self, data: &[u8]) -> Result<(), GpuError> {
        let sealed = seal(data);
        if fs::read(&self.0).is_ok_and(|there| there == sealed) {
            return Ok(());
        }
        replace(&self.0, &sealed)
    }
}

/// A driver's cache and the file it came from.
#[derive(Debug)]
pub(super) struct DiskCache {
    cache: wgpu::PipelineCache,
    file: CacheFile,
    /// Whether an earlier run left something in it.
    found: bool,
}

impl DiskCache {
    /// Reads the file for this device and driver, if there is one; `None` where the backend keeps no caches.
    ///
    /// # Errors
    /// In words, when the folder or the file cannot be used. The device works without.
    pub fn open(device: &wgpu::Device, folder: &Path) -> Result<Option<Self>, String> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Ok(None);
        }
        let Some(file) = CacheFile::of(device, folder, "bin")? else { return Ok(None) };
        let data = file.read()?;
        let data = data.as_deref();
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data, fallback: true };
        // SAFETY: the data is what `save` got from the same device and driver: the name of the file says so, and its
        // checksum that nothing happened to it since. wgpu and the driver check their headers besides.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Ok(Some(Self { cache, file, found: data.is_some() }))
    }

    pub fn found(&self) -> bool {
        self.found
    }

    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the file, unless it holds the same already.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left behind.
    pub fn save(&self) -> Result<(), GpuError> {
        self.cache.get_data().map_or(Ok(()), |data| self.file.write(&data))
    }
}

/// Writes a file beside its place and moves it there.
///
/// # Errors
/// When it cannot be written; nothing is left behind.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> Result<(), GpuError> {
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, file));
    written.map_err(|e| {
        // It may not even exist, and the first error is the one that matters.
        let _ = fs::remove_file(&part);
        GpuError::Cache { file: file.to_owned(), text: e.to_string() }
    })
}

/// The data behind its checksum.
fn seal(data: &[u8]) -> Vec<u8> {
    [&hash(data).to_le_bytes(), data].concat()
}

/// The data, if its checksum is right.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, data) = bytes.split_first_chunk::<8>()?;
    (hash(data).to_le_bytes() == *checksum).then_some(data)
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_cache_is_not_given_to_the_driver() {
        let sealed = seal(b"pipelines");
        assert_eq!(unseal(&sealed), Some(&b"pipelines"[..]));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(&damaged), None, "byte {at}");
            assert_eq!(unseal(&sealed[..at]), None, "{at} bytes");
        }
    }
}
