//! Compares SmolLM2's exports with what ONNX Runtime computed on the same files:
//!
//! ```text
//! cargo run --release -p tests --example acceptance -- MODELS REFERENCES [EXPORT…]
//! ```
//!
//! `MODELS/<export>/model.onnx` and `REFERENCES/<export>/` are made by `scripts/oracle/`. For each export: the largest
//! difference of the logits of a prefill and of 32 decode steps, of a left-padded prompt, and whether 64 greedy tokens
//! of 5 prompts are the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::session::{LoadedModel, Session};
use tests::{Choices, Expected, argmax, largest_difference, load, npy};

struct Differences {
    prefill: f32,
    decode: f32,
}

fn compare(model: &Arc<LoadedModel>, folder: &Path) -> Differences {
    let expected = Expected::read(folder);
    let vocabulary = expected.prefill_logits.len() / expected.prompt.len();
    let mut session = Session::new(model.clone(), 512).unwrap();
    if expected.padding > 0 {
        session.pad_left(expected.padding).unwrap();
    }
    let prefill = session.run(&expected.prompt).unwrap();
    let seen = expected.padding * vocabulary;
    let steps: Vec<f32> = expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()).collect();
    Differences {
        prefill: largest_difference(&prefill[seen..], &expected.prefill_logits[seen..]),
        decode: largest_difference(&steps, &expected.decode_logits),
    }
}

/// How many of the greedy tokens of each prompt are the same, up to the first that is not.
fn greedy(model: &Arc<LoadedModel>, folder: &Path) -> Vec<String> {
    let ids = |name: String| npy(&folder.join(name)).into_iter().map(|v| v as u32).collect::<Vec<_>>();
    let mut results = Vec::new();
    for prompt in 0..5 {
        let (tokens, wanted) = (ids(format!("{prompt}_prompt.npy")), ids(format!("{prompt}_tokens.npy")));
        let mut session = Session::new(model.clone(), 512).unwrap();
        let vocabulary = 49152;
        let logits = session.run(&tokens).unwrap();
        let mut next = argmax(&logits[logits.len() - vocabulary..]);
        let mut same = 0;
        for want in &wanted {
            if next != *want {
                break;
            }
            same += 1;
            next = argmax(&session.run(&[next]).unwrap());
        }
        results.push(format!("{same}/{}", wanted.len()));
    }
    results
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(models), Some(references)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: acceptance MODELS REFERENCES [EXPORT…]");
        std::process::exit(2);
    };
    let mut exports: Vec<PathBuf> = arguments.collect();
    if exports.is_empty() {
        let entries = std::fs::read_dir(&models).unwrap().flatten();
        exports = entries.map(|e| e.file_name().into()).collect();
        exports.sort();
    }
    println!("| export | prefill | 32 decode steps | padded prefill | padded decode | greedy, 5 prompts |");
    println!("|---|---:|---:|---:|---:|---|");
    for export in exports {
        let (path, folder) = (models.join(&export).join("model.onnx"), references.join(&export));
        let choices = Choices { chunk: 64, ..Choices::default() };
        let model = load(&path, choices);
        let plain = compare(&model, &folder.join("prefill"));
        let greedy = greedy(&model, &folder.join("greedy"));
        drop(model);
        let model = load(&path, Choices { padding: true, ..choices });
        let padded = compare(&model, &folder.join("padded"));
        println!(
            "| {} | {:.1e} | {:.1e} | {:.1e} | {:.1e} | {} |",
            export.display(),
            plain.prefill,
            plain.decode,
            padded.prefill,
            padded.decode,
            greedy.join(" ")
        );
    }
}
