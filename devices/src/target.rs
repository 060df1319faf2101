//! What a plan is made for: a profile, corrected by the live device where there is one.

use wgpu_types::{Features, Limits};

use crate::{Activations, F16, IntegerDot, Profile, Reduction, Subgroups, WeightMemory};

/// What an open device offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    /// The device's limits.
    pub limits: Limits,
    /// The device's features.
    pub features: Features,
    /// Subgroup sizes; `None` without subgroup operations.
    pub subgroups: Option<Subgroups>,
    /// The road to 16-bit floats that is open.
    pub f16: F16,
    /// Rows of the square cooperative matrices of f16 with sums in f32, the larger ones where there are several.
    pub coop: Option<u32>,
    /// Which products of four pairs of 8-bit integers are an instruction; `None` where the driver does not tell.
    pub integer_dot: Option<IntegerDot>,
}

/// Cooperative matrices: a subgroup multiplies two of f16, `[size, size]`, and adds to one of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coop {
    /// Their rows and columns: 16 or 8.
    pub size: u32,
    /// Threads of every subgroup.
    pub lanes: u32,
}

/// Everything that the planner asks about a device.
#[derive(Clone, Debug)]
pub struct Target {
    /// What to prefer.
    pub profile: &'static Profile,
    /// What must not be exceeded.
    pub limits: Limits,
    /// What 16-bit floats go through.
    pub f16: F16,
    /// Cooperative matrices, where kernels can use them: with WGSL's f16, and subgroups of one size.
    pub coop: Option<Coop>,
    /// Which products of four pairs of 8-bit integers are an instruction, as far as driver or profile tell.
    pub integer_dot: IntegerDot,
    /// Subgroup sizes; `None` without subgroup operations.
    pub subgroups: Option<Subgroups>,
    /// How to reduce: the profile's preference where the device has subgroups.
    pub reduction: Reduction,
    /// What packed matrices are to lie in.
    pub weights: WeightMemory,
    /// Whether a dispatch can be timed.
    pub timestamps: bool,
}

impl Target {
    /// A device as its profile describes it, for planning without a GPU.
    #[must_use]
    pub fn from_profile(profile: &'static Profile) -> Self {
        let subgroups = profile.subgroups.map(|s| s.value);
        let mut features = Features::empty();
        features.set(Features::SUBGROUP, subgroups.is_some());
        features.set(Features::SHADER_F16, profile.f16.value == F16::Native);
        let limits = profile.limits.value.clone();
        let (f16, coop) = (profile.f16.value, profile.coop.map(|c| c.value));
        let integer_dot = None;
        Self::from_live(profile, Capabilities { limits, features, subgroups, f16, coop, integer_dot })
    }

    /// A live device: what it offers wins over what its profile expects.
    #[must_use]
    pub fn from_live(profile: &'static Profile, live: Capabilities) -> Self {
        let reduction = match live.subgroups {
            Some(_) => profile.reduction.value,
            None => Reduction::SharedMemory,
        };
        let lanes = live.subgroups.filter(|s| s.min == s.max && live.f16 == F16::Native).map(|s| s.max);
        let coop = live.coop.zip(lanes).map(|(size, lanes)| Coop { size, lanes });
        Self {
            profile,
            limits: live.limits,
            f16: live.f16,
            coop,
            integer_dot: live.integer_dot.or(profile.integer_dot.map(|i| i.value)).unwrap_or_default(),
            subgroups: live.subgroups,
            reduction,
            weights: profile.weights,
            timestamps: live.features.contains(Features::TIMESTAMP_QUERY),
        }
    }

    /// The preferred form of activations that the device can hold.
    #[must_use]
    pub fn activations(&self) -> Activations {
        if self.f16 == F16::None { Activations::F32 } else { self.profile.activations }
    }

    /// Whether kernels may use a workgroup: within the limits, and not known to give wrong results.
    #[must_use]
    pub fn allows_workgroup(&self, size: [u32; 3]) -> bool {
        let [x, y, z] = size;
        let threads = x.checked_mul(y).and_then(|n| n.checked_mul(z));
        let limits = &self.limits;
        threads.is_some_and(|n| n > 0 && n <= limits.max_compute_invocations_per_workgroup)
            && x <= limits.max_compute_workgroup_size_x
            && y <= limits.max_compute_workgroup_size_y
            && z <= limits.max_compute_workgroup_size_z
            && !(z == 1 && self.profile.avoid_workgroups.iter().any(|bad| bad.value == [x, y]))
    }

    /// Largest piece of a buffer that one slot can be bound to: the binding limit, rounded down to the offset alignment.
    #[must_use]
    pub fn max_binding(&self) -> u64 {
        let align = u64::from(self.offset_alignment());
        let most = self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size);
        most / align * align
    }

    /// What binding offsets of storage buffers must be multiples of; a power of two.
    #[must_use]
    pub fn offset_alignment(&self) -> u32 {
        self.limits.min_storage_buffer_offset_alignment.max(1)
    }
}
