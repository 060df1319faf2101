//! Where external data comes from: the importer names files, its caller opens them.

use std::fmt;

use bytes::Bytes;

use crate::ImportError;

/// Opens the files that hold a model's external data.
pub trait ExternalFiles {
    /// The whole file, best as a memory map; asked for once for each tensor in it, so keep it open.
    /// `None` leaves the file's tensors [absent](crate::TensorData::Absent).
    ///
    /// # Errors
    /// When the file is not there, cannot be read, or is none that may be read.
    fn open(&mut self, location: &SafeLocation) -> Result<Option<Bytes>, ImportError>;
}

/// Leaves all external data [absent](crate::TensorData::Absent): to look at a graph, or when the weights come from
/// elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaveAbsent;

impl ExternalFiles for LeaveAbsent {
    fn open(&mut self, _: &SafeLocation) -> Result<Option<Bytes>, ImportError> {
        Ok(None)
    }
}

/// A relative path of `/`-separated names that cannot leave the folder, as far as its text tells: not absolute, no `..`,
/// no backslash and no drive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SafeLocation(String);

impl SafeLocation {
    /// Checks a location from a model.
    ///
    /// # Errors
    /// [`ImportError::ExternalEntry`] when it is none of that kind.
    pub fn new(location: &str) -> Result<Self, ImportError> {
        let wrong = |problem| {
            Err(ImportError::ExternalEntry { key: "location", value: location.to_owned(), problem })
        };
        match location {
            "" => wrong("is empty"),
            l if l.starts_with('/') => wrong("is an absolute path; only files beside the model are read"),
            l if l.contains(['\\', ':', '\0']) => {
                wrong("has a character that is not allowed: one of \\ : NUL")
            }
            l if l.split('/').any(|part| part == "..") => {
                wrong("leads out of the model's folder; only files beside the model are read")
            }
            l => Ok(Self(l.to_owned())),
        }
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
