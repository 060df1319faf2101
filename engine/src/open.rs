//! Opening a model file, as exported or packed, and packing one.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use onnx_import::FolderFiles;

use crate::{
    error::EngineError,
    graph::{Constant, Graph, ValueId},
    host::{Contents, Fit, HostTensor, MappedFile, ModelWriter, PackedModel, WeightFormat, WeightSpec},
    import, infer,
    op::{WeightPacking, WeightUse},
    passes::WeightFormats,
    weights::{DeviceBytes, WeightSource, absent, device_bytes},
};

/// Files that are taken from the model's folder into a packed file.
pub const COMPANIONS: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
];

const GRAPH: &str = "graph.onnx";
const FORMATS: &str = "formats";

/// A model file that is open: its typed graph and where its weights come from.
#[derive(Debug)]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// The graph, types inferred as far as they are known without inputs.
    pub graph: Graph,
    /// Where packed matrices come from.
    pub source: WeightSource,
    /// The formats that a packed file was packed with.
    pub formats: Option<WeightFormats>,
    onnx: Bytes,
    initializers: HashSet<String>,
}

/// Whether the bytes are a packed file's, cut short or not: a length as u64, then a JSON header of that length. The first
/// eight bytes of an ONNX file, protobuf fields, make a far larger number.
fn is_packed(bytes: &[u8]) -> bool {
    let header = bytes.first_chunk().map_or(u64::MAX, |b: &[u8; 8]| u64::from_le_bytes(*b));
    bytes.get(8) == Some(&b'{') && header <= u64::from(u32::MAX)
}

/// The graph of a packed file, as ONNX without weights.
fn packed_graph(packed: &PackedModel, path: &Path) -> Result<Bytes, EngineError> {
    packed.blob(GRAPH).cloned().ok_or_else(|| lacks(path, "graph"))
}

fn lacks(path: &Path, what: &str) -> EngineError {
    EngineError::model("open", format!("{}: the packed file has no {what}: pack again", path.display()))
}

/// The ONNX model in a file, exported or packed, as it was imported: without its weights, whatever its operators.
///
/// # Errors
/// When the file cannot be read, or is neither.
pub fn onnx_model(path: &Path) -> Result<onnx_import::Model, EngineError> {
    let bytes = map(path).map_err(|e| unreadable(path, &e))?;
    let onnx = if is_packed(&bytes) { packed_graph(&PackedModel::open(bytes)?, path)? } else { bytes };
    Ok(onnx_import::import(onnx, &mut onnx_import::LeaveAbsent)?)
}

fn unreadable(path: &Path, error: &io::Error) -> EngineError {
    EngineError::model("open", format!("{}: {error}", path.display()))
}

/// Maps a file into memory.
///
/// # Errors
/// When it cannot be opened or mapped.
pub fn map(path: &Path) -> io::Result<Bytes> {
    Ok(MappedFile::open(path)?.bytes())
}

