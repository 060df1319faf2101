//! Writes the external data of an exported ONNX graph from a GGUF file's tensors, without torch.

use crate::{Gguf, GgufError, Tensor};
use half::f16;
use std::io::{ErrorKind, Seek, SeekFrom, Write};

/// Columns of a transposed tensor that are decoded at a time: a multiple of every format's block.
const BAND: usize = 256;
/// Numbers that are decoded before they are written, for tensors that are not transposed.
const CHUNK: usize = 1 << 18;

/// One initializer of an ONNX graph whose data lies in an external file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalTensor {
    /// The initializer's name, for messages.
    pub name: String,
    /// First byte in the external file.
    pub offset: u64,
    /// Bytes in the external file.
    pub length: u64,
    /// Sizes as the graph declares them, row-major.
    pub dims: Vec<u64>,
    /// How each number is written.
    pub element: Element,
    /// Where the numbers come from.
    pub source: Source,
}

/// Where an initializer's numbers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The GGUF tensor.
    pub tensor: String,
    /// The graph stores the matrix as `[in, out]`, the GGUF file as `[out, in]`.
    pub transposed: bool,
    /// llama.cpp interleaved the two halves of each head's rows for its rotary embedding: the number of
    /// heads, for query and key projections of llama models.
    pub heads: Option<u64>,
}

/// The number type of an external tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE single, little-endian.
    F32,
    /// IEEE half, little-endian, rounded to nearest even.
    F16,
}

impl Element {
    fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Writes every tensor of `wanted` to its place in `out`; `progress` hears (bytes written, bytes in all).
///
/// All sources and places are checked before the first byte is written. Memory stays at a band of one tensor.
///
/// # Errors
/// A source that is missing, of another shape or not decodable; a length that the shape does not make; two
/// tensors in one place; a full disk or another failure to write; a number that f16 cannot hold.
pub fn fill<W: Write + Seek>(
    gguf: &Gguf<'_>,
    wanted: &[ExternalTensor],
    out: &mut W,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), GgufError> {
    let sources =
        wanted.iter().map(|target| check(gguf, target)).collect::<Result<Vec<Tensor<'_>>, GgufError>>()?;
    check_places(wanted)?;
    let total = wanted.iter().fold(0, |sum: u64, target| sum.saturating_add(target.length));
    let mut written = 0;
    progress(written, total);
    for (target, source) in wanted.iter().zip(&sources) {
        let failed = |cause, written| write_error(target, cause, written, total);
        out.seek(SeekFrom::Start(target.offset)).map_err(|cause| failed(cause, written))?;
        for_each_piece(target, source, &mut |numbers| {
            let bytes = encode(target, numbers)?;
            out.write_all(&bytes).map_err(|cause| failed(cause, written))?;
            written += bytes.len() as u64;
            progress(written, total);
            Ok(())
        })?;
    }
    match wanted.last() {
        Some(last) => out.flush().map_err(|cause| write_error(last, cause, written, total)),
        None => Ok(()),
    }
}

/// Finds the source and compares shape and length.
fn check<'a>(gguf: &Gguf<'a>, target: &ExternalTensor) -> Result<Tensor<'a>, GgufError> {
    let source = gguf.tensor(&target.source.tensor)?;
    let mut shape = source.shape();
    if let Some(heads) = target.source.heads {
        let rows = source.rows() as u64;
        if heads == 0 || shape.len() != 2 || !rows.is_multiple_of(heads.saturating_mul(2)) {
            return Err(problem(target, format!("{rows} rows are not {heads} heads of two halves")));
        }
    }
    if target.source.transposed {
        if shape.len() != 2 {
            return Err(problem(target, format!("sizes {shape:?} are not a matrix to transpose")));
        }
        shape.reverse();
    }
    if shape != target.dims {
        return Err(problem(
            target,
            format!("the graph wants sizes {:?}, the file has {shape:?}", target.dims),
        ));
    }
    let length = shape.iter().product::<u64>().checked_mul(target.element.bytes());
    if length != Some(target.length) || target.offset.checked_add(target.length).is_none() {
        return Err(problem(
            target,
            format!(
                "sizes {shape:?} as {:?} make {} bytes, the graph reserves {} at byte {}",
                target.element,
                length.unwrap_or(u64::MAX),
                target.length,
                target.offset
            ),
        ));
    }
    Ok(source)
}

