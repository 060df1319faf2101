//! Every kernel that multiplies, on every case of the operators that have a choice of them: each gives the reference.

use std::collections::BTreeSet;

use devices::WeightMemory;
use engine::{
    gpu::{Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    op::{Case, Choices, Elem, Tolerance, sample},
    ops::{
        gated::Activation, gated_linear::GatedLinear, heads_linear::HeadsLinear, linear::Linear, rope::Rope,
    },
    qualify::Trial,
};
use shaders::Access;

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const AFFINE: WeightFormat = WeightFormat::Affine8 { group: GroupSize::G64 };

/// Sizes that end inside of every tile, block, group, round of loads and part of a row.
fn large() -> Vec<Case> {
    let matrix = |n: usize, k: usize| Some(sample::floats_in(&[n, k], 2, -0.25, 0.25));
    let x = |shape: &[usize]| Some(sample::floats_in(shape, 1, -1.0, 1.0));
    let gain = |k: usize| Some(sample::floats_in(&[k], 3, 0.5, 1.5));
    let mut cases = Vec::new();
    for format in [M0E4, AFFINE] {
        for (m, n, k) in [(1, 334, 1080), (1, 70, 2120), (2, 150, 1080), (150, 334, 104)] {
            let inputs = vec![x(&[1, m, k]), matrix(n, k), x(&[1, m, n])];
            let case = Case::new(format!("{format} {m}x{k} to {n}"), Linear::new(format, false), inputs);
            cases.push(case.constants(&[1]));
        }
        let op = GatedLinear { format, activation: Activation::Silu, epsilon: Some(1e-5) };
        for (n, k, most) in [(334, 1080, 0.25), (70, 2120, 0.125)] {
            let matrix = sample::floats_in(&[n, k], 2, -most, most);
            let inputs = vec![x(&[1, 1, k]), Some(matrix), None, gain(k)];
            cases.push(Case::new(format!("{format} gate {k} to {n}"), op.clone(), inputs).constants(&[1, 3]));
        }
    }
    let rope = Rope { interleaved: false, rotary_dim: 16, full_table: false };
    for m in [1, 37] {
        let op = HeadsLinear {
            format: M0E4,
            heads: [5, 3, 3],
            head_dim: 20,
            turn: Some((rope.clone(), 2)),
            in_rows: false,
            epsilon: Some(1e-5),
            head_epsilon: None,
        };
        let table = sample::floats_in(&[1, m, 16], 5, -1.0, 1.0);
        let inputs = vec![x(&[1, m, 1080]), matrix(220, 1080), None, gain(1080), Some(table)];
        cases.push(Case::new(format!("heads of {m}"), op, inputs).constants(&[1, 3]));
    }
    cases
}

fn all_cases() -> impl Iterator<Item = Case> {
    use engine::ops::{gated_linear, heads_linear, linear};
    let tables = [linear::OPERATOR.cases, gated_linear::OPERATOR.cases, heads_linear::OPERATOR.cases];
    // 8-bit codes are in the large ones; of other groups only numbers differ.
    let tried = |case: &Case| case.name.contains("m0e4-g32") || case.name.starts_with("f16");
    tables.into_iter().flat_map(|cases| cases()).filter(tried).chain(large())
}

/// Whether `case` is tried in `activations`, and how near it must come.
fn with_tolerance(case: Case, activations: Elem) -> Case {
    let Tolerance { absolute, relative } = case.tolerance;
    let least = match activations {
        // What a gate lets through is about 10 here, of two sums of 1080 products each.
        Elem::F16 => Tolerance { absolute: 5e-2, relative: 2e-2 },
        _ => Tolerance { absolute: 1e-4, relative: 1e-4 },
    };
    case.tolerance(Tolerance {
        absolute: absolute.max(least.absolute),
        relative: relative.max(least.relative),
    })
}

/// Every kernel, of matrices in `memory`, as far as they have codes; in bytes, of those that multiply in 8 bits.
fn every_candidate(activations: Elem, memory: WeightMemory, in_bytes: bool) {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    // What reads weights from textures, and what multiplies in 8 bits, is the same in many.
    let few = memory == WeightMemory::Texture || in_bytes;
    let profiles: &[&str] = match (in_bytes, few) {
        (true, _) => &["adreno-750", "mali-g720", "lavapipe", "adreno-660"],
        (false, true) => &["adreno-750", "mali-g720", "lavapipe"],
        (false, false) => &["adreno-750", "mali-g720", "lavapipe", "nvidia", "adreno-830"],
    };
    for profile in profiles {
        let profile = devices::by_name(profile).unwrap();
        let gpu = Gpu::open(&OpenOptions::default()).unwrap().acting_as(profile);
        let gpu = gpu.with_weights(memory).with_integer_products(in_bytes);
        if activations == Elem::F16 && !gpu.target().f16 {
            println!("skipped: this GPU has no f16");
            return;
        }
        // There sizes that end inside of everything are enough, as of f16: what follows the products is the same.
        let few = few || activations == Elem::F16;
        let mut cases: Vec<Case> = if few { large() } else { all_cases().collect() };
        if memory == WeightMemory::Texture {
            cases.retain(|case| !case.name.starts_with("f16"));
        }
        for case in cases {
            let case = with_tolerance(case, activations);
            for round in 0.. {
                gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
                let trial = Trial::new(gpu.target(), &case, activations).unwrap();
                let textures = trial.kernels().flat_map(|kernel| &kernel.reflection.slots);
                let textures = textures.filter(|slot| slot.access == Access::Texture).count();
                assert_eq!(textures > 0, memory == WeightMemory::Texture, "{}", case.name);
                let longest = trial.choices().iter().map(|choice| choice.candidates.len()).max().unwrap_or(0);
                if round >= longest {
                    break;
                }
                let choice = &trial.choices()[0];
                let name = format!("{} {}", choice.problem, choice.variant());
                // What another profile has tried on this case already.
                if in_bytes != choice.variant().contains(" i8")
                    || !seen.insert(format!("{} / {name}", case.name))
                {
                    continue;
                }
                if let Err(e) = trial.run(&gpu, 1) {
                    wrong.push(format!("{}: {} / {name}: {}", profile.name, case.name, e.text));
                }
            }
        }
    }
    assert!(seen.len() > if in_bytes { 100 } else { 300 }, "only {} kernels and cases", seen.len());
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}

#[test]
fn every_candidate_gives_the_reference() {
    every_candidate(Elem::F32, WeightMemory::Buffer, false);
}

#[test]
fn every_candidate_in_half_precision_is_near() {
    every_candidate(Elem::F16, WeightMemory::Buffer, false);
}

#[test]
fn every_candidate_gives_the_reference_from_textures() {
    every_candidate(Elem::F32, WeightMemory::Texture, false);
}

#[test]
fn every_candidate_in_half_precision_is_near_from_textures() {
    every_candidate(Elem::F16, WeightMemory::Texture, false);
}

#[test]
fn every_candidate_in_eight_bits_gives_the_reference_that_rounds_likewise() {
    every_candidate(Elem::F32, WeightMemory::Buffer, true);
}

#[test]
fn every_candidate_in_eight_bits_of_half_precision_is_near() {
    every_candidate(Elem::F16, WeightMemory::Buffer, true);
}
