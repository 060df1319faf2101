//! The file as a whole: header, metadata, tensor descriptions.

use crate::cursor::Cursor;
use crate::value::{Value, read_value};
use crate::{GgufError, Kind, Tensor};
use std::collections::BTreeMap;

/// Where `general.alignment` does not say otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A GGUF file, version 2 or 3, over bytes that the caller holds or has mapped.
#[derive(Debug, Clone)]
pub struct Gguf<'a> {
    metadata: BTreeMap<&'a str, Value<'a>>,
    tensors: Vec<Tensor<'a>>,
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Gguf<'a> {
    /// Reads the header, the metadata and the tensor list, and checks that every tensor lies inside the file.
    ///
    /// # Errors
    /// Anything that does not follow the format, naming the key or tensor.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes);
        let (tensor_count, key_count) = read_header(&mut cursor)?;
        let mut metadata = BTreeMap::new();
        for index in 0..key_count {
            let key = cursor.text(&|| format!("metadata key {index} of {key_count}"))?;
            let value = read_value(&mut cursor, key)?;
            if metadata.insert(key, value).is_some() {
                return Err(metadata_problem(key, "it is there twice".into()));
            }
        }
        let mut entries = Vec::new();
        for index in 0..tensor_count {
            entries.push(Entry::read(&mut cursor, &|| {
                format!("the description of tensor {index} of {tensor_count}")
            })?);
        }
        let alignment = alignment(&metadata)?;
        let start = (cursor.position() as u64).next_multiple_of(alignment);
        let data = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
        let mut file = Self { metadata, tensors: Vec::new(), by_name: BTreeMap::new() };
        for entry in entries {
            let tensor = entry.locate(data, alignment)?;
            if file.by_name.insert(tensor.name, file.tensors.len()).is_some() {
                return Err(entry.problem("it is there twice".into()));
            }
            file.tensors.push(tensor);
        }
        Ok(file)
    }

    /// Every tensor, in the file's order; those of [`Kind::Other`] without data.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor<'a>> {
        self.tensors.iter()
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// There is none, or its kind cannot be decoded.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'a>, GgufError> {
        let found = self.by_name.get(name).and_then(|&index| self.tensors.get(index)).copied();
        let tensor =
            found.ok_or_else(|| GgufError::MissingTensor { name: name.into(), count: self.tensors.len() })?;
        match tensor.kind {
            Kind::Other(_) => Err(GgufError::UnsupportedKind { name: name.into(), kind: tensor.kind }),
            _ => Ok(tensor),
        }
    }

    /// Every metadata key with its value, sorted by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &Value<'a>)> {
        self.metadata.iter().map(|(key, value)| (*key, value))
    }

    /// The value of `key`, if it is there.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.metadata.get(key)
    }

    /// The text at `key`.
    ///
    /// # Errors
    /// The key is missing or holds something else; so with all the typed getters.
    pub fn string(&self, key: &str) -> Result<&'a str, GgufError> {
        match self.need(key)? {
            Value::String(text) => Ok(text),
            other => Err(wrong_type(key, "a string", other)),
        }
    }

    /// The integer at `key`, which is not negative.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        match self.need(key)? {
            Value::Unsigned(number) => Ok(*number),
            Value::Signed(number) if *number >= 0 => Ok(number.unsigned_abs()),
            other => Err(wrong_type(key, "an integer that is not negative", other)),
        }
    }

    /// The float at `key`.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        match self.need(key)? {
            Value::F32(number) => Ok(*number),
            Value::F64(number) => Ok(*number as f32),
            other => Err(wrong_type(key, "a float", other)),
        }
    }

    /// The truth value at `key`.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        match self.need(key)? {
            Value::Bool(value) => Ok(*value),
            other => Err(wrong_type(key, "a bool", other)),
        }
    }

    /// The array of texts at `key`.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn strings(&self, key: &str) -> Result<Vec<&'a str>, GgufError> {
        self.elements(key, "an array of strings", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// The array of floats at `key`.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, GgufError> {
        self.elements(key, "an array of floats", |value| match value {
            Value::F32(number) => Some(number),
            _ => None,
        })
    }

    /// The array of integers at `key`.
    ///
    /// # Errors
    /// As [`Gguf::string`].
    pub fn i64s(&self, key: &str) -> Result<Vec<i64>, GgufError> {
        self.elements(key, "an array of integers", |value| match value {
            Value::Unsigned(number) => i64::try_from(number).ok(),
            Value::Signed(number) => Some(number),
            _ => None,
        })
    }

    fn elements<T>(
        &self,
        key: &str,
        expected: &'static str,
        pick: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Vec<T>, GgufError> {
        let value = self.need(key)?;
        let Value::Array(array) = value else { return Err(wrong_type(key, expected, value)) };
        array
            .iter()
            .map(|element| {
                let element = element.map_err(|e| metadata_problem(key, e.to_string()))?;
                pick(element).ok_or_else(|| wrong_type(key, expected, &element))
            })
            .collect()
    }

    fn need(&self, key: &str) -> Result<&Value<'a>, GgufError> {
        self.get(key).ok_or_else(|| GgufError::MissingKey { key: key.into() })
    }
}

