//! Reads a packed model from mapped bytes: everything is checked once, nothing is copied.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use safetensors::tensor::{Dtype, Metadata};

use super::{
    Index, IndexVersion, KEY, LAYOUT, TensorEntry, VERSION, WeightEntry, scales_key, tensor_key, weight_key,
};
use crate::{
    dtype::DType,
    host::{HostError, HostTensor, MappedFile, PackedWeight, WeightFormat},
};

/// A packed model whose parts share the bytes of its file.
#[derive(Debug, Clone)]
pub struct PackedModel {
    /// The file, where it is mapped.
    file: Option<Arc<MappedFile>>,
    source: String,
    names: Vec<String>,
    weights: HashMap<String, PackedWeight>,
    tensors: HashMap<String, HostTensor>,
    blobs: HashMap<String, Bytes>,
}

impl PackedModel {
    /// The model in a mapped file.
    ///
    /// # Errors
    /// As [`PackedModel::open`].
    pub fn mapped(file: Arc<MappedFile>) -> Result<Self, HostError> {
        Ok(Self { file: Some(file.clone()), ..Self::open(file.bytes())? })
    }

    /// The model in the bytes of a whole file.
    ///
    /// # Errors
    /// If the file is no packed model, of another version, cut short or inconsistent. Whatever the bytes are, this neither
    /// panics nor allocates more than a small multiple of the file's header.
    pub fn open(file: Bytes) -> Result<Self, HostError> {
        let parts = Parts::of(file)?;
        let index = parts.index()?;
        let mut model = Self {
            file: None,
            source: index.source,
            names: Vec::new(),
            weights: HashMap::new(),
            tensors: HashMap::new(),
            blobs: HashMap::new(),
        };
        for entry in index.weights {
            let packed = parts.weight(&entry)?;
            model.names.push(entry.name.clone());
            insert(&mut model.weights, entry.name, packed)?;
        }
        for entry in index.tensors {
            let tensor = parts.tensor(&entry)?;
            insert(&mut model.tensors, entry.name, tensor)?;
        }
        for name in index.blobs {
            let blob = parts.bytes(&name)?;
            insert(&mut model.blobs, name, blob)?;
        }
        Ok(model)
    }

    /// The file, where it is mapped.
    #[must_use]
    pub fn file(&self) -> Option<&MappedFile> {
        self.file.as_deref()
    }

    /// What the model was made from, in words.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The packed matrices, in the file's order.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &PackedWeight)> {
        self.names.iter().filter_map(|name| Some((name.as_str(), self.weights.get(name)?)))
    }

    /// A packed matrix.
    #[must_use]
    pub fn weight(&self, name: &str) -> Option<&PackedWeight> {
        self.weights.get(name)
    }

    /// A tensor that is stored as it was.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&HostTensor> {
        self.tensors.get(name)
    }

    /// A blob, such as `graph.onnx` or `tokenizer.json`.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<&Bytes> {
        self.blobs.get(name)
    }
}

fn damaged(what: impl Into<String>) -> HostError {
    HostError::PackedFile { what: what.into() }
}

fn insert<T>(parts: &mut HashMap<String, T>, name: String, part: T) -> Result<(), HostError> {
    match parts.insert(name.clone(), part) {
        None => Ok(()),
        Some(_) => Err(damaged(format!("its index has {name:?} twice"))),
    }
}

/// The safetensors file, taken apart.
struct Parts {
    metadata: Metadata,
    data: Bytes,
}

impl Parts {
    /// `SafeTensors::read_metadata` is not used since it adds hostile offsets up unchecked.
    fn of(file: Bytes) -> Result<Self, HostError> {
        let length = file.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let end = length.and_then(|n| usize::try_from(n).ok()).and_then(|n| n.checked_add(8));
        let header = end.and_then(|end| file.get(8..end));
        let (Some(end), Some(header)) = (end, header) else {
            return Err(damaged(format!("its header is cut short, {} bytes are there", file.len())));
        };
        let metadata: Metadata = serde_json::from_slice(header)
            .map_err(|error| damaged(format!("its header is malformed: {error}")))?;
        let data = file.slice(end..);
        if metadata.data_len() != data.len() {
            let (expected, actual) = (metadata.data_len(), data.len());
            return Err(damaged(format!(
                "its header announces {expected} bytes of data, {actual} are there"
            )));
        }
        Ok(Self { metadata, data })
    }

    fn index(&self) -> Result<Index, HostError> {
        let text = self.metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let text =
            text.ok_or_else(|| damaged(format!("it is a safetensors file without {KEY:?} metadata")))?;
        let malformed = |error: serde_json::Error| damaged(format!("its index is malformed: {error}"));
        let IndexVersion { version, layout } = serde_json::from_str(text).map_err(malformed)?;
        if version != VERSION || layout != LAYOUT {
            let found = format!("version {version}, layout {layout:?}");
            return Err(HostError::PackedVersion {
                found,
                expected: format!("version {VERSION}, layout {LAYOUT:?}"),
            });
        }
        serde_json::from_str(text).map_err(malformed)
    }

    fn weight(&self, entry: &WeightEntry) -> Result<PackedWeight, HostError> {
        let at = |error: HostError| damaged(format!("{:?}: {error}", entry.name));
        let format: WeightFormat = entry.format.parse().map_err(at)?;
        let weight = self.bytes(&weight_key(&entry.name))?;
        let scales = format.group().map(|_| self.bytes(&scales_key(&entry.name))).transpose()?;
        PackedWeight::new(format, entry.n, entry.k, weight, scales).map_err(at)
    }

    fn tensor(&self, entry: &TensorEntry) -> Result<HostTensor, HostError> {
        let at = |what: String| damaged(format!("{:?}: {what}", entry.name));
        let known = DType::ALL.into_iter().find(|dtype| dtype.to_string() == entry.dtype);
        let dtype = known.ok_or_else(|| at(format!("{:?} is no element type", entry.dtype)))?;
        let data = self.bytes(&tensor_key(&entry.name))?;
        HostTensor::new(dtype, entry.shape.clone(), data).map_err(|error| at(error.to_string()))
    }

    fn bytes(&self, name: &str) -> Result<Bytes, HostError> {
        let info = self.metadata.info(name).ok_or_else(|| damaged(format!("{name:?} is missing")))?;
        let (start, end) = info.data_offsets;
        if info.dtype != Dtype::U8 || start > end || end > self.data.len() {
            return Err(damaged(format!("{name:?} is not a run of bytes within the file")));
        }
        Ok(self.data.slice(start..end))
    }
}
