//! Apple's own GPUs, in phones, tablets and computers.

use crate::{
    detect::number_after,
    profile::{
        Activations, Decode, DecodeShape, F16, Family, IntegerDot, Prefill, Profile, Quirk, Reduction,
        Sourced, Subgroups, WeightLayout, WeightMemory, phone_limits,
    },
};

const LIMITS: Sourced<wgpu_types::Limits> = Sourced::new(
    phone_limits(),
    "1024 threads, 32 KiB: philipturner/metal-benchmarks; 256 MiB buffers: iOS floor in tvm#17150; else WebGPU",
);

const SHIFTS: Quirk = Quirk {
    symptom: "a shift takes four times as long as an and",
    answer: "none yet: an M0E4 code costs a shift, and no conversion",
    source: "philipturner/metal-benchmarks",
};
const THREADS: Quirk = Quirk {
    symptom: "above 104 registers fewer than 1024 threads run: 704 of M0E4 tiles of 8 tokens x 4 outputs, 576 of 4 x 8",
    answer: "prefill tiles of 4 x 4, which leave 896",
    source: "Mesa 26.1 asahi compiler statistics of a G13",
};

const BASE: Profile = Profile {
    name: "apple-a16",
    family: Family::Apple,
    limits: LIMITS,
    subgroups: Some(Sourced::new(Subgroups { min: 32, max: 32 }, "philipturner/metal-benchmarks")),
    f16: Sourced::new(F16::Native, "Mesa 26.1 asahi under wgpu 30"),
    coop: None,
    integer_dot: Some(Sourced::new(IntegerDot::None, "Mesa 26.1 asahi spells OpSDot out for a G13")),
    reduction: Sourced::new(Reduction::Subgroup, "our choice: no fault of these drivers is known"),
    avoid_workgroups: &[],
    decode: Decode {
        shape: DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: u32::MAX,
    },
    prefill: Prefill { tokens: 4, outputs: 4, workgroup: [16, 4], at_once: 8 },
    activations: Activations::F16,
    layout: WeightLayout::FourRows,
    weights: WeightMemory::Buffer,
    max_submit_ms: 8,
    bandwidth: None,
    f16_tflops: None,
    f32_tflops: None,
    quirks: &[SHIFTS, THREADS],
};

pub(crate) static PROFILES: [Profile; 4] = [
    Profile {
        name: "apple-a16",
        f16_tflops: Some(Sourced::new(1.79, "philipturner/metal-benchmarks")),
        f32_tflops: Some(Sourced::new(1.79, "philipturner/metal-benchmarks")),
        ..BASE
    },
    Profile { name: "apple-a17", ..BASE },
    Profile { name: "apple-a19", bandwidth: Some(Sourced::new(68.3, "leaks, weak; A19 Pro 75.8")), ..BASE },
    Profile {
        name: "apple-m1",
        bandwidth: Some(Sourced::new(64.3, "azhirnov/as-en, measured; M1 Pro 183")),
        f16_tflops: Some(Sourced::new(2.6, "azhirnov/as-en; M1 Pro 5.15")),
        f32_tflops: Some(Sourced::new(2.6, "azhirnov/as-en; M1 Pro 5.1")),
        ..BASE
    },
];

/// `Apple A17 Pro GPU`, `Apple A15 GPU`, `Apple M1 Pro`, `Apple M4 Max`.
pub(crate) fn select(name: &str) -> Option<&'static Profile> {
    let chip = name.split("apple ").nth(1)?;
    Some(
        &PROFILES[match (chip.as_bytes().first()?, number_after(chip, "")?) {
            (b'm', _) => 3,
            (b'a', 17 | 18) => 1,
            (b'a', 19..) => 2,
            (b'a', _) => 0,
            _ => return None,
        }],
    )
}

pub(crate) fn fallback() -> &'static Profile {
    &PROFILES[0]
}