impl ModelFile {
    /// Opens an ONNX file or a packed one, told apart by their content.
    ///
    /// # Errors
    /// When the file cannot be read, is neither, or has operators that the engine does not have.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        Self::open_with(path, true)
    }

    /// Opens a model to look at: external data that is missing is no error.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn inspect(path: &Path) -> Result<Self, EngineError> {
        Self::open_with(path, false)
    }

    fn open_with(path: &Path, data: bool) -> Result<Self, EngineError> {
        let file = MappedFile::open(path).map_err(|e| unreadable(path, &e))?;
        let bytes = file.bytes();
        if is_packed(&bytes) {
            return Self::open_packed(path, file);
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let model = if data {
            onnx_import::import(bytes.clone(), &mut FolderFiles::new(folder, map))?
        } else {
            onnx_import::import(bytes.clone(), &mut onnx_import::LeaveAbsent)?
        };
        Self::of(path, bytes, &model, WeightSource::Model(Fit::Search))
    }

    /// A model in memory, as ONNX without matrices: these are noise.
    ///
    /// # Errors
    /// When the bytes are no model, or it has operators that the engine does not have.
    pub fn noise(name: &str, onnx: Bytes, seed: u64) -> Result<Self, EngineError> {
        let model = onnx_import::import(onnx.clone(), &mut onnx_import::LeaveAbsent)?;
        Self::of(Path::new(name), onnx, &model, WeightSource::Noise { seed })
    }

    fn of(
        path: &Path,
        onnx: Bytes,
        model: &onnx_import::Model,
        source: WeightSource,
    ) -> Result<Self, EngineError> {
        let graph = import::import(model)?;
        let initializers = constants(&graph);
        let graph = typed(graph)?;
        Ok(Self { path: path.to_owned(), graph, source, formats: None, onnx, initializers })
    }

    fn open_packed(path: &Path, file: Arc<MappedFile>) -> Result<Self, EngineError> {
        let packed = PackedModel::mapped(file)?;
        let onnx = packed_graph(&packed, path)?;
        let formats = packed.blob(FORMATS).and_then(|b| parse_formats(b));
        let formats = formats.ok_or_else(|| lacks(path, "formats"))?;
        let model = onnx_import::import(onnx.clone(), &mut onnx_import::LeaveAbsent)?;
        let mut graph = import::import(&model)?;
        let initializers = constants(&graph);
        for value in graph.values.iter_mut().filter(|v| v.constant.is_some()) {
            if let Some(tensor) = packed.tensor(&value.name) {
                value.fact = Some(crate::op::fact_of(tensor));
                value.constant = Some(Constant::Host(tensor.clone()));
            }
        }
        graph = typed(graph)?;
        let source = WeightSource::Packed(packed);
        Ok(Self { path: path.to_owned(), graph, source, formats: Some(formats), onnx, initializers })
    }

    /// A file that belongs to the model: in the packed file, or beside the ONNX file. `None` where there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn companion(&self, name: &str) -> Result<Option<Bytes>, EngineError> {
        match &self.source {
            WeightSource::Packed(packed) => return Ok(packed.blob(name).cloned()),
            WeightSource::Noise { .. } => return Ok(None),
            WeightSource::Model(_) => {}
        }
        let path = self.path.with_file_name(name);
        match map(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(unreadable(&path, &e)),
        }
    }

    /// Writes a packed model: the matrices that `weights` names in their formats, the file's other constants and companions
    /// as they are, and the graph. `progress` hears of bytes written, of all. Returns the bytes of the file.
    ///
    /// # Errors
    /// When data is missing, one matrix is wanted in two formats, or the disk is full; then nothing is left behind.
    pub fn pack(
        &self,
        graph: &Graph,
        weights: &[WeightUse],
        formats: &WeightFormats,
        out: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<u64, EngineError> {
        let matrices: Vec<(&WeightUse, WeightSpec)> = weights
            .iter()
            .filter_map(|w| match w.packing {
                WeightPacking::Matrix { format, .. } => {
                    let name = graph.value(w.value).name.clone();
                    Some((w, WeightSpec { name, n: w.n, k: w.k, format }))
                }
                WeightPacking::Plain(_) => None,
            })
            .collect();
        let plain = weights.iter().filter(|w| matches!(w.packing, WeightPacking::Plain(_)));
        let plain: HashSet<&str> = plain.flat_map(|w| read_from(graph, w.value)).collect();
        let specs = matrices.iter().map(|(_, spec)| spec.clone()).collect();
        let packed = matrices.iter().flat_map(|(wanted, _)| replaced(graph, wanted.value));
        let left_out: HashSet<&str> = packed.filter(|name| !plain.contains(name)).collect();
        let contents = self.contents(specs, &left_out, formats)?;
        let mut writer = ModelWriter::create(out, contents)?;
        let total = writer.size_bytes();
        let mut done = 0;
        for (wanted, spec) in &matrices {
            let bytes = device_bytes(graph, wanted, &self.source, &|_| {})?;
            let DeviceBytes::Matrix(weight) = bytes else {
                return Err(EngineError::model("pack", format!("{:?} is no matrix", spec.name)));
            };
            writer.write_weight(&spec.name, &weight)?;
            done += weight.size_bytes() as u64;
            progress(done, total);
        }
        writer.finish()?;
        Ok(total)
    }

    /// `left_out` names constants that nothing reads but what is packed.
    fn contents(
        &self,
        weights: Vec<WeightSpec>,
        left_out: &HashSet<&str>,
        formats: &WeightFormats,
    ) -> Result<Contents, EngineError> {
        let mut tensors: Vec<(String, HostTensor)> = Vec::new();
        for value in self.graph.values.iter().filter(|v| self.initializers.contains(&v.name)) {
            match &value.constant {
                None => {}
                Some(_) if left_out.contains(value.name.as_str()) => {}
                Some(Constant::Host(tensor)) => tensors.push((value.name.clone(), tensor.clone())),
                Some(Constant::Blocks { .. } | Constant::Merged(_) | Constant::Absent) => {
                    return Err(absent(&value.name, &self.source));
                }
            }
        }
        let stripped = self.initializers.iter().map(String::as_str).collect();
        let onnx = onnx_import::strip(self.onnx.clone(), &stripped)?;
        let mut blobs = vec![
            (GRAPH.to_owned(), Bytes::from(onnx)),
            (FORMATS.to_owned(), Bytes::from(write_formats(formats))),
        ];
        for name in COMPANIONS {
            blobs.extend(self.companion(name)?.map(|bytes| (name.to_owned(), bytes)));
        }
        let source = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Contents { source, weights, tensors, blobs })
    }
}

