//! Samsung Xclipse: AMD's RDNA in Exynos.

use crate::{
    detect::number_after,
    profile::{
        Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction,
        Sourced, Subgroups, WeightLayout, WeightMemory, phone_limits,
    },
};

const SPILLS: Quirk = Quirk {
    symptom: "large matmul tiles spill",
    answer: "prefill tiles of 4 x 4",
    source: "llama.cpp#28531",
};

const BASE: Profile = Profile {
    name: "xclipse-940",
    family: Family::Xclipse,
    limits: Sourced::new(phone_limits(), "32 KiB: llama.cpp#28531; else WebGPU's guarantees"),
    subgroups: Some(Sourced::new(Subgroups { min: 64, max: 64 }, "llama.cpp#28531")),
    f16: Sourced::new(F16::Native, "Mesa RADV on RDNA2, its family"),
    coop: None,
    integer_dot: Some(Sourced::new(
        IntegerDot::Signed,
        "Mesa RADV compiles OpSDot to v_dot4_i32_i8 for RDNA2, its family",
    )),
    reduction: Sourced::new(
        Reduction::SharedMemory,
        "nothing is published: the form that no driver is known to break",
    ),
    avoid_workgroups: &[],
    decode: Decode {
        shape: DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: 2048,
    },
    prefill: Prefill { tokens: 4, outputs: 4, workgroup: [16, 4], at_once: 8 },
    activations: Activations::F16,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 8,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[SPILLS],
};

pub(crate) static PROFILES: [Profile; 2] = [
    BASE,
    Profile {
        name: "xclipse-960",
        limits: Sourced::new(
            wgpu_types::Limits { max_compute_workgroup_storage_size: 64 << 10, ..phone_limits() },
            "64 KiB: llama.cpp#28531; else WebGPU's guarantees",
        ),
        ..BASE
    },
];

/// `Xclipse 940`, `Samsung Xclipse 920`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    let model = number_after(name, "xclipse")?;
    Some(&PROFILES[usize::from(model >= 960)])
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[0]
}
