//! What plans are made for: a device as lowering sees it.

use std::sync::Arc;

use super::Choices;

/// What lowering asks of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Whether kernels may compute in f16.
    pub f16: bool,
    /// Whether products may round what they multiply to 8 bits, which changes results and is done on demand only.
    pub integer_products: bool,
    /// Which products of four pairs of 8-bit integers are an instruction.
    pub integer_dot: devices::IntegerDot,
    /// Cooperative matrices that kernels may use.
    pub coop: Option<devices::Coop>,
    /// Whether kernels may reduce over subgroups.
    pub subgroups: bool,
    /// Whether kernels may shuffle among eights of threads, which subgroups have whole.
    pub octets: bool,
    /// Bytes of the largest storage binding.
    pub max_binding: u64,
    /// Most storage buffers that a kernel may bind.
    pub max_slots: u32,
    /// What packed matrices are to lie in, where there is a choice.
    pub weights: devices::WeightMemory,
    /// Most texels of a texture along one dimension.
    pub max_texture: u32,
    /// The preferred matrix-vector kernel.
    pub decode: devices::Decode,
    /// The preferred matrix-matrix kernel; its tile tells how many registers a thread has.
    pub prefill: devices::Prefill,
    /// Fewest threads of a subgroup; 1 without subgroups.
    pub subgroup_size: u32,
    /// Most threads of a workgroup.
    pub max_threads: u32,
    /// Bytes of workgroup memory.
    pub max_shared: u32,
    /// Workgroups in two dimensions that give wrong results.
    pub avoid_workgroups: &'static [devices::Sourced<[u32; 2]>],
    /// What tuning and qualification know.
    pub choices: Arc<Choices>,
}

impl Target {
    /// Whether one lane should own whole rows: software devices gain nothing from splitting a sum over lanes.
    #[must_use]
    pub fn row_per_lane(&self) -> bool {
        self.decode.shape == devices::DecodeShape::RowPerLane
    }

    /// Whether kernels may use a workgroup: it is small enough, and not known to give wrong results.
    #[must_use]
    pub fn allows_workgroup(&self, [x, y]: [u32; 2]) -> bool {
        x.saturating_mul(y) <= self.max_threads
            && !self.avoid_workgroups.iter().any(|bad| bad.value == [x, y])
    }
}

impl From<&devices::Target> for Target {
    fn from(device: &devices::Target) -> Self {
        Self {
            f16: device.f16 != devices::F16::None,
            integer_products: false,
            integer_dot: device.integer_dot,
            coop: device.coop,
            subgroups: device.reduction == devices::Reduction::Subgroup,
            octets: device.subgroups.is_some_and(|sizes| sizes.min >= 8),
            max_binding: device.max_binding(),
            max_slots: device.limits.max_storage_buffers_per_shader_stage,
            weights: device.weights,
            max_texture: device.limits.max_texture_dimension_2d,
            decode: device.profile.decode,
            prefill: device.profile.prefill,
            subgroup_size: device.subgroups.map_or(1, |sizes| sizes.min),
            max_threads: (device.limits.max_compute_invocations_per_workgroup)
                .min(device.limits.max_compute_workgroup_size_x),
            max_shared: device.limits.max_compute_workgroup_storage_size,
            avoid_workgroups: device.profile.avoid_workgroups,
            choices: Arc::default(),
        }
    }
}
