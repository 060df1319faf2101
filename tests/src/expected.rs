//! What another runtime computed on a model: token ids and logits in `.npy` files.

use std::{fs::File, io::BufReader, path::Path};

/// One prompt with its logits, and decode steps after it.
#[derive(Debug)]
pub struct Expected {
    /// Prompt tokens.
    pub prompt: Vec<u32>,
    /// Positions of the prompt that are padding, all at the start.
    pub padding: usize,
    /// `[prompt, vocabulary]`.
    pub prefill_logits: Vec<f32>,
    /// Token fed in each decode step.
    pub decode_tokens: Vec<u32>,
    /// `[steps, vocabulary]`.
    pub decode_logits: Vec<f32>,
}

/// The numbers of a `.npy` file of i64 or f32, row-major, as f64.
#[must_use]
pub fn npy(path: &Path) -> Vec<f64> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let npy = npyz::NpyFile::new(BufReader::new(file)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let kind = npy.dtype().descr();
    match kind.as_str() {
        "'<i8'" => npy.into_vec::<i64>().unwrap().into_iter().map(|v| v as f64).collect(),
        "'<f4'" => npy.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        other => panic!("{}: element type {other}", path.display()),
    }
}

impl Expected {
    /// Reads a folder that `scripts/oracle/reference.py` wrote.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let ids = |name: &str| npy(&folder.join(name)).into_iter().map(|v| v as u32).collect::<Vec<_>>();
        let floats = |name: &str| npy(&folder.join(name)).into_iter().map(|v| v as f32).collect();
        Self {
            padding: ids("attention_mask.npy").iter().take_while(|m| **m == 0).count(),
            prompt: ids("prompt_ids.npy"),
            prefill_logits: floats("prefill_logits.npy"),
            decode_tokens: ids("decode_tokens.npy"),
            decode_logits: floats("decode_logits.npy"),
        }
    }
}
