//! Writes a packed model one weight at a time: to a temporary file beside the target, which then takes the target's name.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::{Index, KEY, LAYOUT, TensorEntry, VERSION, WeightEntry, scales_key, tensor_key, weight_key};
use crate::host::{HostError, HostTensor, PackedWeight, WeightFormat, packed_bytes};

/// Where the data of the file starts is a multiple of this, so that packed matrices are aligned in a memory map.
const ALIGNMENT: usize = 64;

/// A packed matrix that is going to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSpec {
    /// Its name.
    pub name: String,
    /// Rows.
    pub n: usize,
    /// Weights in a row.
    pub k: usize,
    /// How it is stored.
    pub format: WeightFormat,
}

/// What a packed model is to hold. The weights themselves follow one by one.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// What the model is made from, in words.
    pub source: String,
    /// The packed matrices, in the order in which they will be written.
    pub weights: Vec<WeightSpec>,
    /// Tensors that are stored as they are.
    pub tensors: Vec<(String, HostTensor)>,
    /// Blobs, such as `graph.onnx` and `tokenizer.json`.
    pub blobs: Vec<(String, Bytes)>,
}

/// A packed model being written. Unless [`ModelWriter::finish`] succeeds, nothing is left of it.
#[derive(Debug)]
pub struct ModelWriter {
    stream: Stream<BufWriter<File>>,
    target: PathBuf,
    temporary: Temporary,
}

impl ModelWriter {
    /// Starts a model that will be at `path`, replacing what is there when it is finished.
    ///
    /// # Errors
    /// If a name is given twice, a weight's format does not suit its size, or the folder cannot be written to.
    pub fn create(path: &Path, contents: Contents) -> Result<Self, HostError> {
        let plan = FilePlan::of(&contents)?;
        let failed = |error: io::Error| plan.failed(path, &error);
        let temporary = Temporary(temporary_path(path).map_err(failed)?);
        let file = File::options().write(true).create_new(true).open(&temporary.0).map_err(failed)?;
        let stream = Stream::start(BufWriter::with_capacity(1 << 20, file), path, plan, contents)?;
        Ok(Self { stream, target: path.to_owned(), temporary })
    }

    /// Bytes that the whole file takes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.stream.plan.total
    }

    /// Writes the next matrix.
    ///
    /// # Errors
    /// If it is not the one that comes next in [`Contents::weights`], or writing fails (such as on a full disk).
    pub fn write_weight(&mut self, name: &str, weight: &PackedWeight) -> Result<(), HostError> {
        self.stream.weight(&self.target, name, weight)
    }

    /// Completes the file, makes sure that it is on the disk and gives it its name.
    ///
    /// # Errors
    /// If weights are missing or writing fails.
    pub fn finish(self) -> Result<(), HostError> {
        let Self { stream, target, temporary } = self;
        let plan = stream.plan.clone();
        let failed = |error: io::Error| plan.failed(&target, &error);
        let file = stream.end(&target)?.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary.0, &target).map_err(failed)
    }
}

/// A file that is removed unless it has got another name.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing of this name, and a failure to remove has no better place to be told.
        let _ = fs::remove_file(&self.0);
    }
}

fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{}.{}-{count}.partial", name.to_string_lossy(), process::id())))
}

/// The file's header and size.
#[derive(Debug, Clone)]
struct FilePlan {
    header: Vec<u8>,
    total: u64,
}

impl FilePlan {
    fn of(contents: &Contents) -> Result<Self, HostError> {
        let parts = parts(contents)?;
        let mut names = HashSet::new();
        if let Some((name, _)) = parts.iter().find(|(name, _)| name == "__metadata__" || !names.insert(name))
        {
            return Err(HostError::NameTwice { name: name.clone() });
        }
        let mut end = 0usize;
        let mut infos = Vec::with_capacity(parts.len());
        for (name, size) in &parts {
            let start = end;
            end = start.checked_add(*size).ok_or_else(too_large)?;
            infos.push((
                name.clone(),
                TensorInfo { dtype: Dtype::U8, shape: vec![*size], data_offsets: (start, end) },
            ));
        }
        let unwritable = |error: String| HostError::PackedFile { what: error };
        let index = serde_json::to_string(&index(contents)).map_err(|error| unwritable(error.to_string()))?;
        let metadata = Metadata::new(Some(HashMap::from([(KEY.to_owned(), index)])), infos)
            .map_err(|error| unwritable(error.to_string()))?;
        let mut text = serde_json::to_vec(&metadata).map_err(|error| unwritable(error.to_string()))?;
        text.resize((8 + text.len()).next_multiple_of(ALIGNMENT) - 8, b' ');
        let header = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
        let total = (header.len() as u64).checked_add(end as u64).ok_or_else(too_large)?;
        Ok(Self { header, total })
    }

