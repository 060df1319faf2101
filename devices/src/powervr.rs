//! Imagination PowerVR, as in Tensor G5 and G6.

use crate::profile::{
    Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction, Sourced,
    Subgroups, WeightLayout, WeightMemory, phone_limits,
};

const FIRMWARE: Quirk = Quirk {
    symptom: "CXTP (Tensor G6): prefill crashes the firmware and reboots the phone",
    answer: "small tiles; a bound on the time of a submission, not kept yet",
    source: "llama.cpp#28214",
};
const SUBGROUP_GEMV: Quirk = Quirk {
    symptom: "a GEMV of subgroup operations alone does not compile",
    answer: "reduction in shared memory",
    source: "llama.cpp#28341",
};
const FMA: Quirk = Quirk {
    symptom: "half-precision fma is slower than single precision",
    answer: "activations are f32; kernels write a * b + c",
    source: "azhirnov/as-en",
};

pub(crate) static PROFILES: [Profile; 1] = [Profile {
    name: "powervr-dxt",
    family: Family::PowerVr,
    limits: Sourced::new(phone_limits(), "1024 threads, 32 KiB: llama.cpp#28341; else WebGPU's guarantees"),
    subgroups: Some(Sourced::new(Subgroups { min: 32, max: 128 }, "llama.cpp#28341")),
    f16: Sourced::new(F16::None, "not known"),
    coop: None,
    integer_dot: Some(Sourced::new(IntegerDot::None, "llama.cpp#28341")),
    reduction: Sourced::new(Reduction::SharedMemory, "llama.cpp#28341"),
    avoid_workgroups: &[],
    decode: Decode {
        shape: DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: u32::MAX,
    },
    prefill: Prefill { tokens: 2, outputs: 4, workgroup: [16, 4], at_once: 8 },
    activations: Activations::F32,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 4,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[FIRMWARE, SUBGROUP_GEMV, FMA],
}];

/// `PowerVR D-Series DXT-48-1536`, `PowerVR B-Series BXM-8-256`, `Imagination …`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    let known = ["powervr", "imagination", "img cxt"];
    known.iter().any(|word| name.contains(word)).then(fallback)
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[0]
}
