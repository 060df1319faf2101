//! Tiny models from every exporter against ONNX Runtime: prefill, decode, padding, splits, fused and unfused.

use std::path::Path;

use engine::{EngineError, op::Elem, open::ModelFile, session::Session};
use tests::{Choices, Expected, argmax, gpu, largest_difference, load, load_on, models};

/// f32 arithmetic in another order, on logits of up to [`USUAL`].
pub(crate) const CLOSE: f32 = 1e-4;

/// Logits of tiny models are as large as this. Those of some, as Gemma's, are larger, and so is the rounding of their sums.
const USUAL: f32 = 8.0;
/// Models stored as f16: the other runtime rounds between operators.
/// Half precision rounds every intermediate: unfused, the tiny Llama is 3.7e-2 off.
pub(crate) const HALF: f32 = 3e-2;

/// How far logits of the model in a folder may be from the other runtime's.
pub(crate) fn tolerance(folder: &Path) -> f32 {
    if folder.to_string_lossy().contains("fp16") { HALF } else { CLOSE }
}

/// Logits of a prompt in runs of `chunk` tokens, then of each decode step.
fn logits(session: &mut Session, expected: &Expected, chunk: usize) -> (Vec<f32>, Vec<f32>) {
    let mut prefill = Vec::new();
    for part in expected.prompt.chunks(chunk) {
        prefill.extend(session.run(part).unwrap());
    }
    let decode = expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()).collect();
    (prefill, decode)
}

/// The largest differences from the other runtime's logits, of the prefill and of the decode steps after it, as if the largest
/// logit were no more than [`USUAL`].
pub(crate) fn differences(
    folder: &Path,
    name: &str,
    choices: Choices,
    chunk: usize,
) -> Result<(f32, f32), EngineError> {
    let expected = Expected::read(&folder.join(name));
    let choices = Choices { padding: expected.padding > 0, ..choices };
    let file = ModelFile::open(&folder.join("model.onnx"))?;
    let model = load_on(&gpu(), &file, choices)?;
    let mut session = Session::new(model.clone(), model.context().min(64))?;
    if expected.padding > 0 {
        session.pad_left(expected.padding)?;
    }
    let (prefill, decode) = logits(&mut session, &expected, chunk);
    let vocabulary = expected.prefill_logits.len() / expected.prompt.len();
    let seen = expected.padding * vocabulary;
    let apart = |got: &[f32], want: &[f32]| {
        let largest = want.iter().fold(USUAL, |most, logit| most.max(logit.abs()));
        largest_difference(got, want) * USUAL / largest
    };
    Ok((apart(&prefill[seen..], &expected.prefill_logits[seen..]), apart(&decode, &expected.decode_logits)))
}

fn check(folder: &Path, name: &str, choices: Choices, chunk: usize) {
    let what = format!("{} {name} chunk {chunk}", folder.display());
    let (prefill, decode) =
        differences(folder, name, choices, chunk).unwrap_or_else(|e| panic!("{what}: {e}"));
    let limit = tolerance(folder);
    assert!(prefill < limit, "{what}: prefill differs by {prefill}");
    assert!(decode < limit, "{what}: decode differs by {decode}");
}

#[test]
fn tiny_llama_of_every_exporter_gives_the_other_runtimes_logits() {
    let folders = models("tiny_llama");
    assert!(folders.len() >= 5, "fixtures are missing");
    for folder in folders {
        check(&folder, "expected", Choices::default(), 64);
    }
}

#[test]
fn left_padding_is_invisible() {
    for folder in models("tiny_llama") {
        check(&folder, "expected_padded", Choices::default(), 64);
    }
}

#[test]
fn runs_of_nothing_but_padding_leave_no_trace() {
    let folder = &models("tiny_llama")[0];
    for chunk in [1, 2, 3, 4] {
        check(folder, "expected_padded", Choices::default(), chunk);
    }
}

#[test]
fn any_split_of_a_prompt_gives_the_same_logits_and_cache() {
    let folder = &models("tiny_llama")[0];
    let expected = Expected::read(&folder.join("expected"));
    let model = load(&folder.join("model.onnx"), Choices::default());
    let caches = |chunk: usize| {
        let mut session = Session::new(model.clone(), 64).unwrap();
        for part in expected.prompt.chunks(chunk) {
            session.run(part).unwrap();
        }
        (0..4).map(|i| session.cache(i).unwrap()).collect::<Vec<_>>()
    };
    let whole = caches(64);
    for chunk in [1, 2, 3, 5] {
        check(folder, "expected", Choices::default(), chunk);
        for (a, b) in caches(chunk).iter().zip(&whole) {
            let difference = largest_difference(a, b);
            assert!(difference < 1e-5, "chunk {chunk}: the cache differs by {difference}");
        }
    }
}

#[test]
fn unfused_graphs_give_the_same() {
    for folder in models("tiny_llama") {
        check(&folder, "expected", Choices { fuse: false, ..Choices::default() }, 64);
    }
}

#[test]
fn half_precision_activations_come_close() {
    if !gpu().target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    let folder = &models("tiny_llama")[0];
    let expected = Expected::read(&folder.join("expected"));
    let choices = Choices { activations: Elem::F16, ..Choices::default() };
    let mut session = Session::new(load(&folder.join("model.onnx"), choices), 64).unwrap();
    let (prefill, decode) = logits(&mut session, &expected, 64);
    assert!(largest_difference(&prefill, &expected.prefill_logits) < HALF);
    assert!(largest_difference(&decode, &expected.decode_logits) < HALF);
}

#[test]
fn decode_after_prefill_of_n_is_prefill_of_n_plus_one() {
    let folder = &models("tiny_llama")[0];
    let expected = Expected::read(&folder.join("expected"));
    let model = load(&folder.join("model.onnx"), Choices { all_logits: false, ..Choices::default() });
    let (last, first) = expected.prompt.split_last().unwrap();
    let mut split = Session::new(model.clone(), 64).unwrap();
    split.run(first).unwrap();
    let stepped = split.run(&[*last]).unwrap();
    let whole = Session::new(model, 64).unwrap().run(&expected.prompt).unwrap();
    assert!(largest_difference(&stepped, &whole) < 1e-5);
    assert_eq!(argmax(&stepped), argmax(&whole));
}
