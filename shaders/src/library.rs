//! The kernel files, embedded by the build script.

use crate::template::Library;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Every kernel of `shaders/wgsl` and what they import.
pub(crate) static LIBRARY: Library<'static> = Library { kernels: KERNELS, imports: IMPORTS };
