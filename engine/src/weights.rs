//! The bytes of a plan's constants as the device holds them: plain elements, or matrices packed for the kernels.

use std::borrow::Cow;

use bytes::Bytes;
use half::f16;

use crate::{
    dtype::DType,
    error::EngineError,
    graph::{Constant, Graph, MergedPart},
    host::{
        Fit, HostTensor, MappedFile, MergedSource, Orientation, PackedModel, PackedWeight, RowSource,
        StoredMatrix, WeightFormat, f8, pack,
    },
    op::{Elem, WeightPacking, WeightUse},
};

/// One constant, ready to be written to the device.
#[derive(Clone, Debug)]
pub enum DeviceBytes {
    /// Row-major elements.
    Plain(Bytes),
    /// A packed matrix.
    Matrix(PackedWeight),
}

impl DeviceBytes {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Matrix(weight) => weight.size_bytes(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where packed matrices come from.
#[derive(Clone, Debug)]
pub enum WeightSource {
    /// Packed while loading, with this fit.
    Model(Fit),
    /// Taken from a packed file, by name.
    Packed(PackedModel),
    /// Noise that the device itself makes; other constants are those of the model.
    Noise {
        /// What tells it from other noise.
        seed: u64,
    },
}

impl WeightSource {
    /// Gives back the memory of bytes that the device has: what is read of them again comes from the file.
    pub fn release(&self, bytes: &[u8]) {
        if let Some(file) = self.file() {
            file.release(bytes);
        }
    }

    /// Gives back the memory of all that was read.
    pub fn release_all(&self) {
        if let Some(file) = self.file() {
            file.release_all();
        }
    }

    fn file(&self) -> Option<&MappedFile> {
        match self {
            Self::Packed(model) => model.file(),
            Self::Model(_) | Self::Noise { .. } => None,
        }
    }
}

/// Brings one constant into the form that a plan asks for. `progress` hears of packed rows.
///
/// # Errors
/// When the data is not at hand, cannot be held in the wanted format, or a packed file holds it in another form.
pub fn device_bytes(
    graph: &Graph,
    wanted: &WeightUse,
    source: &WeightSource,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<DeviceBytes, EngineError> {
    match wanted.packing {
        WeightPacking::Plain(elem) => {
            let name = &graph.value(wanted.value).name;
            let packed = match source {
                WeightSource::Packed(model) => model.tensor(name),
                WeightSource::Model(_) | WeightSource::Noise { .. } => None,
            };
            if let Some(blocks) = graph.blocks(wanted.value).filter(|b| !b.is_absent()) {
                return Ok(DeviceBytes::Plain(elements(&blocks.decoded(DType::F32)?, elem)));
            }
            let tensor = graph.host(wanted.value).or(packed).ok_or_else(|| absent(name, source))?;
            constant(name, tensor, elem).map(DeviceBytes::Plain)
        }
        WeightPacking::Matrix { format, transposed, .. } => {
            matrix(graph, wanted, format, Orientation::of(transposed), source, progress)
                .map(DeviceBytes::Matrix)
        }
    }
}

/// A matrix from the packed file, or packed now.
fn matrix(
    graph: &Graph,
    wanted: &WeightUse,
    format: WeightFormat,
    orientation: Orientation,
    source: &WeightSource,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<PackedWeight, EngineError> {
    let value = graph.value(wanted.value);
    let (name, size) = (&value.name, (wanted.n, wanted.k));
    if let WeightSource::Packed(model) = source
        && let Some(weight) = model.weight(name)
    {
        return checked(name, weight, format, size).cloned();
    }
    let constant = value.constant.as_ref().ok_or_else(|| absent(name, source))?;
    let rows = rows(name, constant, orientation, format, size, source)?;
    let fit = match source {
        WeightSource::Model(fit) => *fit,
        WeightSource::Packed(_) | WeightSource::Noise { .. } => Fit::default(),
    };
    pack(&*rows, format, fit, progress).map_err(|e| EngineError::model("weights", format!("{name:?}: {e}")))
}

/// A weight of a packed file, if it is the one that is wanted.
fn checked<'a>(
    name: &str,
    weight: &'a PackedWeight,
    format: WeightFormat,
    (n, k): (usize, usize),
) -> Result<&'a PackedWeight, EngineError> {
    let (has_format, has_n, has_k) = (weight.format(), weight.n(), weight.k());
    if (has_format, has_n, has_k) == (format, n, k) {
        return Ok(weight);
    }
    let text = format!(
        "the packed file holds {name:?} as {has_format} [{has_n}, {has_k}], the plan wants {format} [{n}, {k}]: pack again"
    );
    Err(EngineError::model("weights", text))
}

/// The rows of a constant that lies as `orientation` says.
fn rows<'a>(
    name: &str,
    constant: &'a Constant,
    orientation: Orientation,
    format: WeightFormat,
    size: (usize, usize),
    source: &'a WeightSource,
) -> Result<Box<dyn RowSource + 'a>, EngineError> {
    if let WeightSource::Packed(model) = source
        && let Some(weight) = model.weight(name)
    {
        return Ok(Box::new(Cow::Borrowed(checked(name, weight, format, size)?)));
    }
    let rows: Box<dyn RowSource> = match constant {
        Constant::Host(tensor) => {
            let stored = match orientation {
                // Of several matrices, all rows.
                Orientation::RowsFirst => tensor.clone().reshape(vec![size.0, size.1]),
                Orientation::ColumnsFirst => Ok(tensor.clone()),
            };
            let rows = stored.and_then(|stored| StoredMatrix::new(&stored, orientation));
            Box::new(rows.map_err(|e| EngineError::model("weights", format!("{name:?}: {e}")))?)
        }
        Constant::Blocks { matrix, .. } if !matrix.is_absent() => Box::new(matrix.oriented(orientation)),
        Constant::Merged(merged) => {
            let part = |part: &'a MergedPart| {
                let size = (part.n, merged.k);
                rows(&part.name, &part.constant, Orientation::of(part.transposed), format, size, source)
            };
            let parts = merged.parts.iter().map(part).collect::<Result<_, _>>()?;
            Box::new(MergedSource::new(parts, &merged.rows, merged.k, format))
        }
        Constant::Blocks { .. } | Constant::Absent => return Err(absent(name, source)),
    };
    if rows.size() == size {
        return Ok(rows);
    }
    let (n, k) = rows.size();
    let text = format!("{name:?} has {n} rows of {k} weights, the plan wants {} of {}", size.0, size.1);
    Err(EngineError::model("weights", text))
}

