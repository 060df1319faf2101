//! Arm Mali and Immortalis.

use crate::{
    detect::number_after,
    profile::{
        Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction,
        Sourced, Subgroups, WeightLayout, WeightMemory, phone_limits,
    },
};

const LIMITS: Sourced<wgpu_types::Limits> = Sourced::new(
    phone_limits(),
    "128 MiB and 32 KiB: azhirnov/as-en feature sets; 1024 threads: llama.cpp#27163 (64 warps of 16 a core)",
);

const SHUFFLE_RACE: Quirk = Quirk {
    symptom: "G715: subgroupShuffleXor races in scalar flash attention",
    answer: "reduction in shared memory on Arm",
    source: "eliza#9508",
};
const LONG_PREFILL: Quirk = Quirk {
    symptom: "G715: fence timeout in long prefill, nearly always when the app is in the background",
    answer: "a bound on the time of a submission, not kept yet",
    source: "llama.cpp#23359",
};
const REGISTERS: Quirk = Quirk {
    symptom: "threads are halved above 32 registers, and there are 64: M0E4 tiles of 4 tokens x 4 outputs spill",
    answer: "prefill tiles of 2 x 4, which take 51; the M0E4 GEMV takes 32",
    source: "Mesa 26.1 panfrost compiler statistics of a G720",
};
const FMA: Quirk = Quirk {
    symptom: "half-precision fma runs at the rate of single precision; a multiplication and an addition run twice as fast",
    answer: "kernels write a * b + c",
    source: "azhirnov/as-en",
};

const VALHALL_DOT: &str =
    "Mesa 26.1 panfrost compiles OpSDot to IDPADD.v4s8 for a G610 and G720; llama.cpp#27163";

const BASE: Profile = Profile {
    name: "mali-g710",
    family: Family::Mali,
    limits: LIMITS,
    subgroups: Some(Sourced::new(Subgroups { min: 16, max: 16 }, "azhirnov/as-en")),
    f16: Sourced::new(F16::Native, "Mesa 26.1 panvk under wgpu 30"),
    coop: None,
    integer_dot: Some(Sourced::new(IntegerDot::Signed, VALHALL_DOT)),
    reduction: Sourced::new(Reduction::SharedMemory, "eliza#9508"),
    avoid_workgroups: &[],
    // Above 32 registers a core has half the threads: bench/phones/table.md.
    decode: Decode {
        shape: DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: true,
        columns_in_bytes: u32::MAX,
    },
    prefill: Prefill { tokens: 2, outputs: 4, workgroup: [16, 4], at_once: 8 },
    activations: Activations::F16,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 8,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[LONG_PREFILL, REGISTERS, FMA],
};

pub(crate) static PROFILES: [Profile; 5] = [
    Profile {
        name: "mali-bifrost",
        limits: Sourced::new(
            wgpu_types::Limits::defaults(),
            "WebGPU's guarantees; no other numbers are published",
        ),
        subgroups: None,
        f16: Sourced::new(F16::None, "not known"),
        integer_dot: None,
        activations: Activations::F32,
        ..BASE
    },
    BASE,
    Profile {
        name: "mali-g715",
        bandwidth: Some(Sourced::new(35.0, "MNN handbook, measured")),
        f16_tflops: Some(Sourced::new(3.0, "MNN handbook")),
        quirks: &[SHUFFLE_RACE, LONG_PREFILL, REGISTERS, FMA],
        ..BASE
    },
    Profile {
        name: "mali-g720",
        f16_tflops: Some(Sourced::new(
            8.0,
            "12 cores x 512 operations x 1.3 GHz; azhirnov/as-en, llama.cpp#27163",
        )),
        f32_tflops: Some(Sourced::new(
            4.0,
            "12 cores x 256 operations x 1.3 GHz; azhirnov/as-en, llama.cpp#27163",
        )),
        ..BASE
    },
    Profile { name: "mali-g725", ..BASE },
];

/// `Mali-G715-Immortalis MC11`, `Mali-G57 MC2`, `Immortalis-G925 MC12`, `Mali-T880`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    if !name.contains("mali") && !name.contains("immortalis") {
        return None;
    }
    let model = number_after(name, "-g");
    Some(
        &PROFILES[match model {
            None | Some(31 | 51 | 52 | 71 | 72 | 76) => 0,
            Some(57 | 68 | 77 | 78 | 310 | 510 | 610 | 710) => 1,
            Some(615 | 715) => 2,
            Some(620 | 720) => 3,
            Some(_) => 4,
        }],
    )
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[0]
}
