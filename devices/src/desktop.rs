//! NVIDIA, AMD and Intel, and whatever we know nothing about.

use wgpu_types::Limits;

use crate::profile::{
    Activations, Decode, DecodeShape, F16, Family, Prefill, Profile, Reduction, Sourced, Subgroups,
    WeightLayout, WeightMemory, phone_limits,
};

const BASE: Profile = Profile {
    name: "nvidia",
    family: Family::Desktop,
    limits: Sourced::new(phone_limits(), "WebGPU's guarantees with workgroups of 1024 and 32 KiB"),
    subgroups: Some(Sourced::new(Subgroups { min: 32, max: 32 }, "wgpu 30, AdapterInfo::subgroup_min_size")),
    f16: Sourced::new(F16::Native, "wgpu 30 on current desktop drivers"),
    coop: None,
    integer_dot: None,
    reduction: Sourced::new(Reduction::Subgroup, "our choice: no fault of these drivers is known"),
    avoid_workgroups: &[],
    decode: Decode {
        shape: DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: u32::MAX,
    },
    prefill: Prefill { tokens: 8, outputs: 4, workgroup: [16, 4], at_once: 8 },
    activations: Activations::F32,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 50,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[],
};

pub(crate) static PROFILES: [Profile; 4] = [
    // Measured on an H100: 64 threads take a third longer for 4096 rows of 11008, a tile of 8 x 4 in workgroups of 16 x 4 up to
    // 1.22 times as long; with f16 prefill is a seventh faster.
    Profile {
        coop: Some(Sourced::new(16, "llama.cpp's Vulkan backend on NVIDIA")),
        decode: Decode {
            shape: DecodeShape::LanesAlongK,
            threads: 256,
            stages_norm: false,
            columns_in_bytes: u32::MAX,
        },
        prefill: Prefill { tokens: 8, outputs: 8, workgroup: [16, 8], at_once: 8 },
        activations: Activations::F16,
        ..BASE
    },
    Profile {
        name: "amd",
        subgroups: Some(Sourced::new(
            Subgroups { min: 32, max: 64 },
            "wgpu 30, AdapterInfo::subgroup_max_size",
        )),
        ..BASE
    },
    Profile {
        name: "intel",
        subgroups: Some(Sourced::new(
            Subgroups { min: 8, max: 32 },
            "wgpu 30, AdapterInfo::subgroup_min_size",
        )),
        ..BASE
    },
    Profile {
        name: "unknown",
        family: Family::Unknown,
        limits: Sourced::new(Limits::defaults(), "WebGPU's guarantees"),
        subgroups: None,
        f16: Sourced::new(F16::None, "nothing is known"),
        reduction: Sourced::new(Reduction::SharedMemory, "the form that no driver is known to break"),
        max_submit_ms: 8,
        ..BASE
    },
];

/// `NVIDIA H100 80GB HBM3`, `NVIDIA GeForce RTX 4090`, `AMD Radeon RX 7900 XTX (RADV NAVI31)`, `Intel(R) Arc(tm) A770`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if has(&["nvidia", "geforce", "quadro", "tegra"]) {
        Some(nvidia())
    } else if has(&["amd ", "radeon", "radv"]) {
        Some(amd())
    } else if has(&["intel"]) {
        Some(intel())
    } else {
        None
    }
}

pub(crate) fn nvidia() -> &'static Profile {
    &PROFILES[0]
}

pub(crate) fn amd() -> &'static Profile {
    &PROFILES[1]
}

pub(crate) fn intel() -> &'static Profile {
    &PROFILES[2]
}

pub(crate) fn unknown() -> &'static Profile {
    &PROFILES[3]
}
