//! Qualcomm Adreno.

use crate::{
    detect::number_after,
    profile::{
        Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction,
        Sourced, Subgroups, WeightLayout, WeightMemory, phone_limits,
    },
};

const MESA: &str = "Mesa 26.1 turnip seen through wgpu 30";

/// Binding limit 128 MiB: also llamadart#553.
const LIMITS: Sourced<wgpu_types::Limits> = Sourced::new(
    wgpu_types::Limits {
        min_uniform_buffer_offset_alignment: 64,
        min_storage_buffer_offset_alignment: 32,
        max_compute_workgroup_size_z: 1024,
        ..phone_limits()
    },
    MESA,
);

const NO_FMA: Quirk = Quirk {
    symptom: "fma() takes 6 times as long as a multiplication and an addition in half precision, on X1 26 times in single",
    answer: "kernels write a * b + c",
    source: "azhirnov/as-en Adreno_660.md; clpeak#202",
};
const NO_DENORMALS: Quirk = Quirk {
    symptom: "denormal halves and floats are flushed",
    answer: "M0E4 codes decode to normal halves only",
    source: "CodeLinaro/llama.cpp#17 (clinfo)",
};
const F16_HIDDEN: Quirk = Quirk {
    symptom: "the driver lacks uniformAndStorageBuffer16BitAccess, so wgpu offers no SHADER_F16",
    answer: "SPIR-V passthrough on a device opened with shaderFloat16",
    source: MESA,
};
const WRONG_WORKGROUPS: Quirk = Quirk {
    symptom: "a tiled matmul with workgroups of 8x8 or 4x16 gives wrong workgroups in 7 to 10 of 60 runs",
    answer: "such workgroups are avoided; 16x4, 32x2 and 64x1 are sound",
    source: "executorch#22327",
};
const SUBGROUP_GEMV: Quirk = Quirk {
    symptom: "pipelines of subgroup GEMV kernels are not made (830), or shuffles give garbage (8 Elite Gen 5)",
    answer: "reduction in shared memory",
    source: "llama.cpp#28635; ncnn#6778",
};
const REUSED_OFFSETS: Quirk = Quirk {
    symptom: "the first inference is right, later ones are garbage; dynamic offsets on reused bind groups are suspected",
    answer: "no dynamic offsets",
    source: "LiteRT#8065",
};
const DEVICE_LOST: Quirk = Quirk {
    symptom: "the device is lost at warm-up or with batches above 32",
    answer: "a bound on the time of a submission, not kept yet",
    source: "web-llm#836; llama.cpp#8743",
};

const AVOID: [Sourced<[u32; 2]>; 2] =
    [Sourced::new([8, 8], "executorch#22327"), Sourced::new([4, 16], "executorch#22327")];

const SHARED: Sourced<Reduction> = Sourced::new(
    Reduction::SharedMemory,
    "llama.cpp#28635, ncnn#6778; hedone21/llm_rs2: faster than sub_group_reduce in decode attention",
);
const SIGNED: Sourced<IntegerDot> =
    Sourced::new(IntegerDot::Signed, "Mesa 26.1 ir3 compiles OpSDot to dp4acc");
const UNSIGNED: Sourced<IntegerDot> =
    Sourced::new(IntegerDot::Unsigned, "Mesa 26.1 ir3 compiles OpUDot to dp4acc, but spells OpSDot out");
const PASSTHROUGH: Sourced<F16> = Sourced::new(F16::Passthrough, MESA);