/// Tensors must not overlap, but for those that are the same numbers in the same place, as tied weights are.
fn check_places(wanted: &[ExternalTensor]) -> Result<(), GgufError> {
    let mut places: Vec<&ExternalTensor> = wanted.iter().collect();
    places.sort_by_key(|target| (target.offset, target.length));
    for pair in places.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        let form = |target: &ExternalTensor| (target.offset, target.length, target.element);
        let same = form(first) == form(second) && first.source == second.source;
        let end = first.offset.saturating_add(first.length);
        if second.offset < end && !same {
            let text = format!("its place from byte {} on is within that of {:?}", second.offset, first.name);
            return Err(problem(second, text));
        }
    }
    Ok(())
}

/// Hands the numbers to `write` in the order in which the external file holds them.
fn for_each_piece(
    target: &ExternalTensor,
    source: &Tensor<'_>,
    write: &mut dyn FnMut(&[f32]) -> Result<(), GgufError>,
) -> Result<(), GgufError> {
    let (rows, columns) = (source.rows(), source.columns());
    let from = |row| target.source.heads.map_or(row, |heads| interleaved_row(row, rows / heads as usize));
    if !target.source.transposed {
        let mut piece = vec![0.0; (CHUNK / columns).clamp(1, rows) * columns];
        let mut row = 0;
        while row < rows {
            let height = (piece.len() / columns).min(rows - row);
            for (i, out) in piece.chunks_exact_mut(columns).take(height).enumerate() {
                source.read_row(from(row + i), out)?;
            }
            write(&piece[..height * columns])?;
            row += height;
        }
        return Ok(());
    }
    let mut part = [0.0; BAND];
    let mut piece = vec![0.0; BAND.min(columns) * rows];
    for first in (0..columns).step_by(BAND) {
        let part = &mut part[..BAND.min(columns - first)];
        for row in 0..rows {
            source.read_columns(from(row), first, part)?;
            for (i, number) in part.iter().enumerate() {
                piece[i * rows + row] = *number;
            }
        }
        write(&piece[..part.len() * rows])?;
    }
    Ok(())
}

/// The row of the file that holds row `row` of the model.
///
/// The file's rows of one head are `[height/2][2]`, the model's are `[2][height/2]`.
fn interleaved_row(row: usize, height: usize) -> usize {
    let (head, within) = (row / height, row % height);
    let (half, pair) = (within / (height / 2), within % (height / 2));
    head * height + pair * 2 + half
}

fn encode(target: &ExternalTensor, numbers: &[f32]) -> Result<Vec<u8>, GgufError> {
    match target.element {
        Element::F32 => Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
        Element::F16 => {
            let mut bytes = Vec::with_capacity(numbers.len() * 2);
            for &number in numbers {
                let rounded = f16::from_f32(number);
                if rounded.is_infinite() && number.is_finite() {
                    return Err(problem(target, format!("{number} is beyond what f16 holds")));
                }
                bytes.extend(rounded.to_le_bytes());
            }
            Ok(bytes)
        }
    }
}

fn problem(target: &ExternalTensor, problem: String) -> GgufError {
    GgufError::External { name: target.name.clone(), source_name: target.source.tensor.clone(), problem }
}

fn write_error(target: &ExternalTensor, cause: std::io::Error, written: u64, total: u64) -> GgufError {
    let name = target.name.clone();
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero => {
            GgufError::DiskFull { name, written, total }
        }
        _ => GgufError::Write { name, cause },
    }
}
