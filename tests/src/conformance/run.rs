//! One test on the GPU, whatever happens.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Display,
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Once,
};

use engine::{
    EngineError,
    gpu::{Gpu, OpenOptions},
    host::{HostTensor, WeightFormat},
    infer_once::{self, OnceOptions},
    op::Elem,
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
};

use super::{Test, Tolerance, compare};

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every output of every data set is as it should be.
    Passed,
    /// The engine said that it does not do this, before anything ran.
    Refused(String),
    /// The engine computed something else, panicked, or the GPU failed.
    Wrong(String),
}

/// Runs tests on one GPU; where that fails, on a newly opened one from then on.
#[derive(Debug)]
pub struct Runner {
    gpu: Gpu,
}

thread_local! {
    /// While a test runs: the words of its panic.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics of running tests verdicts instead of printing them.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = PANIC.with_borrow_mut(|p| p.as_mut().map(|text| *text = one_line(info)));
            if kept.is_none() {
                print(info);
            }
        }));
    });
}

impl Runner {
    /// Opens the GPU.
    ///
    /// # Errors
    /// When there is no GPU.
    pub fn new() -> Result<Self, EngineError> {
        keep_panics();
        Ok(Self { gpu: Gpu::open(&OpenOptions::default())? })
    }

    /// Runs a test.
    pub fn run(&mut self, test: &Test) -> Verdict {
        PANIC.set(Some(String::new()));
        let result = panic::catch_unwind(AssertUnwindSafe(|| run_sets(&self.gpu, test)));
        let panic = PANIC.take().unwrap_or_default();
        let result = result.unwrap_or(Err(Verdict::Wrong(panic)));
        let Err(verdict) = result else { return Verdict::Passed };
        let unsure = matches!(&verdict, Verdict::Wrong(text) if !text.starts_with("output"));
        if unsure && let Ok(gpu) = Gpu::open(&OpenOptions::default()) {
            self.gpu = gpu;
        }
        verdict
    }
}

fn run_sets(gpu: &Gpu, test: &Test) -> Result<(), Verdict> {
    let (folder, tolerance) = (test.folder.as_path(), Tolerance::of(&test.operator));
    let file = ModelFile::open(&folder.join("model.onnx")).map_err(refused)?;
    let names: Vec<&String> = file.graph.inputs.iter().map(|id| &file.graph.value(*id).name).collect();
    let sets = data_sets(folder).map_err(|e| Verdict::Wrong(e.to_string()))?;
    if sets.is_empty() {
        return Err(Verdict::Wrong("the test has no data".to_owned()));
    }
    let passes = PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: true };
    let options = OnceOptions { passes, activations: Elem::F32 };
    for set in sets {
        let given = tensors(&set, "input").map_err(Verdict::Wrong)?;
        if given.len() != names.len() {
            return Err(Verdict::Wrong(format!("{} inputs for a model of {}", given.len(), names.len())));
        }
        let inputs: BTreeMap<String, HostTensor> = names.iter().copied().cloned().zip(given).collect();
        let got = infer_once::run(gpu, &file, &inputs, &options).map_err(refused)?;
        let want = tensors(&set, "output").map_err(Verdict::Wrong)?;
        if got.len() != want.len() {
            return Err(Verdict::Wrong(format!("{} outputs, not {}", got.len(), want.len())));
        }
        for (index, ((_, got), want)) in got.iter().zip(&want).enumerate() {
            let same = compare(got, want, tolerance);
            same.map_err(|e| Verdict::Wrong(format!("output {index}: {e}")))?;
        }
    }
    Ok(())
}

/// An engine that refuses is honest; a GPU or kernel that fails is not.
fn refused(error: EngineError) -> Verdict {
    let text = one_line(&error);
    match error {
        EngineError::Gpu(_) | EngineError::Shader(_) => Verdict::Wrong(text),
        _ => Verdict::Refused(text),
    }
}

fn one_line(text: &dyn Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn data_sets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sets = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("test_data_set") {
            sets.push(entry.path());
        }
    }
    sets.sort();
    Ok(sets)
}

/// `KIND_0.pb`, `KIND_1.pb`, … as far as they go.
fn tensors(set: &Path, kind: &str) -> Result<Vec<HostTensor>, String> {
    let mut all = Vec::new();
    loop {
        let name = format!("{kind}_{}.pb", all.len());
        let path = set.join(&name);
        if !path.is_file() {
            return Ok(all);
        }
        all.push(tensor(&path).map_err(|e| format!("{name}: {e}"))?);
    }
}

fn tensor(path: &Path) -> Result<HostTensor, EngineError> {
    let bytes = engine::open::map(path).map_err(|e| EngineError::model("read", e.to_string()))?;
    let (_, tensor) = onnx_import::tensor_from_pb(bytes)?;
    engine::import::host_tensor(&tensor)
}
