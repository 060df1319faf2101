//! Which matrices lie in textures where that is wanted: each in one memory alone.

use std::collections::HashMap;

use bench::models;
use devices::WeightMemory;
use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase},
    op::{Elem, LowerOptions, WeightPacking, WeightUse},
    passes::{PassOptions, WeightFormats},
};

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const PHASES: [Phase; 2] = [Phase::Prefill { chunk: 16 }, Phase::Decode];

fn options(format: WeightFormat, max_texture: u32) -> LanguageOptions {
    let device = devices::Target::from_profile(devices::by_name("adreno-750").unwrap());
    let mut lower = LowerOptions { target: (&device).into(), activations: Elem::F16 };
    lower.target.weights = WeightMemory::Texture;
    lower.target.max_texture = max_texture;
    LanguageOptions {
        lower,
        passes: PassOptions { formats: WeightFormats::uniform(format), fuse: true },
        context: 1024,
        cache: Elem::F16,
        padding: false,
        all_logits: false,
    }
}

/// What each matrix of both phases lies in, by name, and what it is. One that lies in two memories is an error.
fn memories(
    name: &str,
    format: WeightFormat,
    max_texture: u32,
) -> HashMap<String, (WeightMemory, WeightUse)> {
    let known = models::all().iter().find(|known| known.name == name).unwrap();
    let layers = known.architecture.sliding.map_or(2, |sliding| sliding.every);
    let architecture = models::Architecture { layers, ..known.architecture.clone() };
    let model = LanguageModel::recognise(architecture.open(name, 0).unwrap().graph).unwrap();
    let mut all: HashMap<String, (WeightMemory, WeightUse)> = HashMap::new();
    for phase in PHASES {
        let prepared = model.prepare(phase, &options(format, max_texture)).unwrap();
        for wanted in &prepared.plan.weights {
            let WeightPacking::Matrix { memory, .. } = wanted.packing else { continue };
            let matrix = prepared.graph.value(wanted.value).name.clone();
            if let Some((before, _)) = all.insert(matrix.clone(), (memory, wanted.clone())) {
                assert_eq!(before, memory, "{name}: {matrix} in two memories");
            }
        }
    }
    all
}

#[test]
fn matrices_of_known_models_lie_in_textures_but_for_what_is_looked_up() {
    for known in models::all() {
        let all = memories(known.name, M0E4, 1 << 20);
        let buffers: Vec<_> = all.iter().filter(|(_, (memory, _))| *memory == WeightMemory::Buffer).collect();
        let [(_, (_, table))] = buffers.as_slice() else { panic!("{}: {buffers:?}", known.name) };
        assert_eq!(table.n, known.architecture.vocabulary, "{}", known.name);
        assert!(all.len() >= 9, "{}: {} matrices", known.name, all.len());
    }
}

#[test]
fn what_has_no_codes_or_is_too_large_for_a_texture_lies_in_a_buffer() {
    let halves = memories("llama2-7b", WeightFormat::F16, 1 << 20);
    assert!(halves.values().all(|(memory, _)| *memory == WeightMemory::Buffer));
    // A texel holds 8 columns of 4 rows.
    let least = memories("llama2-7b", M0E4, 4096 / 8);
    for (name, (memory, wanted)) in &least {
        let fits = wanted.k <= 4096 && wanted.n <= 4 * 4096 / 8;
        assert_eq!(*memory == WeightMemory::Texture, fits, "{name}: {} by {}", wanted.n, wanted.k);
    }
}