/// The graph with its types; without them where an input decides a shape, which a run with that input will know.
fn typed(graph: Graph) -> Result<Graph, EngineError> {
    let mut typed = graph.clone();
    match infer::infer(&mut typed) {
        Ok(()) => Ok(typed),
        Err(EngineError::Op { source, .. }) if source.lacks_inputs() => Ok(graph),
        Err(e) => Err(e),
    }
}

/// Names of the constants that a weight is read from: itself, or what its rows or codes are read from.
fn read_from(graph: &Graph, weight: ValueId) -> Vec<&str> {
    let value = graph.value(weight);
    sources(&value.name, value.constant.as_ref())
}

fn sources<'a>(name: &'a str, constant: Option<&'a Constant>) -> Vec<&'a str> {
    match constant {
        Some(Constant::Blocks { sources, .. }) => sources.iter().map(String::as_str).collect(),
        Some(Constant::Merged(merged)) => {
            merged.parts.iter().flat_map(|part| sources(&part.name, Some(&part.constant))).collect()
        }
        _ => vec![name],
    }
}

/// Of these, those that a packed matrix takes the place of. A single scale or zero point may be others' too.
fn replaced(graph: &Graph, matrix: ValueId) -> impl Iterator<Item = &str> {
    let single = |name: &&str| graph.find(name).and_then(|id| graph.host(id)).is_some_and(|t| t.len() == 1);
    read_from(graph, matrix).into_iter().filter(move |name| !single(name))
}

/// Names of the constants that the file itself holds.
fn constants(graph: &Graph) -> HashSet<String> {
    graph.values.iter().filter(|v| v.constant.is_some()).map(|v| v.name.clone()).collect()
}

fn write_formats(formats: &WeightFormats) -> String {
    format!("{} {} {}", formats.layers, formats.embedding, formats.head)
}

fn parse_formats(bytes: &[u8]) -> Option<WeightFormats> {
    let text = std::str::from_utf8(bytes).ok()?;
    let all: Vec<WeightFormat> = text.split(' ').map(|t| t.parse().ok()).collect::<Option<_>>()?;
    let [layers, embedding, head] = all[..] else { return None };
    Some(WeightFormats { layers, embedding, head })
}