/// Says that a constant's data is nowhere.
pub(crate) fn absent(name: &str, source: &WeightSource) -> EngineError {
    let what_to_do = match source {
        WeightSource::Model(_) => "is the model's external data file beside it?",
        WeightSource::Packed(_) => "the packed file lacks it: pack again",
        WeightSource::Noise { .. } => "it is no matrix that could be noise",
    };
    EngineError::model("weights", format!("the data of {name:?} is not at hand: {what_to_do}"))
}

/// The elements of an input in device form.
///
/// # Errors
/// When the device, which has no types of 64 bits, does not hold them.
pub fn held(name: &str, given: &HostTensor, elem: Elem) -> Result<Bytes, EngineError> {
    if is_held(given, elem, false) {
        return Ok(elements(given, elem));
    }
    Err(EngineError::model("infer", format!("input {name:?} has numbers that 32 bits do not hold")))
}

/// The elements of a constant in device form. The ends of its type stand for no limit, and become those of the device's.
fn constant(name: &str, tensor: &HostTensor, elem: Elem) -> Result<Bytes, EngineError> {
    if is_held(tensor, elem, true) {
        return Ok(elements(tensor, elem));
    }
    let text = format!("constant {name:?} has numbers that 32 bits do not hold");
    Err(EngineError::model("weights", text))
}

