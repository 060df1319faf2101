//! Vulkan on a CPU: Mesa's lavapipe and Google's SwiftShader.

use wgpu_types::Limits;

use crate::profile::{
    Activations, Decode, DecodeShape, F16, Family, Prefill, Profile, Reduction, Sourced, Subgroups,
    WeightLayout, WeightMemory, phone_limits,
};

const LAVAPIPE: &str = "Mesa 22.3 lavapipe seen through wgpu 30";

const BASE: Profile = Profile {
    name: "lavapipe",
    family: Family::Software,
    limits: Sourced::new(
        Limits {
            max_storage_buffers_per_shader_stage: 32,
            max_buffer_size: (1 << 31) - 1,
            min_uniform_buffer_offset_alignment: 32,
            min_storage_buffer_offset_alignment: 32,
            max_compute_workgroup_size_z: 1024,
            ..phone_limits()
        },
        LAVAPIPE,
    ),
    subgroups: Some(Sourced::new(Subgroups { min: 8, max: 8 }, LAVAPIPE)),
    f16: Sourced::new(F16::Native, LAVAPIPE),
    coop: None,
    integer_dot: None,
    reduction: Sourced::new(Reduction::Subgroup, LAVAPIPE),
    avoid_workgroups: &[],
    decode: Decode {
        shape: DecodeShape::RowPerLane,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: u32::MAX,
    },
    prefill: Prefill { tokens: 8, outputs: 8, workgroup: [64, 1], at_once: 8 },
    activations: Activations::F32,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 1000,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[],
};

pub(crate) static PROFILES: [Profile; 2] = [
    BASE,
    Profile {
        name: "software",
        limits: Sourced::new(Limits::defaults(), "WebGPU's guarantees"),
        subgroups: None,
        f16: Sourced::new(F16::None, "not known"),
        reduction: Sourced::new(Reduction::SharedMemory, "the form that needs no feature"),
        prefill: Prefill { tokens: 8, outputs: 4, workgroup: [16, 4], at_once: 8 },
        ..BASE
    },
];

/// `llvmpipe (LLVM 15.0.6, 256 bits)`, `SwiftShader Device (Subzero)`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    if name.contains("llvmpipe") || name.contains("lavapipe") {
        Some(&PROFILES[0])
    } else if name.contains("swiftshader") {
        Some(fallback())
    } else {
        None
    }
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[1]
}