fn metadata_problem(key: &str, problem: String) -> GgufError {
    GgufError::Metadata { what: format!("metadata key {key:?}"), problem }
}

fn wrong_type(key: &str, expected: &'static str, found: &Value<'_>) -> GgufError {
    GgufError::WrongType { key: key.into(), expected, found: found.type_name() }
}

/// The counts of tensors and of metadata keys. They are claims of the file: nothing is allocated for them.
fn read_header(cursor: &mut Cursor<'_>) -> Result<(u64, u64), GgufError> {
    let what = || "the header".to_owned();
    let magic = cursor.take(4, &what)?;
    if magic != b"GGUF" {
        return Err(GgufError::NotGguf { found: magic.to_vec() });
    }
    match cursor.u32(&what)? {
        2 | 3 => Ok((cursor.u64(&what)?, cursor.u64(&what)?)),
        version => Err(GgufError::Version { version }),
    }
}

fn alignment(metadata: &BTreeMap<&str, Value<'_>>) -> Result<u64, GgufError> {
    let key = "general.alignment";
    match metadata.get(key) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => Ok(*n),
        Some(_) => Err(metadata_problem(key, "it is not a power of two of at most 1048576".into())),
    }
}

/// A tensor's description before its place is checked.
struct Entry<'a> {
    name: &'a str,
    dims: [u64; 4],
    rank: usize,
    kind: Kind,
    offset: u64,
}

impl<'a> Entry<'a> {
    fn read(cursor: &mut Cursor<'a>, what: &dyn Fn() -> String) -> Result<Self, GgufError> {
        let name = cursor.text(what)?;
        let what = || format!("the description of tensor {name:?}");
        let rank = cursor.u32(&what)? as usize;
        let mut dims = [1; 4];
        let Some(given) = dims.get_mut(..rank) else {
            let problem = format!("it has {rank} dimensions, ggml has at most 4");
            return Err(GgufError::Tensor { name: name.into(), problem });
        };
        for dim in given {
            *dim = cursor.u64(&what)?;
        }
        let kind = Kind::from_ggml(cursor.u32(&what)?);
        Ok(Self { name, dims, rank, kind, offset: cursor.u64(&what)? })
    }

    /// Finds the tensor's bytes in the data section.
    fn locate(&self, data: &'a [u8], alignment: u64) -> Result<Tensor<'a>, GgufError> {
        let tensor =
            |data| Tensor { name: self.name, kind: self.kind, data, dims: self.dims, rank: self.rank };
        let dims = &self.dims[..self.rank];
        let elements = self.dims.iter().try_fold(1, |product: u64, &dim| product.checked_mul(dim));
        let elements = elements
            .filter(|&n| n > 0)
            .ok_or_else(|| self.problem(format!("sizes {dims:?} are empty or overflow")))?;
        let Some(block) = self.kind.block() else { return Ok(tensor(&[])) };
        if !self.offset.is_multiple_of(alignment) {
            return Err(self.problem(format!("offset {} is not a multiple of {alignment}", self.offset)));
        }
        if !self.dims[0].is_multiple_of(block.elements as u64) {
            let problem = format!("rows of {} are not whole {} blocks", self.dims[0], self.kind);
            return Err(self.problem(problem));
        }
        let length = (elements / block.elements as u64).checked_mul(block.bytes as u64);
        let end = length.and_then(|length| self.offset.checked_add(length));
        let range = usize::try_from(self.offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        let bytes = range.and_then(|(from, to)| data.get(from..to)).ok_or_else(|| {
            self.problem(format!(
                "sizes {dims:?} as {} from byte {} of the data reach past its end at {}; the file is cut short or corrupt",
                self.kind,
                self.offset,
                data.len()
            ))
        })?;
        Ok(tensor(bytes))
    }

    fn problem(&self, problem: String) -> GgufError {
        GgufError::Tensor { name: self.name.into(), problem }
    }
}
