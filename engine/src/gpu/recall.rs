//! What is known of this device's kernels, from the file of its record and back into it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{AdapterSummary, Gpu, GpuError, disk};
use crate::record::Record;

/// A record and its file.
#[derive(Debug)]
pub(super) struct Recall {
    file: Option<PathBuf>,
    record: Mutex<Record>,
}

impl Recall {
    /// What a folder's file says of a device and its driver, and why it is not used if it is not.
    pub fn open(adapter: &AdapterSummary, folder: Option<&Path>) -> (Self, Option<String>) {
        let device = adapter.device();
        let file = folder.map(|folder| folder.join(file_name(&adapter.name, &device)));
        let read = file.as_deref().map_or(Ok(Record::new(&device)), |file| Record::read(file, &device));
        let (record, note) = match read {
            Ok(record) => (record, None),
            Err(note) => (Record::new(&device), Some(note)),
        };
        (Self { file, record: Mutex::new(record) }, note)
    }
}

/// A name that people know it by, and a hash that tells drivers apart.
fn file_name(name: &str, device: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let words: Vec<String> =
        letters.collect::<String>().split('-').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    format!("tuned-{}-{:016x}.json", words.join("-"), disk::hash(device.as_bytes()))
}

impl Gpu {
    /// What tuning and qualification know of it.
    #[must_use]
    pub fn record(&self) -> Record {
        self.recall().record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets plans that are made from now on follow a record, and keeps it where a folder for it was given.
    ///
    /// # Errors
    /// When the file cannot be written; the record is followed all the same.
    pub fn learn(&self, record: Record) -> Result<(), GpuError> {
        self.choose_by(record.choices());
        let text = record.text();
        *self.recall().record.lock().unwrap_or_else(PoisonError::into_inner) = record;
        let Some(file) = &self.recall().file else { return Ok(()) };
        let unusable = |e: std::io::Error| GpuError::Cache { file: file.clone(), text: e.to_string() };
        let text = text.map_err(unusable)?;
        file.parent().map_or(Ok(()), fs::create_dir_all).map_err(unusable)?;
        disk::replace(file, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn drivers_of_one_device_have_files_of_their_own() {
        let name = "NVIDIA H100 80GB (PCIe)";
        let [old, new] = ["1", "2"].map(|driver| file_name(name, &format!("{name} {driver}")));
        assert!(old.starts_with("tuned-nvidia-h100-80gb-pcie-") && old.ends_with(".json"), "{old}");
        assert_ne!(old, new);
    }
}
