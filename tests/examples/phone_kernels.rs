//! Writes the SPIR-V of every kernel that models need on device profiles, as the engine hands it to the driver there:
//! `phone_kernels [--candidates] [--f8] [--textures] OUT PROFILE,… MODEL …`; a model is one that `halfbyte bench --model` knows. With
//! `--candidates` of every kernel that may be chosen, else of those that a profile prefers, and of those that multiply in 8 bits
//! where that is asked for; with `--f8` for KV caches in 8 bits, with `--textures` of weights in textures. Prints a line for
//! each kernel of each phase: profile, model, phase, calls, bits of memory for each weight (`-` where it is no product), file,
//! spec; between them tabs.
//! For bench/phones.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path, sync::Arc};

use bench::models;
use devices::{Activations, IntegerDot, Target, WeightMemory};
use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase},
    op::{self, Choices, Elem, LowerOptions, Slot, WeightPacking},
    passes::{PassOptions, WeightFormats},
    plan::{Call, Plan},
};
use naga::{
    back::spv,
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
};
use shaders::{Kernel, SpirvOptions, spirv};

/// Without robustBufferAccess2, so that indices are clamped.
const CLAMPED: [&str; 1] = ["mali-g710"];
const PREFILL: Phase = Phase::Prefill { chunk: 128 };
const PHASES: [(&str, Phase, bool); 4] = [
    ("decode", Phase::Decode, false),
    ("prefill", PREFILL, false),
    ("decode in i8", Phase::Decode, true),
    ("prefill in i8", PREFILL, true),
];

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, arguments): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|word| word.starts_with("--"));
    let [all, f8, textures] =
        ["--candidates", "--f8", "--textures"].map(|flag| flags.iter().any(|word| word == flag));
    let [out, profiles, names @ ..] = arguments.as_slice() else {
        return Err("phone_kernels [--candidates] [--f8] [--textures] OUT PROFILE,… MODEL …".into());
    };
    for name in names {
        let language = LanguageModel::recognise(
            models::named(name).ok_or_else(|| format!("no model {name:?}"))?.open(0)?.graph,
        )?;
        for profile in profiles.split(',') {
            let mut target = Target::from_profile(devices::by_name(profile)?);
            if textures {
                target.weights = WeightMemory::Texture;
            }
            fs::create_dir_all(Path::new(out).join(profile))?;
            for (phase, which, in_bytes) in PHASES {
                let options = |round| options(&target, round, in_bytes, f8);
                for plan in plans(&language, which, &options, all)? {
                    let wanted = |call: &Call| !in_bytes || call.spec.choice("MATH") == Some("i8");
                    for (spec, (calls, call)) in kernels(&plan).into_iter().filter(|(_, (_, c))| wanted(c)) {
                        let file = format!("{}.spv", spec.replace([' ', '=', ':'], "_"));
                        let words = words(&call.kernel, profile, &target)?;
                        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
                        fs::write(Path::new(out).join(profile).join(&file), bytes)?;
                        let bits =
                            bits(&plan, call).map_or_else(|| "-".to_owned(), |bits| format!("{bits:.2}"));
                        println!("{profile}\t{name}\t{phase}\t{calls}\t{bits}\t{file}\t{spec}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// The calls of a plan by kernel, with how many there are.
fn kernels(plan: &Plan) -> BTreeMap<String, (usize, &Call)> {
    let mut kernels: BTreeMap<String, (usize, &Call)> = BTreeMap::new();
    for call in &plan.calls {
        kernels.entry(call.spec.to_string()).or_insert((0, call)).0 += 1;
    }
    kernels
}

/// The plan that a profile prefers, or one for each round of tuning.
fn plans(
    language: &LanguageModel,
    phase: Phase,
    options: &dyn Fn(Option<usize>) -> LanguageOptions,
    all: bool,
) -> Result<Vec<Plan>, Box<dyn Error>> {
    let first = language.prepare(phase, &options(None))?.plan;
    let longest = first.choices.iter().map(|choice| choice.candidates.len()).max().unwrap_or(0);
    let rounds = 0..if all { longest } else { 0 };
    let more = rounds.map(|round| Ok(language.prepare(phase, &options(Some(round)))?.plan));
    std::iter::once(Ok(first)).chain(more).collect()
}

fn options(target: &Target, round: Option<usize>, integer_products: bool, f8: bool) -> LanguageOptions {
    let activations = match target.activations() {
        Activations::F32 => Elem::F32,
        Activations::F16 => Elem::F16,
    };
    let choices = Arc::new(Choices { round, ..Choices::default() });
    let affine = WeightFormat::Affine8 { group: GroupSize::G32 };
    let formats = WeightFormats {
        layers: WeightFormat::M0e4 { group: GroupSize::G32 },
        embedding: affine,
        head: affine,
    };
    LanguageOptions {
        lower: LowerOptions {
            target: op::Target { choices, integer_products, ..target.into() },
            activations,
        },
        passes: PassOptions { formats, fuse: true },
        context: 4096,
        cache: if f8 { Elem::F8 } else { activations },
        padding: false,
        all_logits: false,
    }
}

/// Bits of codes, scales and biases that a product loads for each weight.
fn bits(plan: &Plan, call: &Call) -> Option<f64> {
    let (mut bits, mut weights) = (0, 0);
    for slot in &call.slots {
        let Slot::Weight { weight, part, count, .. } = slot else { continue };
        let weight = &plan.weights[weight.0 as usize];
        if matches!(weight.packing, WeightPacking::Matrix { .. }) {
            bits += 8 * weight.bytes(*part, *count);
            weights = weights.max(count * weight.k);
        }
    }
    let product = call.kernel.reflection.slots.iter().any(|slot| slot.name == "x");
    (product && weights > 0).then(|| bits as f64 / weights as f64)
}

fn words(kernel: &Kernel, profile: &str, target: &Target) -> Result<Vec<u32>, Box<dyn Error>> {
    let clamped = CLAMPED.contains(&profile);
    if !profile.starts_with("apple") {
        let integer_dot = target.integer_dot != IntegerDot::None;
        return Ok(spirv(
            kernel,
            SpirvOptions { check_bounds: clamped, integer_dot, ..SpirvOptions::default() },
        )?);
    }
    // On Metal wgpu translates, which clamps indices of arrays; Mesa's compiler for Apple takes SPIR-V.
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        capabilities: None,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    Ok(spv::write_vec(&kernel.module, &kernel.info, &options, None)?)
}
