//! Steps that are recorded once for all: what wgpu gives that records each, bit for bit, and recorded no more often than
//! their workgroups change.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bench::models::Architecture;
use devices::{F16, WeightMemory};
use engine::{
    generate::Generator,
    gpu::{Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    op::Elem,
    open::ModelFile,
    sampler::Sampling,
    session::Session,
};
use tests::{Choices, load_on, tiny::TINY};

/// A GPU that records once, or one by wgpu.
fn open(replay: bool, max_submit: Duration) -> Arc<Gpu> {
    let options = OpenOptions { replay, max_submit: Some(max_submit), ..OpenOptions::default() };
    Arc::new(Gpu::open(&options).unwrap())
}

fn tiny() -> ModelFile {
    let (name, tiny) = &TINY[0];
    // A width that the kernels of attention have.
    let architecture = Architecture { head_dim: 16, ..tiny.clone() };
    architecture.open(name, 7).unwrap()
}

/// What a session gives for prompts and steps, back and forth, until keys lie in several parts.
fn logits(gpu: &Arc<Gpu>, file: &ModelFile, choices: Choices) -> Vec<f32> {
    let model = load_on(gpu, file, choices).unwrap();
    let mut session = Session::new(model.clone(), 128).unwrap();
    let tokens: Vec<u32> = (0..100).map(|i| (i * 37 + 11) % model.vocabulary() as u32).collect();
    let mut logits = session.run(&tokens[..1]).unwrap();
    logits.extend(session.run(&tokens[1..50]).unwrap());
    tokens[50..70].iter().for_each(|token| logits.extend(session.run(&[*token]).unwrap()));
    session.truncate(40);
    logits.extend(session.run(&tokens[40..55]).unwrap());
    tokens[55..].iter().for_each(|token| logits.extend(session.run(&[*token]).unwrap()));
    logits
}

#[test]
fn what_is_recorded_once_gives_what_wgpu_does() {
    let file = tiny();
    let whole = Duration::ZERO;
    let (once, anew, sliced) = (open(true, whole), open(false, whole), open(true, Duration::from_nanos(10)));
    let packed = WeightFormat::M0e4 { group: GroupSize::G32 };
    let halves = (once.offers().f16 != F16::None).then_some(Elem::F16);
    for activations in [Some(Elem::F32), halves].into_iter().flatten() {
        for (format, weights) in [
            (WeightFormat::F32, WeightMemory::Buffer),
            (packed, WeightMemory::Buffer),
            (packed, WeightMemory::Texture),
        ] {
            let choices = Choices { format, weights, activations, cache: activations, ..Choices::default() };
            let wanted = logits(&anew, &file, choices);
            assert!(wanted.iter().all(|x| x.is_finite()));
            let what = format!("{format} {weights:?} {activations:?}");
            assert!(logits(&once, &file, choices) == wanted, "{what}: other logits");
            assert!(logits(&sliced, &file, choices) == wanted, "{what} in slices: other logits");
        }
    }
    assert_eq!(anew.counters().counts().recordings, 0);
    let vulkan = once.summary().adapter.backend == "Vulkan";
    assert_eq!(once.counters().counts().recordings > 0, vulkan);
}

#[test]
fn steps_are_recorded_when_their_workgroups_change() {
    let file = tiny();
    let gpu = open(true, Duration::ZERO);
    let model = load_on(&gpu, &file, Choices::default()).unwrap();
    let mut session = Session::new(model.clone(), 128).unwrap();
    let workgroups = |past: usize| {
        let bound = model.plan(true).bind(&model.bindings(1, past, 128), gpu.offset_alignment()).unwrap();
        bound.calls.iter().map(|call| call.workgroups).collect::<Vec<_>>()
    };
    let (mut before, mut kept) = (None, 0);
    for past in 0..100 {
        let counts = gpu.counters().counts();
        session.run(&[past as u32]).unwrap();
        let made = (gpu.counters().counts() - counts).recordings;
        let wanted = Some(workgroups(past));
        let vulkan = gpu.summary().adapter.backend == "Vulkan";
        assert_eq!(made > 0, vulkan && before != wanted, "step {past}");
        kept += usize::from(before == wanted);
        before = wanted;
    }
    assert!(kept > 90, "{kept} of 100 steps are like the one before");
}

/// A step that nobody waits for still reads what its session had.
#[test]
fn sessions_may_go_while_their_steps_are_under_way() {
    let file = tiny();
    let gpu = open(true, Duration::ZERO);
    let model = load_on(&gpu, &file, Choices { all_logits: false, ..Choices::default() }).unwrap();
    let texts: Vec<Vec<u32>> = (0..20)
        .map(|_| {
            let session = Session::new(model.clone(), 64).unwrap();
            let mut generator = Generator::new(session, Sampling::default()).unwrap();
            let _ = generator.prompt(&[1, 2, 3], &mut |_, _| ControlFlow::Continue(())).unwrap();
            // The step behind the last token has begun.
            (0..5).map(|_| generator.next_token().unwrap()).collect()
        })
        .collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}
