//! The kernel files, embedded by the build script.

use crate::{kernel::fold, template::Library};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Every kernel of `shaders/wgsl` and what they import.
pub(crate) static LIBRARY: Library<'static> = Library { kernels: KERNELS, imports: IMPORTS };

/// A hash of all kernels and of what they import, the same on every machine: what was learned of the kernels of another
/// library does not hold for these.
#[must_use]
pub fn library_hash() -> u64 {
    let files = LIBRARY.kernels.iter().chain(LIBRARY.imports);
    fold(files.flat_map(|(name, text)| [*name, "\0", *text, "\0"]))
}
