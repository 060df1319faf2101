//! Matrices of 4- and 8-bit codes in blocks along their rows, as ONNX Runtime and GPTQ store them: `w = (q - z) * s`.
//!
//! They are read a few rows at a time, and their codes go to M0E4 and affine8 as they are.

use bytes::Bytes;

use super::{
    Affine, GroupSize, HostError, HostTensor, Orientation, RowSource, StoredMatrix, WeightFormat, affine8,
    m0e4, source::CodeSource,
};
use crate::dtype::DType;

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeBits {
    /// Two codes to a byte, the first in the low half.
    Four,
    /// One code to a byte.
    Eight,
}

impl CodeBits {
    /// The number of bits.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The code in the middle, which stands for zero where nothing else is said.
    #[must_use]
    pub const fn middle(self) -> u8 {
        match self {
            Self::Four => 8,
            Self::Eight => 128,
        }
    }
}

/// Size and grid of a matrix `[n, k]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockGrid {
    /// Rows.
    pub n: usize,
    /// Weights in a row.
    pub k: usize,
    /// Bits of a code.
    pub bits: CodeBits,
    /// Weights along a row that share scale and zero point; not 0. The last block of a row may be short.
    pub block: usize,
}

impl BlockGrid {
    /// Blocks in a row.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        self.k.div_ceil(self.block)
    }

    /// The packed format whose groups are these blocks or parts of them, so that it holds the same codes.
    #[must_use]
    pub fn format(&self) -> Option<WeightFormat> {
        let group = GroupSize::ALL.into_iter().rev().find(|g| self.block.is_multiple_of(g.weights()))?;
        let format = match self.bits {
            CodeBits::Four => WeightFormat::M0e4 { group },
            CodeBits::Eight => WeightFormat::Affine8 { group },
        };
        format.accepts(self.k).then_some(format)
    }
}

/// Codes of a matrix, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// The bytes, each of one code of 8 bits or two of 4.
    pub bytes: Bytes,
    /// Codes from the beginning of a row to that of the next.
    pub per_row: usize,
    /// Whether they are two's complement; they are moved up by the middle then, so that the least is 0.
    pub signed: bool,
}

impl Codes {
    fn at(&self, bits: CodeBits, row: usize, column: usize) -> u8 {
        let index = row * self.per_row + column;
        let code = match bits {
            CodeBits::Four => self.bytes.get(index / 2).map_or(0, |byte| byte >> (index % 2 * 4) & 15),
            CodeBits::Eight => self.bytes.get(index).copied().unwrap_or(0),
        };
        if self.signed { code ^ bits.middle() } else { code }
    }

    fn check(&self, what: &'static str, grid: &BlockGrid) -> Result<(), HostError> {
        let expected = self.per_row.checked_mul(grid.n).and_then(|n| n.checked_mul(grid.bits.count()));
        let expected = expected.map_or(usize::MAX, |bits| bits.div_ceil(8));
        check(what, grid, expected, self.bytes.len())
    }
}

/// What code stands for zero.
#[derive(Debug, Clone)]
pub enum ZeroPoints {
    /// The same everywhere.
    Always(u8),
    /// One for each block, coded like the weights.
    Codes(Codes),
    /// One for each block, `[n, blocks]`, not necessarily an integer.
    Numbers(HostTensor),
}

/// The numbers of a matrix, in the model's own bytes.
#[derive(Debug, Clone)]
struct Data {
    codes: Codes,
    scales: StoredMatrix,
    zero_points: Points,
}

#[derive(Debug, Clone)]
enum Points {
    Always(u8),
    Codes(Codes),
    Numbers(StoredMatrix),
}

/// A quantised matrix, which may have its numbers elsewhere.
#[derive(Debug, Clone)]
pub struct BlockMatrix {
    grid: BlockGrid,
    data: Option<Data>,
}

fn check(what: &'static str, grid: &BlockGrid, expected: usize, actual: usize) -> Result<(), HostError> {
    if expected == actual {
        return Ok(());
    }
    Err(HostError::Blocks { n: grid.n, k: grid.k, what, expected, actual })
}

/// One number for each block, whatever the tensor's shape.
fn by_block(what: &'static str, grid: &BlockGrid, numbers: &HostTensor) -> Result<StoredMatrix, HostError> {
    let expected = grid.n.saturating_mul(grid.blocks());
    check(what, grid, expected, numbers.len())?;
    StoredMatrix::new(&numbers.clone().reshape(vec![grid.n, grid.blocks()])?, Orientation::RowsFirst)
}

