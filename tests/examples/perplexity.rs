//! Perplexity of a model on token ids from `.npy` files:
//!
//! ```text
//! cargo run --release -p tests --example perplexity -- [--i8] MODEL FORMAT IDS.npy…
//! ```
//!
//! With `--i8` products round what they multiply to 8 bits. `FORMAT` is `packed` for a packed file, else a weight format for the layers; embeddings are then `affine8-g32`, or
//! `f32` with it. Each text is one run of the model from an empty cache; the first token is not predicted.

use std::{path::PathBuf, sync::Arc};

use engine::{
    gpu::{Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    session::{LoadedModel, Session},
};
use tests::npy;

/// Tokens of one run.
const CHUNK: usize = 128;

/// `-ln p(target)` of one position.
fn surprise(logits: &[f32], target: u32) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - top).exp()).sum();
    sum.ln() + f64::from(top - logits[target as usize])
}

fn perplexity(session: &mut Session, ids: &[u32], vocabulary: usize) -> f64 {
    let mut total = 0.0;
    for (index, part) in ids.chunks(CHUNK).enumerate() {
        let logits = session.run(part).unwrap();
        for (at, row) in logits.chunks(vocabulary).enumerate() {
            if let Some(next) = ids.get(index * CHUNK + at + 1) {
                total += surprise(row, *next);
            }
        }
    }
    (total / (ids.len() - 1) as f64).exp()
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let in_bytes = arguments.next_if(|word| word == "--i8").is_some();
    let (Some(path), Some(format)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: perplexity [--i8] MODEL FORMAT IDS.npy…");
        std::process::exit(2);
    };
    let file = ModelFile::open(&PathBuf::from(path)).unwrap();
    let formats = file.formats.unwrap_or_else(|| {
        let layers: WeightFormat = format.parse().unwrap();
        let embedding = match layers {
            WeightFormat::F32 => WeightFormat::F32,
            _ => WeightFormat::Affine8 { group: GroupSize::G32 },
        };
        WeightFormats { layers, embedding, head: embedding }
    });
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let gpu = Arc::new(Gpu::open(&OpenOptions::default()).unwrap().with_integer_products(in_bytes));
    let options = LanguageOptions {
        lower: LowerOptions { target: gpu.target(), activations: Elem::F32 },
        passes: PassOptions { formats, fuse: true },
        context: 1024,
        cache: Elem::F32,
        padding: false,
        all_logits: true,
    };
    let vocabulary = model.vocabulary().unwrap();
    let loaded = LoadedModel::load(gpu, &model, &file.source, options, CHUNK, &|_| {}).unwrap();
    for ids in arguments {
        let tokens: Vec<u32> = npy(&PathBuf::from(&ids)).into_iter().map(|v| v as u32).collect();
        let mut session = Session::new(loaded.clone(), tokens.len()).unwrap();
        println!("{ids}: {:.4}", perplexity(&mut session, &tokens, vocabulary));
    }
}
