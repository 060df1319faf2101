//! What another runtime computed on a model: token ids and logits in `.npy` files.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use engine::host::HostTensor;

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
    tensor(path).to_f64s()
}

/// A `.npy` file of i64 or f32, row-major.
#[must_use]
pub fn tensor(path: &Path) -> HostTensor {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let npy = npyz::NpyFile::new(BufReader::new(file)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let shape = npy.shape().iter().map(|d| *d as usize).collect();
    let kind = npy.dtype().descr();
    match kind.as_str() {
        "'<i8'" => HostTensor::from_i64(shape, &npy.into_vec::<i64>().unwrap()).unwrap(),
        "'<f4'" => HostTensor::from_f32(shape, &npy.into_vec::<f32>().unwrap()).unwrap(),
        other => panic!("{}: element type {other}", path.display()),
    }
}

/// The `.npy` files of a folder by their names.
#[must_use]
pub fn tensors(folder: &Path) -> BTreeMap<String, HostTensor> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|e| e.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name.trim_end_matches(".npy").to_owned(), tensor(&path))
        })
        .collect()
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