impl BlockMatrix {
    /// A matrix over the model's bytes; `scales` are floats, one for each block.
    ///
    /// # Errors
    /// When a part is not of the size that the grid asks for, or of another type.
    pub fn new(
        grid: BlockGrid,
        codes: Codes,
        scales: &HostTensor,
        zero_points: ZeroPoints,
    ) -> Result<Self, HostError> {
        codes.check("codes", &grid)?;
        if codes.per_row < grid.k {
            check("codes in a row", &grid, grid.k, codes.per_row)?;
        }
        let scales = by_block("scales", &grid, scales)?;
        let zero_points = match zero_points {
            ZeroPoints::Always(point) => Points::Always(point),
            ZeroPoints::Codes(codes) => {
                codes.check("zero points", &grid)?;
                if codes.per_row < grid.blocks() {
                    check("zero points in a row", &grid, grid.blocks(), codes.per_row)?;
                }
                Points::Codes(codes)
            }
            ZeroPoints::Numbers(numbers) => Points::Numbers(by_block("zero points", &grid, &numbers)?),
        };
        Ok(Self { grid, data: Some(Data { codes, scales, zero_points }) })
    }

    /// A matrix of which no numbers are at hand: a packed file has them.
    #[must_use]
    pub fn absent(grid: BlockGrid) -> Self {
        Self { grid, data: None }
    }

    /// Size and grid.
    #[must_use]
    pub fn grid(&self) -> &BlockGrid {
        &self.grid
    }

    /// Whether the numbers are at hand.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.data.is_none()
    }

    /// Whether both are over the same bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let place = |m: &Self| m.data.as_ref().map(|d| (d.codes.bytes.as_ptr(), d.codes.bytes.len()));
        self.grid == other.grid && place(self) == place(other)
    }

    /// All weights, as plain elements.
    ///
    /// # Errors
    /// When the numbers are not at hand.
    pub fn decoded(&self, dtype: DType) -> Result<HostTensor, HostError> {
        let BlockGrid { n, k, .. } = self.grid;
        let mut all = vec![0.0; n * k];
        self.read(0, &mut all)?;
        Ok(HostTensor::from_f32(vec![n, k], &all)?.cast(dtype))
    }

    fn data(&self) -> Result<&Data, HostError> {
        let BlockGrid { n, k, .. } = self.grid;
        self.data.as_ref().ok_or(HostError::Blocks { n, k, what: "codes", expected: 1, actual: 0 })
    }
}

impl Data {
    /// Scales and zero points of a row's blocks.
    fn lines(&self, grid: &BlockGrid, row: usize) -> Result<Vec<(f32, f32)>, HostError> {
        let mut scales = vec![0.0; grid.blocks()];
        self.scales.read(row, &mut scales)?;
        let mut points = vec![0.0; grid.blocks()];
        match &self.zero_points {
            Points::Always(point) => points.fill(f32::from(*point)),
            Points::Codes(codes) => {
                let of = |(block, point): (usize, &mut f32)| *point = codes.at(grid.bits, row, block).into();
                points.iter_mut().enumerate().for_each(of);
            }
            Points::Numbers(numbers) => numbers.read(row, &mut points)?,
        }
        Ok(scales.into_iter().zip(points).collect())
    }
}

impl RowSource for BlockMatrix {
    fn size(&self) -> (usize, usize) {
        (self.grid.n, self.grid.k)
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        let (data, grid) = (self.data()?, &self.grid);
        for (row, out) in (first..).zip(out.chunks_mut(grid.k.max(1))) {
            let lines = data.lines(grid, row)?;
            for (block, ((scale, point), weights)) in lines.iter().zip(out.chunks_mut(grid.block)).enumerate()
            {
                for (column, weight) in (block * grid.block..).zip(weights) {
                    *weight = (f32::from(data.codes.at(grid.bits, row, column)) - point) * scale;
                }
            }
        }
        Ok(())
    }

    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        let own = match (self.grid.bits, format) {
            (CodeBits::Four, WeightFormat::M0e4 { group })
            | (CodeBits::Eight, WeightFormat::Affine8 { group }) => group,
            _ => return None,
        };
        (self.data.is_some() && self.grid.block.is_multiple_of(own.weights())).then_some(self)
    }
}

impl CodeSource for BlockMatrix {
    fn read_codes(
        &self,
        row: usize,
        group: GroupSize,
        codes: &mut [u8],
        scales: &mut [Affine],
    ) -> Result<(), HostError> {
        let (data, grid) = (self.data()?, &self.grid);
        for (column, code) in codes.iter_mut().enumerate() {
            *code = data.codes.at(grid.bits, row, column);
        }
        let lines = data.lines(grid, row)?;
        for (index, (codes, stored)) in codes.chunks(group.weights()).zip(scales).enumerate() {
            let column = index * group.weights();
            let (scale, point) = lines[column / grid.block];
            let (step, least) = (f64::from(scale), f64::from(scale) * -f64::from(point));
            let found = match grid.bits {
                CodeBits::Four => m0e4::from_grid(codes, step, least),
                CodeBits::Eight => affine8::from_grid(codes, step, least),
            };
            let greatest = least + step * f64::from(2 * u16::from(grid.bits.middle()) - 1);
            *stored = found.ok_or_else(|| HostError::ScaleRange {
                row,
                column,
                least: least.to_string(),
                greatest: greatest.to_string(),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
