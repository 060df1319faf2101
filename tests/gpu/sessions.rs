//! Sessions: several on one model, running out of room, going back, and what they refuse.

use std::sync::Arc;

use engine::{
    EngineError,
    session::{LoadedModel, Session},
};
use tests::{Choices, Expected, load, models};

const FIRST: [u32; 5] = [3, 14, 15, 92, 65];
const SECOND: [u32; 7] = [2, 71, 82, 81, 82, 84, 59];

fn model(choices: Choices) -> Arc<LoadedModel> {
    load(&models("tiny_llama")[0].join("model.onnx"), choices)
}

/// Logits of each part, run one after the other.
fn alone(model: &Arc<LoadedModel>, parts: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut session = Session::new(model.clone(), 64).unwrap();
    parts.iter().map(|part| session.run(part).unwrap()).collect()
}

#[test]
fn sessions_of_one_model_do_not_see_each_other() {
    let model = model(Choices::default());
    let steps: Vec<[u32; 1]> = (0..6).map(|i| [7 * i + 1]).collect();
    let (mut first, mut second): (Vec<&[u32]>, Vec<&[u32]>) = (vec![&FIRST], vec![&SECOND]);
    first.extend(steps.iter().map(<[u32; 1]>::as_slice));
    second.extend(steps.iter().rev().map(<[u32; 1]>::as_slice));
    let (want_first, want_second) = (alone(&model, &first), alone(&model, &second));
    // The capacities differ, so that their memory is laid out differently.
    let mut a = Session::new(model.clone(), 64).unwrap();
    let mut b = Session::new(model, 32).unwrap();
    for at in 0..first.len() {
        assert_eq!(a.run(first[at]).unwrap(), want_first[at], "first session, run {at}");
        assert_eq!(b.run(second[at]).unwrap(), want_second[at], "second session, run {at}");
    }
}

#[test]
fn a_profiled_step_is_the_same_step() {
    let model = model(Choices::default());
    let mut session = Session::new(model.clone(), 64).unwrap();
    for (tokens, decode) in [(FIRST.as_slice(), false), (&[100], true)] {
        let times = session.profile(tokens).unwrap();
        assert_eq!(times.len(), model.plan(decode).calls.len());
        assert!(times.iter().any(|time| !time.is_zero()), "no call takes any time");
    }
    assert_eq!(session.past(), FIRST.len() + 1);
    assert_eq!(session.run(&SECOND).unwrap(), alone(&model, &[&FIRST, &[100], &SECOND])[2]);
    assert!(session.profile(&[]).is_err());
    assert!(session.profile(&[u32::MAX]).is_err());
}

#[test]
fn a_full_context_is_an_error_that_leaves_the_session_usable() {
    let model = model(Choices::default());
    let mut session = Session::new(model.clone(), 8).unwrap();
    session.run(&FIRST).unwrap();
    let error = session.run(&[1, 2, 3, 4]).unwrap_err();
    assert!(matches!(error, EngineError::ContextFull { capacity: 8, past: 5, new: 4 }), "{error}");
    let rest = session.run(&[1, 2, 3]).unwrap();
    assert_eq!(rest, alone(&model, &[&FIRST, &[1, 2, 3]])[1]);
    assert_eq!(session.past(), session.capacity());
    let error = session.run(&[4]).unwrap_err();
    assert!(matches!(error, EngineError::ContextFull { capacity: 8, past: 8, new: 1 }), "{error}");
    session.truncate(7);
    let again = session.run(&[9]).unwrap();
    assert_eq!(again, alone(&model, &[&FIRST, &[1, 2], &[9]])[2]);
}

#[test]
fn going_back_is_as_if_the_rest_had_never_been() {
    let model = model(Choices::default());
    let mut session = Session::new(model.clone(), 64).unwrap();
    session.run(&FIRST).unwrap();
    session.run(&SECOND).unwrap();
    session.run(&[100]).unwrap();
    session.truncate(FIRST.len());
    assert_eq!(session.past(), FIRST.len());
    let got = [session.run(&[5, 6]).unwrap(), session.run(&[7]).unwrap()];
    assert_eq!(got[..], alone(&model, &[&FIRST, &[5, 6], &[7]])[1..]);
    session.truncate(0);
    assert_eq!(session.run(&SECOND).unwrap(), alone(&model, &[&SECOND])[0]);
    session.truncate(1000);
    assert_eq!(session.past(), SECOND.len(), "nothing is there to be forgotten");
}

#[test]
fn refused_runs_change_nothing() {
    let model = model(Choices { chunk: 16, ..Choices::default() });
    let mut session = Session::new(model.clone(), 64).unwrap();
    session.run(&FIRST).unwrap();
    let cases: [(&[u32], &str); 4] = [
        (&[], "a run takes 1 to 16 tokens, 0 are given"),
        (&[1; 17], "a run takes 1 to 16 tokens, 17 are given"),
        (&[1, 128], "token 128 is not in the vocabulary of 128"),
        (&[u32::MAX], "token 4294967295 is not in the vocabulary of 128"),
    ];
    for (tokens, want) in cases {
        let error = session.run(tokens).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert_eq!(session.past(), FIRST.len());
    }
    assert_eq!(session.run(&[127]).unwrap(), alone(&model, &[&FIRST, &[127]])[1]);
}

#[test]
fn a_session_holds_one_position_to_the_context() {
    let model = model(Choices { context: 32, ..Choices::default() });
    for capacity in [0, 33, usize::MAX] {
        let error = Session::new(model.clone(), capacity).unwrap_err().to_string();
        assert!(error.contains("a session holds 1 to 32 positions"), "{error}");
    }
    let mut least = Session::new(model.clone(), 1).unwrap();
    assert_eq!(least.run(&[3]).unwrap(), alone_in(&model, 32, &[3]));
    let mut most = Session::new(model.clone(), 32).unwrap();
    let all: Vec<u32> = (0..32).collect();
    assert_eq!(most.run(&all).unwrap().len(), 32 * 128);
}

fn alone_in(model: &Arc<LoadedModel>, capacity: usize, tokens: &[u32]) -> Vec<f32> {
    Session::new(model.clone(), capacity).unwrap().run(tokens).unwrap()
}

#[test]
fn padding_is_declared_before_anything_is_run() {
    let mut plain = Session::new(model(Choices::default()), 64).unwrap();
    let error = plain.pad_left(1).unwrap_err().to_string();
    assert!(error.contains("loaded with padding"), "{error}");
    let padding = model(Choices { padding: true, ..Choices::default() });
    let mut begun = Session::new(padding.clone(), 64).unwrap();
    begun.run(&FIRST).unwrap();
    let error = begun.pad_left(1).unwrap_err().to_string();
    assert!(error.contains("empty session"), "{error}");
    // A session that is emptied may be padded; its logits are those of a new one.
    let expected = Expected::read(&models("tiny_llama")[0].join("expected_padded"));
    let mut new = Session::new(padding, 64).unwrap();
    begun.truncate(0);
    for session in [&mut begun, &mut new] {
        session.pad_left(expected.padding).unwrap();
    }
    assert_eq!(begun.run(&expected.prompt).unwrap(), new.run(&expected.prompt).unwrap());
}
