//! What a GPU or its driver can refuse.

/// A failure of the GPU, its driver, or the way it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// No adapter at all.
    #[error(
        "no GPU was found: neither Vulkan nor Metal reports a device. On Debian or Ubuntu, install a driver with \
         `apt-get install mesa-vulkan-drivers` (it includes a software device that runs on the CPU)"
    )]
    NoAdapter,
    /// The adapter that was asked for is not there.
    #[error("no GPU matches {wanted:?}; there are: {}", .found.join(", "))]
    NoSuchAdapter {
        /// What was asked for.
        wanted: String,
        /// Names of those that exist.
        found: Vec<String>,
    },
    /// The device could not be opened.
    #[error("{adapter} could not be opened: {text}")]
    Open {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        text: String,
    },
    /// A buffer cannot be made.
    #[error("no room on the GPU for {label} ({size} bytes): {text}")]
    Memory {
        /// What it was for.
        label: String,
        /// Bytes asked for.
        size: u64,
        /// What the driver said.
        text: String,
    },
    /// A kernel was refused.
    #[error("kernel {kernel} was refused by the driver: {text}")]
    Pipeline {
        /// The kernel's spec.
        kernel: String,
        /// What the driver said.
        text: String,
    },
    /// Compiled pipelines, or what tuning found, could not be kept for the next run.
    #[error("{} could not be written: {text}", .file.display())]
    Cache {
        /// The file.
        file: std::path::PathBuf,
        /// What the system said.
        text: String,
    },
    /// A command was refused.
    #[error("the driver refused a command: {0}")]
    Command(String),
    /// The device stopped answering.
    #[error("the GPU was lost: {0}")]
    Lost(String),
    /// A result did not come back in time.
    #[error("the GPU did not finish within {seconds} s")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
}
