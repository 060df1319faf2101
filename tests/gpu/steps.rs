//! What a decode step asks of the GPU, read from its counters.

use std::sync::Arc;

use engine::{
    gpu::{Counts, Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    open::ModelFile,
    session::Session,
};
use tests::{Choices, Expected, load_on, models};

/// A GPU that no other test counts on.
fn own_gpu() -> Arc<Gpu> {
    Arc::new(Gpu::open(&OpenOptions::default()).unwrap())
}

const FORMATS: [WeightFormat; 2] = [WeightFormat::F32, WeightFormat::M0e4 { group: GroupSize::G32 }];

#[test]
fn a_decode_step_makes_nothing_and_copies_nothing() {
    let gpu = own_gpu();
    let webgpu = tests::fixture("dialects").join("llama_webgpu");
    for folder in models("tiny_llama").into_iter().chain(models("caches")).chain([webgpu]) {
        let name = folder.display();
        let expected = Expected::read(&folder.join("expected"));
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        // A model without a mask takes no padding.
        let padded = folder.join("expected_padded").is_dir().then_some((WeightFormat::F32, true));
        for (format, padding) in FORMATS.map(|f| (f, false)).into_iter().chain(padded) {
            let model = load_on(&gpu, &file, Choices { format, padding, ..Choices::default() }).unwrap();
            let loaded = gpu.counters().counts();
            let mut session = Session::new(model.clone(), model.context().min(64)).unwrap();
            let vocabulary = session.run(&expected.prompt).unwrap().len() / expected.prompt.len();
            session.run(&[1]).unwrap();
            let mut first: Option<Counts> = None;
            for token in 2..20 {
                let before = gpu.counters().counts();
                session.run(&[token]).unwrap();
                let did = gpu.counters().counts() - before;
                let made = (did.pipelines, did.buffers, did.bind_groups);
                assert_eq!(made, (0, 0, 0), "{name} {format}: pipelines, buffers, bind groups of a step");
                assert_eq!(
                    (did.copies, did.moved_bytes()),
                    (did.reads, 0),
                    "{name} {format}: only reading copies"
                );
                assert_eq!(did.dispatches, model.plan(true).dispatches() as u64, "{name} {format}");
                assert_eq!(
                    did.read_bytes,
                    4 * vocabulary as u64,
                    "{name} {format}: only logits are read back"
                );
                // The mask of a padded prompt is one longer in each step.
                let did = Counts { uploaded_bytes: if padding { 0 } else { did.uploaded_bytes }, ..did };
                assert_eq!(did, *first.get_or_insert(did), "{name} {format}: steps differ");
            }
            let since = gpu.counters().counts() - loaded;
            assert_eq!(since.pipelines, 0, "{name} {format}: pipelines made behind loading");
        }
    }
}

#[test]
fn a_second_session_brings_no_weights_and_no_pipelines() {
    let gpu = own_gpu();
    let file = ModelFile::open(&models("tiny_llama")[0].join("model.onnx")).unwrap();
    let model = load_on(&gpu, &file, Choices::default()).unwrap();
    let mut first = Session::new(model.clone(), 64).unwrap();
    first.run(&[1, 2, 3]).unwrap();
    let before = gpu.counters().counts();
    let mut second = Session::new(model.clone(), 64).unwrap();
    second.run(&[1, 2, 3]).unwrap();
    let did = gpu.counters().counts() - before;
    assert_eq!(did.pipelines, 0);
    assert!(did.uploaded_bytes < model.weight_bytes() / 4, "{} bytes uploaded", did.uploaded_bytes);
}
