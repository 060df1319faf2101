//! Perplexity of a model on texts, or on token ids from `.npy` files, and what its KV cache costs:
//!
//! ```text
//! cargo run --release -p tests --example perplexity -- [--i8] MODEL FORMAT [--cache f32|f16|f8]… TEXT.txt|IDS.npy…
//! ```
//!
//! `FORMAT` is `packed` for a packed file, else a weight format for the layers; embeddings are then `affine8-g32`, or
//! `f32` with it. Each text is one run of the model from an empty cache, at most [`LONGEST`] tokens of it; the first token is not
//! predicted. Of each cache but f32 it tells the mean of the divergence KL(f32 || cache) of the next token's distribution,
//! and how often both have the same first choice. Activations are f32; with `--i8` products round what they multiply to 8
//! bits.

use std::{fs, path::Path, sync::Arc};

use engine::{
    gpu::{Gpu, OpenOptions},
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    session::{LoadedModel, Session},
};
use tests::{argmax, npy};
use text::Tokenizer;

/// Tokens of one run.
const CHUNK: usize = 128;
/// Tokens of a text.
const LONGEST: usize = 2048;

/// `ln p` of every token.
fn logarithms(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - top).exp()).sum();
    logits.iter().map(|l| f64::from(l - top) - sum.ln()).collect()
}

/// What a cache gives, of so many predictions.
#[derive(Default)]
struct Sums {
    surprise: f64,
    divergence: f64,
    same: usize,
}

/// Runs tokens with every cache, of which the first is f32.
fn run(models: &[Arc<LoadedModel>], ids: &[u32]) -> Vec<Sums> {
    let mut sessions: Vec<Session> =
        models.iter().map(|model| Session::new(model.clone(), ids.len()).unwrap()).collect();
    let mut sums: Vec<Sums> = models.iter().map(|_| Sums::default()).collect();
    for (index, part) in ids.chunks(CHUNK).enumerate() {
        let logits: Vec<Vec<f32>> = sessions.iter_mut().map(|session| session.run(part).unwrap()).collect();
        let vocabulary = models[0].vocabulary();
        for at in 0..part.len() {
            let Some(next) = ids.get(index * CHUNK + at + 1) else { continue };
            let row = |logits: &'_ Vec<f32>| logits[at * vocabulary..(at + 1) * vocabulary].to_vec();
            let rows: Vec<Vec<f32>> = logits.iter().map(row).collect();
            let exact = logarithms(&rows[0]);
            for (row, sums) in rows.iter().zip(&mut sums) {
                let own = logarithms(row);
                sums.surprise -= own[*next as usize];
                sums.divergence += exact.iter().zip(&own).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
                sums.same += usize::from(argmax(row) == argmax(&rows[0]));
            }
        }
    }
    sums
}

fn tokens(file: &ModelFile, path: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = if path.ends_with(".npy") {
        npy(Path::new(path)).into_iter().map(|v| v as u32).collect()
    } else {
        let json = file.companion("tokenizer.json").unwrap().expect("the model has no tokenizer.json");
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Tokenizer::from_json(&json).unwrap().encode(&text, false).unwrap()
    };
    ids.truncate(LONGEST);
    ids
}

fn elem(word: &str) -> Elem {
    [Elem::F32, Elem::F16, Elem::F8]
        .into_iter()
        .find(|elem| elem.wgsl() == word)
        .expect("a cache is f32, f16 or f8")
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let in_bytes = arguments.next_if(|word| word == "--i8").is_some();
    let (Some(path), Some(format)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: perplexity [--i8] MODEL FORMAT [--cache f32|f16|f8]… TEXT.txt|IDS.npy…");
        std::process::exit(2);
    };
    let (mut caches, mut texts) = (vec![Elem::F32], Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cache" => caches.push(elem(&arguments.next().unwrap_or_default())),
            _ => texts.push(argument),
        }
    }
    let file = ModelFile::open(Path::new(&path)).unwrap();
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
    let load = |cache: &Elem| {
        let options = LanguageOptions {
            lower: LowerOptions { target: gpu.target(), activations: Elem::F32 },
            passes: PassOptions { formats, fuse: true },
            context: LONGEST,
            cache: *cache,
            padding: false,
            all_logits: true,
        };
        LoadedModel::load(gpu.clone(), &model, &file.source, options, CHUNK, &|_| {}).unwrap()
    };
    let models: Vec<Arc<LoadedModel>> = caches.iter().map(load).collect();
    for text in texts {
        let ids = tokens(&file, &text);
        let count = (ids.len() - 1) as f64;
        for (cache, sums) in caches.iter().zip(run(&models, &ids)) {
            let perplexity = (sums.surprise / count).exp();
            let (divergence, same) = (sums.divergence / count, 100.0 * sums.same as f64 / count);
            let cache = cache.wgsl();
            println!(
                "{text} of {} tokens, cache {cache}: perplexity {perplexity:.4}, KL {divergence:.3e}, {same:.2} % the same",
                ids.len()
            );
        }
    }
}