    fn failed(&self, path: &Path, error: &io::Error) -> HostError {
        HostError::Write { path: path.display().to_string(), needed: self.total, reason: error.to_string() }
    }
}

fn too_large() -> HostError {
    HostError::PackedFile { what: "it would be larger than memory can address".to_owned() }
}

/// Names and sizes of the file's tensors, in order.
fn parts(contents: &Contents) -> Result<Vec<(String, usize)>, HostError> {
    let mut parts = Vec::new();
    for spec in &contents.weights {
        let (weight, scales) = packed_bytes(spec.format, spec.n, spec.k)?;
        parts.push((weight_key(&spec.name), weight));
        if spec.format.group().is_some() {
            parts.push((scales_key(&spec.name), scales));
        }
    }
    parts.extend(contents.tensors.iter().map(|(name, tensor)| (tensor_key(name), tensor.data().len())));
    parts.extend(contents.blobs.iter().map(|(name, data)| (name.clone(), data.len())));
    Ok(parts)
}

fn index(contents: &Contents) -> Index {
    let weight = |spec: &WeightSpec| WeightEntry {
        name: spec.name.clone(),
        n: spec.n,
        k: spec.k,
        format: spec.format.to_string(),
    };
    let tensor = |(name, tensor): &(String, HostTensor)| TensorEntry {
        name: name.clone(),
        dtype: tensor.dtype().to_string(),
        shape: tensor.shape().to_vec(),
    };
    Index {
        version: VERSION,
        layout: LAYOUT.to_owned(),
        source: contents.source.clone(),
        weights: contents.weights.iter().map(weight).collect(),
        tensors: contents.tensors.iter().map(tensor).collect(),
        blobs: contents.blobs.iter().map(|(name, _)| name.clone()).collect(),
    }
}

/// The file's bytes, in order, to anywhere.
#[derive(Debug)]
pub(super) struct Stream<W> {
    out: W,
    plan: FilePlan,
    contents: Contents,
    written: usize,
}

impl<W: Write> Stream<W> {
    fn start(mut out: W, path: &Path, plan: FilePlan, contents: Contents) -> Result<Self, HostError> {
        out.write_all(&plan.header).map_err(|error| plan.failed(path, &error))?;
        Ok(Self { out, plan, contents, written: 0 })
    }

    fn weight(&mut self, path: &Path, name: &str, weight: &PackedWeight) -> Result<(), HostError> {
        let (n, k, format) = (weight.n(), weight.k(), weight.format());
        let given = WeightSpec { name: name.to_owned(), n, k, format };
        let next = self.contents.weights.get(self.written);
        if next != Some(&given) {
            let describe =
                |spec: &WeightSpec| format!("{:?} [{}, {}] {}", spec.name, spec.n, spec.k, spec.format);
            let expected = next.map_or_else(|| "no more weights".to_owned(), describe);
            return Err(HostError::WriteOrder { expected, actual: describe(&given) });
        }
        self.written += 1;
        let mut parts = std::iter::once(weight.weight()).chain(weight.scales());
        parts.try_for_each(|part| self.out.write_all(part)).map_err(|error| self.plan.failed(path, &error))
    }

    fn end(mut self, path: &Path) -> Result<W, HostError> {
        if let Some(missing) = self.contents.weights.get(self.written) {
            let actual = "the end of the file".to_owned();
            return Err(HostError::WriteOrder { expected: format!("{:?}", missing.name), actual });
        }
        let tensors = self.contents.tensors.iter().map(|(_, tensor)| tensor.data());
        let mut parts = tensors.chain(self.contents.blobs.iter().map(|(_, data)| data));
        let result = parts.try_for_each(|part| self.out.write_all(part)).and_then(|()| self.out.flush());
        result.map_err(|error| self.plan.failed(path, &error))?;
        Ok(self.out)
    }
}

#[cfg(test)]
impl<W: Write> Stream<W> {
    /// The whole file at once.
    pub(super) fn write_all(
        out: W,
        path: &Path,
        contents: Contents,
        weights: &[(&str, PackedWeight)],
    ) -> Result<W, HostError> {
        let mut stream = Self::start(out, path, FilePlan::of(&contents)?, contents)?;
        for (name, weight) in weights {
            stream.weight(path, name, weight)?;
        }
        stream.end(path)
    }
}
