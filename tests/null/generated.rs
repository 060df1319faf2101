//! Graphs of our own generator against those of transformers' exporters at the same sizes, and those of known models.

use std::collections::BTreeMap;

use bench::models;
use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    plan::Plan,
};
use tests::tiny::{CHATGLM, TINY};

use crate::fusions::prepare;

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const PHASES: [Phase; 2] = [Phase::Prefill { chunk: 16 }, Phase::Decode];

/// How often each kernel is called, all its choices told.
fn kernels(plan: &Plan) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for call in &plan.calls {
        *all.entry(call.spec.to_string()).or_default() += 1;
    }
    all
}

#[test]
fn generated_graphs_become_the_kernels_of_exported_ones() {
    let mut wrong = Vec::new();
    for (fixture, architecture) in &TINY {
        let exported = ModelFile::open(&tests::fixture(fixture).join("model.onnx")).unwrap();
        let exported = LanguageModel::recognise(exported.graph).unwrap();
        let file = architecture.open(fixture, 0).unwrap();
        let ours = LanguageModel::recognise(file.graph).unwrap_or_else(|e| panic!("{fixture}: {e}"));
        for (phase, padding) in PHASES.iter().flat_map(|phase| [(*phase, false), (*phase, true)]) {
            let [want, got] = [&exported, &ours].map(|model| prepare(model, phase, padding).unwrap());
            let (want, got) = (kernels(&want.plan), kernels(&got.plan));
            if want != got {
                wrong.push(format!("{fixture} {phase:?}, padding {padding}: {got:#?}, not {want:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn phone() -> LanguageOptions {
    let target = devices::Target::from_profile(devices::by_name("adreno-750").unwrap());
    LanguageOptions {
        lower: LowerOptions { target: (&target).into(), activations: Elem::F16 },
        passes: PassOptions { formats: WeightFormats::uniform(M0E4), fuse: true },
        context: 1024,
        cache: Elem::F16,
        padding: false,
        all_logits: false,
    }
}

/// A few layers of each known model, as wide as it is, planned for a phone.
#[test]
fn known_models_are_planned_for_a_phone() {
    let options = phone();
    for known in models::all() {
        let name = known.name;
        // As many as it takes for each kind of layer.
        let layers = known.architecture.sliding.map_or(2, |sliding| sliding.every);
        let architecture = models::Architecture { layers, ..known.architecture.clone() };
        let model = LanguageModel::recognise(architecture.open(name, 0).unwrap().graph);
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.vocabulary(), Some(architecture.vocabulary), "{name}");
        for phase in PHASES {
            let prepared = model.prepare(phase, &options).unwrap_or_else(|e| panic!("{name} {phase:?}: {e}"));
            assert!(prepared.report.refused.is_empty(), "{name} {phase:?}: {:#?}", prepared.report.refused);
            assert_eq!(prepared.report.applied.get("Attention"), Some(&layers), "{name} {phase:?}");
        }
    }
}

#[test]
fn a_layer_of_llama2_is_six_dispatches() {
    let llama = models::named("llama2-7b").unwrap();
    let model = LanguageModel::recognise(llama.open(0).unwrap().graph).unwrap();
    let plan = model.prepare(Phase::Decode, &phone()).unwrap().plan;
    let layers = llama.architecture.layers;
    assert!((6 * layers..6 * layers + 9).contains(&plan.calls.len()), "{} dispatches", plan.calls.len());
}

#[test]
fn fused_heads_are_planned_as_well() {
    let (name, architecture) = CHATGLM;
    let model = LanguageModel::recognise(architecture.open(name, 0).unwrap().graph).unwrap();
    for phase in PHASES {
        let report = prepare(&model, phase, false).unwrap().report;
        assert!(report.refused.is_empty(), "{:#?}", report.refused);
    }
}
