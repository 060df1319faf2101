//! What loading tells of itself while it goes on.

/// What loading tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of weights that are on the device, of all.
    Weights {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Pipelines made, of all.
    Pipelines {
        /// Pipelines done.
        done: usize,
        /// Pipelines in all.
        total: usize,
    },
}
