//! The GPU as a report tells it.

use std::fmt;

use devices::F16;
use engine::gpu::Gpu;
use serde::{Deserialize, Serialize};

/// The GPU, its driver, and what was taken from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The driver's name for the GPU.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// `Vulkan` or `Metal`.
    pub backend: String,
    /// The profile it is taken for.
    pub profile: String,
    /// The road to 16-bit floats: `none`, `native` or `passthrough`.
    pub f16: String,
    /// Least and greatest subgroup size; nothing without subgroup operations.
    pub subgroups: Option<[u32; 2]>,
    /// Rows of the cooperative matrices that kernels use.
    pub coop: Option<u32>,
    /// Whether its queue has low priority.
    pub low_priority: bool,
    /// Whether dispatches can be timed by its own clock.
    pub timestamps: bool,
    /// What must not be exceeded.
    pub limits: Limits,
    /// Features of the device that are on, as WebGPU and wgpu name them.
    pub features: Vec<String>,
}

/// What must not be exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest buffer, bytes.
    pub buffer_bytes: u64,
    /// Largest part of one that a kernel can be given, bytes.
    pub binding_bytes: u64,
    /// Most threads of a workgroup.
    pub workgroup_threads: u32,
    /// Most memory of a workgroup, bytes.
    pub workgroup_bytes: u32,
    /// Offsets of bindings are multiples of this, bytes.
    pub offset_alignment: u64,
}

impl Device {
    /// Of an open GPU.
    #[must_use]
    pub fn of(gpu: &Gpu) -> Self {
        let (summary, target) = (gpu.summary(), gpu.offers());
        let (adapter, limits) = (&summary.adapter, &target.limits);
        Self {
            name: adapter.name.clone(),
            driver: adapter.driver.clone(),
            backend: adapter.backend.clone(),
            profile: adapter.profile.to_owned(),
            f16: road(summary.f16).to_owned(),
            subgroups: target.subgroups.map(|s| [s.min, s.max]),
            coop: target.coop.map(|coop| coop.size),
            low_priority: summary.low_priority,
            timestamps: target.timestamps,
            limits: Limits {
                buffer_bytes: limits.max_buffer_size,
                binding_bytes: target.max_binding(),
                workgroup_threads: limits.max_compute_invocations_per_workgroup,
                workgroup_bytes: limits.max_compute_workgroup_storage_size,
                offset_alignment: gpu.offset_alignment(),
            },
            features: gpu.features(),
        }
    }
}

fn road(f16: F16) -> &'static str {
    match f16 {
        F16::None => "none",
        F16::Native => "native",
        F16::Passthrough => "passthrough",
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, driver, backend, profile, f16, .. } = self;
        write!(f, "{name}, {driver}, {backend}, profile {profile}, f16 {f16}")
    }
}
