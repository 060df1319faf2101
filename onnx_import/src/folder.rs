//! External data in the folder of the model.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{ExternalFiles, ImportError, SafeLocation};

/// Files of one folder, mapped or read by a function of the caller, each once. Links are followed, but not out of the
/// folder.
pub struct FolderFiles<F> {
    folder: PathBuf,
    map: F,
    open: HashMap<SafeLocation, Bytes>,
}

impl<F: FnMut(&Path) -> io::Result<Bytes>> FolderFiles<F> {
    /// The files below `folder` (of a model `dir/model.onnx`: `dir`; the empty path is the current folder), each opened
    /// with `map`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, map: F) -> Self {
        let folder = Some(folder.into()).filter(|folder| !folder.as_os_str().is_empty());
        Self { folder: folder.unwrap_or_else(|| PathBuf::from(".")), map, open: HashMap::new() }
    }

    fn read(&mut self, location: &SafeLocation) -> Result<Bytes, ImportError> {
        let io = |source| ImportError::ExternalIo { location: location.to_string(), source };
        let wrong = |problem| Err(ImportError::ExternalFile { location: location.to_string(), problem });
        let folder = fs::canonicalize(&self.folder).map_err(io)?;
        let path = fs::canonicalize(folder.join(location.as_str())).map_err(io)?;
        if !path.starts_with(&folder) {
            return wrong("is a link that leads out of the model's folder");
        }
        if !fs::metadata(&path).map_err(io)?.is_file() {
            return wrong("is not a regular file");
        }
        (self.map)(&path).map_err(io)
    }
}

impl<F: FnMut(&Path) -> io::Result<Bytes>> ExternalFiles for FolderFiles<F> {
    fn open(&mut self, location: &SafeLocation) -> Result<Option<Bytes>, ImportError> {
        if let Some(bytes) = self.open.get(location) {
            return Ok(Some(bytes.clone()));
        }
        let bytes = self.read(location)?;
        self.open.insert(location.clone(), bytes.clone());
        Ok(Some(bytes))
    }
}

impl<F> fmt::Debug for FolderFiles<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderFiles").field("folder", &self.folder).finish_non_exhaustive()
    }
}