/// Whether the device, which has no types of 64 bits, holds what is in a tensor; but for the ends of its type, where
/// `unless_ends`.
fn is_held(tensor: &HostTensor, elem: Elem, unless_ends: bool) -> bool {
    let end = |v: i64| unless_ends && (v == i64::MIN || v == i64::MAX);
    let integers =
        |range: std::ops::RangeInclusive<i64>| tensor.to_i64s().iter().all(|v| range.contains(v) || end(*v));
    let float = |v: &f64| !v.is_finite() || (*v as f32).is_finite() || unless_ends && v.abs() == f64::MAX;
    match tensor.dtype() {
        DType::F64 => tensor.to_f64s().iter().all(float),
        DType::I64 if elem == Elem::I32 => integers(i32::MIN.into()..=i32::MAX.into()),
        DType::U64 if elem == Elem::U32 => integers(0..=u32::MAX.into()),
        _ => true,
    }
}

/// A tensor's elements in device form, integers outside of 32 bits at the ends.
fn elements(tensor: &HostTensor, elem: Elem) -> Bytes {
    match (elem, tensor.dtype()) {
        (Elem::F32, DType::F32)
        | (Elem::F16, DType::F16)
        | (Elem::I32, DType::I32)
        | (Elem::U32, DType::U32) => tensor.data().clone(),
        (Elem::F32, _) => tensor.to_f32s().into_iter().flat_map(f32::to_le_bytes).collect(),
        (Elem::F16, _) => {
            tensor.to_f64s().into_iter().map(f16::from_f64).flat_map(f16::to_le_bytes).collect()
        }
        (Elem::F8, _) => f8::pack(&tensor.to_f32s()).into(),
        (Elem::I32 | Elem::U32, _) => {
            let narrow = |v: i64| match elem {
                Elem::I32 => v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as u32,
                _ => v.clamp(0, i64::from(u32::MAX)) as u32,
            };
            tensor.to_i64s().into_iter().map(narrow).flat_map(u32::to_le_bytes).collect()
        }
    }
}

/// Device elements as a tensor of the model's type.
///
/// # Errors
/// When the bytes do not fit the shape.
pub fn tensor(bytes: &[u8], elem: Elem, dtype: DType, shape: Vec<usize>) -> Result<HostTensor, EngineError> {
    let (from, whole) = match elem {
        Elem::F32 => (DType::F32, 4),
        Elem::F16 => (DType::F16, 2),
        Elem::I32 => (DType::I32, 4),
        Elem::U32 => (DType::U32, 4),
        Elem::F8 => {
            let mut values = f8::unpack(bytes);
            values.truncate(shape.iter().product());
            return Ok(HostTensor::from_f32(shape, &values)?.cast(dtype));
        }
    };
    let len = shape.iter().fold(whole, |n: usize, dim| n.saturating_mul(*dim));
    let data = Bytes::copy_from_slice(bytes.get(..len).unwrap_or(bytes));
    Ok(HostTensor::new(from, shape, data)?.cast(dtype))
}

#[cfg(test)]
mod tests {
    use super::constant;
    use crate::{host::HostTensor, op::Elem};

    #[test]
    fn constants_are_held_exactly_or_stand_for_no_limit() {
        let held = |value: i64| {
            let tensor = HostTensor::from_i64(vec![2], &[value, -3]).unwrap();
            constant("n", &tensor, Elem::I32).map(|bytes| i32::from_le_bytes(bytes[..4].try_into().unwrap()))
        };
        assert_eq!(held(7).unwrap(), 7);
        assert_eq!(held(i64::MAX).unwrap(), i32::MAX);
        assert_eq!(held(i64::MIN).unwrap(), i32::MIN);
        let error = held(1 << 31).unwrap_err().to_string();
        assert!(error.contains("\"n\" has numbers that 32 bits do not hold"), "{error}");
    }
}
