//! The fused graph and the decode plan of a tiny model as text: what a change of the passes or the planner moves.
//! `INSTA_UPDATE=always` writes them anew.

use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
};

fn check(export: &str) {
    let path = tests::fixture("tiny_llama").join(export).join("model.onnx");
    let model = LanguageModel::recognise(ModelFile::open(&path).unwrap().graph).unwrap();
    let device = devices::Target::from_profile(devices::by_name("adreno-750").unwrap());
    let options = LanguageOptions {
        lower: LowerOptions { target: (&device).into(), activations: Elem::F32 },
        passes: PassOptions {
            formats: WeightFormats::uniform(WeightFormat::M0e4 { group: GroupSize::G32 }),
            fuse: true,
        },
        context: 512,
        cache: Elem::F32,
        padding: false,
        all_logits: false,
    };
    let decode = model.prepare(Phase::Decode, &options).unwrap();
    insta::assert_snapshot!(format!("{export}_decode_graph"), decode.graph.to_string());
    insta::assert_snapshot!(format!("{export}_decode_plan"), decode.plan.to_string());
}

#[test]
fn dynamo20() {
    check("dynamo20");
}

#[test]
fn ts20() {
    check("ts20");
}