/// What the 7xx have in common.
const BASE: Profile = Profile {
    name: "adreno-730",
    family: Family::Adreno,
    limits: LIMITS,
    subgroups: Some(Sourced::new(Subgroups { min: 64, max: 128 }, MESA)),
    f16: PASSTHROUGH,
    coop: None,
    integer_dot: None,
    reduction: Sourced::new(
        Reduction::Subgroup,
        "our choice; Mesa 26.1 ir3 on a 750: rms_norm has 332 instructions, 423 with shared memory; the M0E4 GEMV 438, 426",
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
    quirks: &[NO_FMA, NO_DENORMALS, F16_HIDDEN, DEVICE_LOST],
};

/// What the 8xx have in common.
const BASE_8: Profile = Profile {
    name: "adreno-830",
    subgroups: Some(Sourced::new(Subgroups { min: 64, max: 64 }, MESA)),
    reduction: SHARED,
    avoid_workgroups: &AVOID,
    quirks: &[NO_FMA, NO_DENORMALS, F16_HIDDEN, WRONG_WORKGROUPS, SUBGROUP_GEMV, REUSED_OFFSETS],
    ..BASE
};

pub(crate) static PROFILES: [Profile; 8] = [
    Profile {
        name: "adreno-620",
        limits: Sourced::new(
            wgpu_types::Limits {
                max_compute_invocations_per_workgroup: 512,
                max_compute_workgroup_size_x: 512,
                max_compute_workgroup_size_y: 512,
                max_compute_workgroup_storage_size: 16 << 10,
                ..LIMITS.value
            },
            "azhirnov/as-en feature sets: least of all Adreno (610, 612)",
        ),
        subgroups: None,
        f16: Sourced::new(F16::None, "Mesa 26.1 turnip: 618 has no storageBuffer16BitAccess"),
        reduction: Sourced::new(Reduction::SharedMemory, "618 has no subgroups under wgpu 30"),
        activations: Activations::F32,
        bandwidth: Some(Sourced::new(10.0, "SmolVLM log, sustained; 17 in theory")),
        ..BASE
    },
    Profile {
        name: "adreno-660",
        integer_dot: Some(UNSIGNED),
        prefill: Prefill { at_once: 4, ..BASE.prefill },
        bandwidth: Some(Sourced::new(34.0, "azhirnov/as-en Adreno_660.md, measured; 51.2 in theory")),
        f16_tflops: Some(Sourced::new(1.4, "azhirnov/as-en Adreno_660.md, measured")),
        f32_tflops: Some(Sourced::new(0.73, "azhirnov/as-en Adreno_660.md, measured")),
        ..BASE
    },
    Profile {
        name: "adreno-730",
        bandwidth: Some(Sourced::new(37.9, "clpeak, measured")),
        f16_tflops: Some(Sourced::new(3.27, "clpeak, measured")),
        f32_tflops: Some(Sourced::new(1.67, "clpeak, measured")),
        ..BASE
    },
    Profile { name: "adreno-740", integer_dot: Some(UNSIGNED), ..BASE },
    Profile {
        name: "adreno-750",
        integer_dot: Some(SIGNED),
        bandwidth: Some(Sourced::new(50.0, "MNN handbook, measured")),
        f16_tflops: Some(Sourced::new(4.5, "MNN handbook")),
        ..BASE
    },
    Profile {
        name: "adreno-830",
        integer_dot: Some(SIGNED),
        bandwidth: Some(Sourced::new(55.0, "MNN handbook, measured")),
        f16_tflops: Some(Sourced::new(5.7, "MNN handbook")),
        ..BASE_8
    },
    Profile {
        name: "adreno-840",
        bandwidth: Some(Sourced::new(44.5, "executorch#22968, reached by a 4-bit GEMV: no limit")),
        ..BASE_8
    },
    Profile { name: "adreno-x1", max_submit_ms: 16, ..BASE },
];

/// `Adreno (TM) 750`, `Turnip Adreno (TM) 750`, `Qualcomm(R) Adreno(TM) X1-85 GPU`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    if !name.contains("adreno") {
        return None;
    }
    let index = if [" x1-", " x2-", "snapdragon(r) x"].iter().any(|laptop| name.contains(laptop)) {
        7
    } else {
        match number_after(name, "adreno").unwrap_or(0) {
            0..=629 => 0,
            630..=699 => 1,
            700..=739 => 2,
            740..=749 => 3,
            750..=799 => 4,
            800..=839 => 5,
            _ => 6,
        }
    };
    PROFILES.get(index)
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[0]
}
