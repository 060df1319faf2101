//! What a decode step asks of the GPU, read from its counters.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use bench::models::Architecture;
use engine::{
    generate::Generator,
    gpu::{Counts, Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    open::ModelFile,
    sampler::Sampling,
    session::Session,
};
use tests::{Choices, Expected, gpu, largest_difference, load_on, models, tiny::TINY};

use crate::models::CLOSE;

/// A GPU that no other test counts on.
fn own_gpu() -> Arc<Gpu> {
    Arc::new(Gpu::open(&OpenOptions::default()).unwrap())
}

/// Kernel calls of a session's next decode step.
fn dispatches(session: &Session) -> u64 {
    let model = session.model();
    let bindings = model.bindings(1, session.past(), session.capacity());
    model.plan(true).dispatches_for(&bindings).unwrap() as u64
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
                let dispatches = dispatches(&session);
                session.run(&[token]).unwrap();
                let did = gpu.counters().counts() - before;
                let made = (did.pipelines, did.buffers, did.bind_groups);
                assert_eq!(made, (0, 0, 0), "{name} {format}: pipelines, buffers, bind groups of a step");
                assert_eq!(
                    (did.copies, did.moved_bytes()),
                    (did.reads, 0),
                    "{name} {format}: only reading copies"
                );
                assert_eq!(did.dispatches, dispatches, "{name} {format}");
                assert_eq!(
                    did.read_bytes,
                    4 * vocabulary as u64,
                    "{name} {format}: only logits are read back"
                );
                // The mask of a padded prompt is one longer in each step; `replay` tells when steps are recorded.
                let uploaded_bytes = if padding { 0 } else { did.uploaded_bytes };
                let did = Counts { uploaded_bytes, recordings: 0, ..did };
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

#[test]
fn a_generated_token_comes_back_alone() {
    let gpu = own_gpu();
    for folder in models("tiny_llama") {
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        let model = load_on(&gpu, &file, Choices { all_logits: false, ..Choices::default() }).unwrap();
        let loaded = gpu.counters().counts();
        let session = Session::new(model.clone(), 64).unwrap();
        let mut generator = Generator::new(session, Sampling::default()).unwrap();
        assert_eq!((gpu.counters().counts() - loaded).pipelines, 0, "the likeliest is prepared for");
        let _ = generator.prompt(&[1, 2, 3], &mut |_, _| ControlFlow::Continue(())).unwrap();
        generator.next_token().unwrap();
        generator.next_token().unwrap();
        for _ in 0..10 {
            let before = gpu.counters().counts();
            let dispatches = dispatches(generator.session());
            generator.next_token().unwrap();
            let did = gpu.counters().counts() - before;
            assert_eq!((did.pipelines, did.buffers, did.bind_groups), (0, 0, 0), "{}", folder.display());
            // The one copy is that of the token to where it can be read.
            assert_eq!((did.copies, did.reads, did.read_bytes), (1, 1, 4), "{}", folder.display());
            // Its choice takes two.
            assert_eq!(did.dispatches, dispatches + 2, "{}", folder.display());
        }
    }
}

/// Keys are shared out in parts, whose results a kernel of its own joins, where there are more than one part has room for.
#[test]
fn steps_with_one_part_of_the_keys_and_with_more_are_those_of_a_prompt() {
    let (name, tiny) = &TINY[0];
    // A width that the kernels of attention have.
    let architecture = Architecture { head_dim: 16, ..tiny.clone() };
    let file = architecture.open(name, 7).unwrap();
    let model = load_on(&gpu(), &file, Choices::default()).unwrap();
    let tokens: Vec<u32> = (0..128).map(|i| (i * 37 + 11) % architecture.vocabulary as u32).collect();
    let whole = Session::new(model.clone(), 128).unwrap().run(&tokens).unwrap();
    let mut session = Session::new(model, 128).unwrap();
    session.run(&tokens[..50]).unwrap();
    let mut counts = BTreeSet::new();
    for at in 50..tokens.len() {
        counts.insert(dispatches(&session));
        let logits = session.run(&tokens[at..=at]).unwrap();
        let wanted = &whole[at * architecture.vocabulary..][..architecture.vocabulary];
        let apart = largest_difference(&logits, wanted);
        assert!(apart < CLOSE, "logits at {at} are {apart:.1e} apart");
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
}

#[test]
fn slices_of_a_step_compute_what_the_whole_does() {
    let folder = &models("tiny_llama")[0];
    let expected = Expected::read(&folder.join("expected"));
    let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
    let run = |max_submit: Duration| {
        let options = OpenOptions { max_submit: Some(max_submit), ..OpenOptions::default() };
        let gpu = Arc::new(Gpu::open(&options).unwrap());
        let model = load_on(&gpu, &file, Choices::default()).unwrap();
        let mut session = Session::new(model.clone(), 64).unwrap();
        let mut logits = session.run(&expected.prompt).unwrap();
        let before = (gpu.counters().counts(), gpu.submit_times());
        for token in 1..5 {
            logits.extend(session.run(&[token]).unwrap());
        }
        let submits = (gpu.counters().counts() - before.0).submits - 4;
        assert_eq!(
            (gpu.submit_times() - before.1).count(),
            submits,
            "each is measured; reading is not a step's"
        );
        (logits, submits as usize, model.plan(true).dispatches())
    };
    let (whole, submits, _) = run(Duration::ZERO);
    assert_eq!(submits, 4);
    // Every call takes longer than that.
    let (sliced, submits, calls) = run(Duration::from_nanos(10));
    assert!(submits > calls, "{submits} submissions of 4 steps of {calls} calls");
    assert_eq!(sliced, whole);
}
