//! Models whose weights are quantised already, by onnxruntime-genai's builder and by ONNX Runtime's tools.

use std::{collections::BTreeMap, path::PathBuf};

use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase, Prepared},
    op::WeightPacking,
    open::ModelFile,
    passes::WeightFormats,
    session::{LoadedModel, Session},
    weights::WeightSource,
};
use tests::{Choices, Expected, gpu, language_options, largest_difference};

/// Scales are stored as f16, which moves a weight of 4 bits by 1/400 of a step and one of 8 bits by up to 1/10.
const HALVES: f32 = 5e-2;

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const AFFINE8: WeightFormat = WeightFormat::Affine8 { group: GroupSize::G32 };
const WIDE: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G64 };
const WIDER: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G128 };
const WIDE8: WeightFormat = WeightFormat::Affine8 { group: GroupSize::G64 };

fn folder(name: &str) -> PathBuf {
    tests::fixture("dialects").join(name)
}

fn options(formats: WeightFormats) -> LanguageOptions {
    let mut options = language_options(&gpu(), Choices::default());
    options.passes.formats = formats;
    options
}

fn prepared(file: &ModelFile, formats: WeightFormats) -> Prepared {
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    model.prepare(Phase::Decode, &options(formats)).unwrap()
}

/// How many matrices a plan holds in which format.
fn held(prepared: &Prepared) -> BTreeMap<WeightFormat, usize> {
    let mut found = BTreeMap::new();
    for wanted in &prepared.plan.weights {
        if let WeightPacking::Matrix { format, .. } = wanted.packing {
            *found.entry(format).or_default() += 1;
        }
    }
    found
}

#[test]
fn quantised_matrices_keep_their_codes_and_groups() {
    // Two layers of four matrices each, a gate and what it lets through being one, and a head that is the embedding too
    // where that is quantised.
    let cases = [
        ("llama_genai_int4", vec![(M0E4, 9)]),
        ("llama_genai_graph", vec![(WIDE, 9)]),
        ("llama_genai_int8", vec![(M0E4, 1), (AFFINE8, 9)]),
        // Here the head is a matrix of its own, and the embedding in floats or bytes. A scale for a row is one group's of
        // 64 or 128.
        ("llama_qdq_blocks", vec![(M0E4, 1), (WIDE, 9)]),
        ("llama_qdq_channels", vec![(WIDE, 6), (WIDER, 2), (WIDE8, 3)]),
    ];
    for (name, wanted) in cases {
        let file = ModelFile::open(&folder(name).join("model.onnx")).unwrap();
        assert_eq!(
            held(&prepared(&file, WeightFormats::uniform(M0E4))),
            wanted.into_iter().collect(),
            "{name}"
        );
        let plain = held(&prepared(&file, WeightFormats::uniform(WeightFormat::F32)));
        assert!(plain.len() == 1 && plain.contains_key(&WeightFormat::F32), "{name}: {plain:?}");
    }
}

#[test]
fn nothing_is_left_of_dequantising_in_a_plan() {
    let nodes = |name: &str| {
        let file = ModelFile::open(&folder(name).join("model.onnx")).unwrap();
        let prepared = prepared(&file, WeightFormats::uniform(M0E4));
        let names = prepared.graph.nodes.iter().map(|node| node.op.name().to_owned());
        (names.collect::<Vec<_>>(), prepared.plan.steps.len())
    };
    assert_eq!(nodes("llama_qdq_blocks"), nodes("llama_20"));
    // One layer's gate has 8 bits and what it lets through has 4, so that they stay two products.
    let (names, steps) = nodes("llama_qdq_channels");
    assert!(!names.iter().any(|name| name.contains("Quant")), "{names:?}");
    assert_eq!(steps, nodes("llama_20").1 + 3);
}

/// All logits of the recorded prompt and steps.
fn logits(file: &ModelFile, expected: &Expected, formats: WeightFormats) -> Vec<f32> {
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let loaded = LoadedModel::load(gpu(), &model, &file.source, options(formats), 64, &|_| {}).unwrap();
    let mut session = Session::new(loaded, 64).unwrap();
    let mut all = session.run(&expected.prompt).unwrap();
    all.extend(expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()));
    all
}

#[test]
fn quantised_models_give_the_other_runtimes_logits_packed_or_not() {
    let four = WeightFormats::uniform(M0E4);
    let plain_embedding = WeightFormats { embedding: WeightFormat::F32, ..four };
    let cases = [
        ("llama_genai_int4", four),
        ("llama_genai_int8", plain_embedding),
        ("llama_genai_graph", four),
        ("llama_qdq_blocks", plain_embedding),
        ("llama_qdq_channels", four),
    ];
    for (name, formats) in cases {
        let expected = Expected::read(&folder(name).join("expected"));
        let want = [&expected.prefill_logits[..], &expected.decode_logits].concat();
        let file = ModelFile::open(&folder(name).join("model.onnx")).unwrap();
        let got = logits(&file, &expected, formats);
        let difference = largest_difference(&got, &want);
        assert!(difference < HALVES, "{name}: {difference}");

        let (kept, plan) = (tempfile::tempdir().unwrap(), prepared(&file, formats));
        let packed = kept.path().join("model.packed");
        let bytes = file.pack(&plan.graph, &plan.plan.weights, &formats, &packed, &|_, _| {}).unwrap();
        assert_eq!(bytes, packed.metadata().unwrap().len());
        let again = ModelFile::open(&packed).unwrap();
        let WeightSource::Packed(model) = &again.source else { panic!("{name}: nothing is packed") };
        let kept = |part: &str| {
            file.graph.values.iter().any(|v| v.name.ends_with(part) && model.tensor(&v.name).is_some())
        };
        for part in ["_Q4", "_Q8", "_codes", "_scales", "_zero_points"] {
            assert!(!kept(part), "{name}: {part} is kept beside the packed matrix");
        }
        assert_eq!(logits(&again, &expected, formats), got, "{name} packed");
    }
}
