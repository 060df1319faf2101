//! Encoder-decoders: what the encoder computes is given to the decoder's session once, the cache grows in place, and the
//! logits of each step are the other runtime's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{
    EngineError,
    encoder::Encoder,
    gpu::{Gpu, OpenOptions},
    host::HostTensor,
    open::ModelFile,
    session::{LoadedModel, Session},
};
use tests::{Choices, gpu, largest_difference, load_on, models_with, npy, tensor};

use crate::{encoders, models::CLOSE};

const ENCODER: &str = "encoder_model.onnx";
const CASES: [&str; 3] = ["whole", "padded_left", "padded_right"];
/// Room for the decoder's tokens and the encoder's positions.
const ROOM: usize = 32;

fn folders() -> Vec<PathBuf> {
    models_with("encoder_decoders", ENCODER)
}

/// The files that hold a decoder with a cache.
fn decoders(folder: &Path) -> Vec<PathBuf> {
    let names = ["decoder_with_past_model.onnx", "decoder_model_merged.onnx"];
    names.iter().map(|n| folder.join(n)).filter(|p| p.is_file()).collect()
}

fn encoder(gpu: &Arc<Gpu>, folder: &Path) -> Encoder {
    let first = folder.join("decoder_model.onnx");
    let first = first.is_file().then(|| encoders::open(gpu.clone(), &first));
    Encoder::new(encoders::open(gpu.clone(), &folder.join(ENCODER)), first)
}

fn decoder(gpu: &Arc<Gpu>, path: &Path, chunk: usize) -> Arc<LoadedModel> {
    let file = ModelFile::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let choices = Choices { context: ROOM, chunk, ..Choices::default() };
    load_on(gpu, &file, choices).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn prompt(case: &Path) -> BTreeMap<String, HostTensor> {
    let row = |name: &str| {
        let values = tensor(&case.join(name));
        HostTensor::from_i64(vec![1, values.len()], &values.to_i64s()).unwrap()
    };
    ["input_ids", "attention_mask"].map(|n| (n.to_owned(), row(&format!("{n}.npy")))).into()
}

fn tokens(case: &Path) -> Vec<u32> {
    npy(&case.join("tokens.npy")).into_iter().map(|t| t as u32).collect()
}

#[test]
fn each_step_gives_the_other_runtimes_logits() {
    let mut tried = 0;
    for folder in folders() {
        let mut encoder = encoder(&gpu(), &folder);
        for path in decoders(&folder) {
            let model = decoder(&gpu(), &path, 4);
            let mut session = Session::new(model, ROOM).unwrap();
            for case in CASES.map(|c| folder.join(c)) {
                let want: Vec<f32> = tensor(&case.join("logits.npy")).to_f32s();
                for chunk in [1, 3] {
                    session.truncate(0);
                    encoder.read(&prompt(&case), &mut session).unwrap();
                    let found: Vec<f32> =
                        tokens(&case).chunks(chunk).flat_map(|t| session.run(t).unwrap()).collect();
                    let difference = largest_difference(&found, &want);
                    let what = format!("{} {} in {chunk}s", path.display(), case.display());
                    assert!(difference < CLOSE, "{what}: {difference} apart");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 24, "{tried} decoders and cases");
}

#[test]
fn a_step_copies_nothing_and_makes_nothing() {
    for folder in folders() {
        for path in decoders(&folder) {
            let gpu = Arc::new(Gpu::open(&OpenOptions::default()).unwrap());
            let mut session = Session::new(decoder(&gpu, &path, 1), ROOM).unwrap();
            encoder(&gpu, &folder).read(&prompt(&folder.join("padded_right")), &mut session).unwrap();
            session.run(&[0]).unwrap();
            for token in 3..12 {
                let before = gpu.counters().counts();
                session.run(&[token]).unwrap();
                let did = gpu.counters().counts() - before;
                let name = path.display();
                let made = (did.pipelines, did.buffers, did.bind_groups);
                assert_eq!(made, (0, 0, 0), "{name}: pipelines, buffers, bind groups of a step");
                assert_eq!((did.copies, did.moved_bytes()), (did.reads, 0), "{name}: only reading copies");
                assert_eq!(did.dispatches, session.model().plan(true).dispatches() as u64, "{name}");
            }
        }
    }
}

#[test]
fn a_session_says_what_it_must_be_given() {
    let folder = folders().remove(0);
    let model = decoder(&gpu(), &decoders(&folder)[0], 4);
    let mut session = Session::new(model, ROOM).unwrap();
    let error = session.run(&[0]).unwrap_err().to_string();
    assert!(error.contains("encoder_attention_mask") && error.contains("past_key_values.1"), "{error}");
    let ones = |n: usize| HostTensor::from_i64(vec![1, n], &vec![1; n]).unwrap();
    let mut refused = |name: &str, tensor: &HostTensor, why: &str| {
        let error = session.remember(name, tensor).unwrap_err();
        assert!(matches!(error, EngineError::Input { .. }) && error.to_string().contains(why), "{error}");
    };
    refused("logits", &ones(3), "nothing to remember");
    refused("encoder_attention_mask", &ones(ROOM + 1), "from 1 to 32");
    refused("encoder_attention_mask", &ones(0), "from 1 to 32");
    refused("encoder_attention_mask", &ones(3).cast(engine::dtype::DType::F32), "the model takes i64");
    refused("encoder_attention_mask", &HostTensor::from_i64(vec![1, 2], &[1, 2]).unwrap(), "0 and 1 alone");
    let case = folder.join("whole");
    encoder(&gpu(), &folder).read(&prompt(&case), &mut session).unwrap();
    session.run(&[0]).unwrap();
    let error = session.remember("encoder_attention_mask", &ones(9)).unwrap_err().to_string();
    assert!(error.contains("empty session"), "{error}");
    // Another length makes it forget what was of the old one.
    session.truncate(0);
    session.remember("encoder_attention_mask", &ones(5)).unwrap();
    let error = session.run(&[0]).unwrap_err().to_string();
    assert!(!error.contains("encoder_attention_mask") && error.contains("past_key_values.1"), "{error}");
}
