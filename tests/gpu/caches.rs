//! KV caches in every form that ONNX has: the same tokens as the other runtime, nothing copied, room kept to.

use engine::{EngineError, op::Elem, session::Session};
use tests::{Choices, Expected, gpu, largest_difference, load, models};

use crate::models::{CLOSE, HALF, differences};

/// Positions that the caches of a fixed length have room for.
const LENGTH: usize = 32;

/// A model whose caches go around: what a query sees is no longer than they are.
const CIRCULAR: &str = "circular24";
const WINDOW: usize = 8;

#[test]
fn every_form_gives_the_other_runtimes_logits() {
    let folders = models("caches");
    assert!(folders.len() >= 6, "fixtures are missing");
    for folder in folders {
        for which in ["expected", "expected_padded"].into_iter().filter(|w| folder.join(w).is_dir()) {
            for (fuse, chunk) in [(true, 5), (true, 64), (false, 64)] {
                if !fuse && which != "expected" {
                    continue;
                }
                let choices = Choices { fuse, ..Choices::default() };
                let name = folder.display();
                let (prefill, decode) = differences(&folder, which, choices, chunk)
                    .unwrap_or_else(|e| panic!("{name} {which}: {e}"));
                assert!(
                    prefill < CLOSE && decode < CLOSE,
                    "{name} {which} fused {fuse} in {chunk}s: {prefill} and {decode} apart"
                );
            }
        }
    }
}

#[test]
fn every_form_can_be_held_in_half_precision() {
    if !gpu().target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    for folder in models("caches").into_iter().chain(models("tiny_llama")) {
        for fuse in [true, false] {
            let choices = Choices { fuse, cache: Elem::F16, ..Choices::default() };
            let name = folder.display();
            let (prefill, decode) =
                differences(&folder, "expected", choices, 5).unwrap_or_else(|e| panic!("{name}: {e}"));
            println!("{name} fused {fuse}: {prefill} and {decode} apart");
            assert!(
                prefill < 2.0 * HALF && decode < 2.0 * HALF,
                "{name} fused {fuse}: {prefill} and {decode} apart"
            );
        }
    }
}

/// Bytes that the kernels of a decode step write into the caches, seen from outside: nothing but the new position
/// changes.
#[test]
fn a_step_changes_one_position_of_the_cache() {
    for folder in models("caches").into_iter().filter(|f| !f.ends_with(CIRCULAR)) {
        let expected = Expected::read(&folder.join("expected"));
        let mut session = Session::new(load(&folder.join("model.onnx"), Choices::default()), LENGTH).unwrap();
        session.run(&expected.prompt).unwrap();
        let caches = |s: &Session| (0..4).map(|i| s.cache(i).unwrap()).collect::<Vec<_>>();
        let before = caches(&session);
        session.run(&expected.decode_tokens[..1]).unwrap();
        for (old, new) in before.iter().zip(caches(&session)) {
            let (past, heads) = (expected.prompt.len(), 2);
            let width = old.len() / heads / past;
            for head in 0..heads {
                let kept = &new[head * (past + 1) * width..][..past * width];
                assert_eq!(kept, &old[head * past * width..][..past * width], "{}", folder.display());
            }
        }
    }
}

#[test]
fn a_decode_step_dispatches_as_often_in_every_form() {
    let dispatches = |group: &str, name: &str| {
        let path = tests::fixture(group).join(name).join("model.onnx");
        load(&path, Choices::default()).plan(true).dispatches()
    };
    for (grown, names) in [
        ("llama_20", ["static20", "static24"].as_slice()),
        ("llama_23", &["attention23", "scatter24", "scatter24_fixed"]),
    ] {
        let most = dispatches("dialects", grown);
        for name in names {
            let own = dispatches("caches", name);
            assert!(own <= most, "{name}: {own} dispatches, {grown} has {most}");
        }
    }
}

#[test]
fn caches_of_a_fixed_length_say_when_they_are_full() {
    let model = load(&tests::fixture("caches/static20/model.onnx"), Choices::default());
    let error = Session::new(model.clone(), LENGTH + 1).unwrap_err().to_string();
    assert!(error.contains("1 to 32 positions"), "{error}");
    let mut session = Session::new(model, LENGTH).unwrap();
    session.run(&[5; LENGTH]).unwrap();
    assert!(matches!(session.run(&[5]), Err(EngineError::ContextFull { capacity: LENGTH, .. })));
    session.truncate(3);
    session.run(&[5]).unwrap();
}

#[test]
fn a_circular_cache_is_written_over_one_position_a_step() {
    let folder = tests::fixture("caches").join(CIRCULAR);
    let expected = Expected::read(&folder.join("expected"));
    let mut session = Session::new(load(&folder.join("model.onnx"), Choices::default()), LENGTH).unwrap();
    session.run(&expected.prompt).unwrap();
    assert!(session.past() > WINDOW);
    for token in 3..7 {
        let (before, at) = (session.cache(0).unwrap(), session.past() % WINDOW);
        session.run(&[token]).unwrap();
        let after = session.cache(0).unwrap();
        let width = after.len() / (2 * WINDOW);
        for (slot, (old, new)) in before.chunks(width).zip(after.chunks(width)).enumerate() {
            assert_eq!(old != new, slot % WINDOW == at, "slot {slot} of two heads, {at} is written");
        }
    }
}

#[test]
fn what_a_circular_cache_has_lost_is_forgotten_whole() {
    let folder = tests::fixture("caches").join(CIRCULAR);
    let mut session = Session::new(load(&folder.join("model.onnx"), Choices::default()), LENGTH).unwrap();
    let first = session.run(&[5, 6, 7]).unwrap();
    let vocabulary = first.len() / 3;
    session.run(&[8, 9]).unwrap();
    assert_eq!(session.truncate(2), 2, "nothing is lost yet");
    assert!(largest_difference(&session.run(&[7]).unwrap(), &first[2 * vocabulary..]) < CLOSE);
    session.run(&[9; WINDOW]).unwrap();
    assert_eq!(session.truncate(LENGTH), 3 + WINDOW, "nothing is taken away");
    assert_eq!(session.truncate(3), 0);
    assert!(largest_difference(&session.run(&[5, 6, 7]).unwrap(), &first) < CLOSE);
    session.run(&[5; LENGTH - 3]).unwrap();
    assert!(matches!(session.run(&[5]), Err(EngineError::ContextFull { capacity: LENGTH, .. })));
}
