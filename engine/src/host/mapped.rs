//! A file in memory: its pages come as they are read, and go again when they are given back.

use std::{fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use memmap2::Mmap;

/// A file that is mapped and only read.
#[derive(Debug)]
pub struct MappedFile {
    /// `None` for an empty file, which cannot be mapped.
    map: Option<Mmap>,
}

/// What keeps a map alive as long as bytes of it are used.
struct Kept(Arc<MappedFile>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.0.slice()
    }
}

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Arc::new(Self { map: None }));
        }
        // SAFETY: the map is only read. A file that another program truncates meanwhile raises SIGBUS, as any mapped file
        // does; models are not changed while they are used.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Arc::new(Self { map: Some(map) }))
    }

    fn slice(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// All bytes, which keep the map alive.
    #[must_use]
    pub fn bytes(self: &Arc<Self>) -> Bytes {
        if self.map.is_none() { Bytes::new() } else { Bytes::from_owner(Kept(self.clone())) }
    }

    /// Where in the file some bytes lie; `None` when they are not this map's.
    #[must_use]
    pub fn place(&self, part: &[u8]) -> Option<usize> {
        let (whole, part) = (self.slice().as_ptr_range(), part.as_ptr_range());
        (whole.start <= part.start && part.end <= whole.end).then(|| part.start.addr() - whole.start.addr())
    }

    /// Gives back the memory that all of it takes; see [`MappedFile::release`]. The system maps pages around those that are
    /// read, so that more are there than parts were read.
    pub fn release_all(&self) {
        self.release(self.slice());
    }

    /// Gives back the memory that a part takes, whole pages at its ends included, where the system has a call for that.
    /// It may be read again; then it comes from the file once more. Bytes from elsewhere are left alone.
    #[allow(unsafe_code)]
    pub fn release(&self, part: &[u8]) {
        #[cfg(unix)]
        if let (Some(map), Some(at)) = (&self.map, self.place(part)) {
            // SAFETY: the map is of a file and only read, so that dropped pages are read from the file again, the same.
            let advised =
                unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, at, part.len()) };
            // A system that refuses keeps the pages until it needs the room, as it would have without.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = part;
    }
}

#[cfg(test)]
mod tests {
    use super::MappedFile;

    #[test]
    fn what_was_given_back_reads_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = MappedFile::open(&path).unwrap();
        let bytes = file.bytes();
        for part in [0..100_000, 5000..60_000, 1..2, 7..7] {
            assert_eq!(file.place(&bytes[part.clone()]), Some(part.start));
            file.release(&bytes[part]);
            assert_eq!(bytes[..], content[..]);
        }
    }

    #[test]
    fn bytes_from_elsewhere_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        let empty = MappedFile::open(&path).unwrap();
        assert!(empty.bytes().is_empty());
        let heap = vec![7_u8; 1 << 16];
        assert_eq!(empty.place(&heap), None);
        empty.release(&heap);
        std::fs::write(&path, b"something").unwrap();
        let file = MappedFile::open(&path).unwrap();
        file.release(&heap);
        assert!(heap.iter().all(|byte| *byte == 7));
    }
}
