//! Matrices of codes with scales and zero points, as quantisation tools store them: `w = (q - z) * s`.
//!
//! They are read a few rows at a time, and codes of up to 4 and 8 bits go to M0E4 and affine8 as they are.

use std::borrow::Cow;

use bytes::Bytes;
use half::{bf16, f16};

use super::{
    Affine, GroupSize, HostError, HostTensor, Orientation, RowSource, WeightFormat, affine8, m0e4,
    source::CodeSource,
};
use crate::dtype::DType;

/// Size and grid of a matrix `[n, k]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockGrid {
    /// Rows.
    pub n: usize,
    /// Weights in a row.
    pub k: usize,
    /// What a code is.
    pub codes: DType,
    /// Rows and columns of the blocks that share scale and zero point; not 0. The last ones may be short.
    pub block: [usize; 2],
}

impl BlockGrid {
    /// Blocks along the rows' axis, and along a row.
    #[must_use]
    pub const fn blocks(&self) -> [usize; 2] {
        [self.n.div_ceil(self.block[0]), self.k.div_ceil(self.block[1])]
    }

    /// The grid of the transpose.
    #[must_use]
    pub const fn transposed(&self) -> Self {
        Self { n: self.k, k: self.n, codes: self.codes, block: [self.block[1], self.block[0]] }
    }

    /// The packed format whose groups are these blocks or parts of them, so that it holds the same codes.
    #[must_use]
    pub fn format(&self) -> Option<WeightFormat> {
        let mut groups = GroupSize::ALL.into_iter();
        let group = if self.block[1] >= self.k {
            groups.find(|g| g.weights() >= self.k).unwrap_or(GroupSize::G128)
        } else {
            groups.rev().find(|g| self.splits_into(*g))?
        };
        let format = match self.codes {
            DType::U2 | DType::I2 | DType::U4 | DType::I4 => WeightFormat::M0e4 { group },
            DType::U8 | DType::I8 => WeightFormat::Affine8 { group },
            _ => return None,
        };
        format.accepts(self.k).then_some(format)
    }

    /// Whether no group of a row belongs to two blocks.
    fn splits_into(&self, group: GroupSize) -> bool {
        self.block[1].is_multiple_of(group.weights()) || self.block[1] >= self.k
    }

    /// What is added to a code's number for the least one to be 0.
    const fn offset(&self) -> u8 {
        match self.codes {
            DType::I2 | DType::I4 | DType::I8 => 1 << (self.codes.bits() - 1),
            _ => 0,
        }
    }
}

/// Numbers of any type, by row and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// The bytes, as a tensor has them.
    pub bytes: Bytes,
    /// Type of an element.
    pub dtype: DType,
    /// Elements from a row to the next, and from a column to the next; 0 where all have the same number.
    pub steps: [usize; 2],
}

impl Numbers {
    /// A tensor's elements.
    #[must_use]
    pub fn of(tensor: &HostTensor, steps: [usize; 2]) -> Self {
        Self { bytes: tensor.data().clone(), dtype: tensor.dtype(), steps }
    }

    /// The same number everywhere.
    #[must_use]
    pub fn always(number: u8) -> Self {
        Self { bytes: vec![number].into(), dtype: DType::U8, steps: [0, 0] }
    }

    fn transposed(&self) -> Self {
        Self { steps: [self.steps[1], self.steps[0]], ..self.clone() }
    }

    fn index(&self, [row, column]: [usize; 2]) -> usize {
        row * self.steps[0] + column * self.steps[1]
    }

    /// The bits of an element of up to 8 bits.
    fn code(&self, at: [usize; 2]) -> u8 {
        let (index, bits) = (self.index(at), self.dtype.bits());
        let per_byte = (8 / bits).max(1);
        let byte = self.bytes.get(index / per_byte).copied().unwrap_or(0);
        if per_byte == 1 { byte } else { byte >> (index % per_byte * bits) & ((1 << bits) - 1) }
    }

    fn number(&self, at: [usize; 2]) -> f32 {
        let signed = |unused: u32| f32::from((self.code(at) << unused) as i8 >> unused);
        match self.dtype {
            DType::F32 => f32::from_le_bytes(self.element(at)),
            DType::F16 => f16::from_le_bytes(self.element(at)).to_f32(),
            DType::BF16 => bf16::from_le_bytes(self.element(at)).to_f32(),
            DType::F64 => f64::from_le_bytes(self.element(at)) as f32,
            DType::I64 => i64::from_le_bytes(self.element(at)) as f32,
            DType::I32 => i32::from_le_bytes(self.element(at)) as f32,
            DType::I16 => i16::from_le_bytes(self.element(at)).into(),
            DType::U64 => u64::from_le_bytes(self.element(at)) as f32,
            DType::U32 => u32::from_le_bytes(self.element(at)) as f32,
            DType::U16 => u16::from_le_bytes(self.element(at)).into(),
            DType::I8 => signed(0),
            DType::I4 => signed(4),
            DType::I2 => signed(6),
            DType::U8 | DType::U4 | DType::U2 | DType::Bool => self.code(at).into(),
            dtype => dtype.minifloat().map_or(0.0, |format| format.decode(self.code(at))),
        }
    }

    fn element<const N: usize>(&self, at: [usize; 2]) -> [u8; N] {
        self.bytes.as_chunks().0.get(self.index(at)).copied().unwrap_or([0; N])
    }

    /// Whether there is one for each place of a grid and no more.
    fn check(&self, what: &'static str, grid: &BlockGrid, sizes: [usize; 2]) -> Result<(), HostError> {
        let [rows, columns] = sizes;
        let span = |size: usize, step: usize| size.saturating_mul(step);
        let needed = span(rows - 1, self.steps[0]).saturating_add(span(columns - 1, self.steps[1]));
        let count = span(rows, self.steps[0]).max(span(columns, self.steps[1])).max(1);
        let expected = self.dtype.size_bytes(count.max(needed.saturating_add(1))).unwrap_or(usize::MAX);
        check(what, grid, expected, self.bytes.len())
    }
}

fn check(what: &'static str, grid: &BlockGrid, expected: usize, actual: usize) -> Result<(), HostError> {
    if expected == actual {
        return Ok(());
    }
    Err(HostError::Blocks { n: grid.n, k: grid.k, what, expected, actual })
}

/// The numbers of a matrix, in the model's own bytes.
#[derive(Debug, Clone)]
struct Data {
    codes: Numbers,
    scales: Numbers,
    zero_points: Numbers,
}

/// A quantised matrix, which may have its numbers elsewhere.
#[derive(Debug, Clone)]
pub struct BlockMatrix {
    grid: BlockGrid,
    data: Option<Data>,
}

impl BlockMatrix {
    /// A matrix over the model's bytes: codes by row and column, scales and zero points, which are of any type, by block.
    ///
    /// # Errors
    /// When a part is not of the size that the grid asks for, or the codes are of another type.
    pub fn new(
        grid: BlockGrid,
        codes: Numbers,
        scales: Numbers,
        zero_points: Numbers,
    ) -> Result<Self, HostError> {
        if grid.n > 0 && grid.k > 0 {
            codes.check("codes", &grid, [grid.n, grid.k])?;
            scales.check("scales", &grid, grid.blocks())?;
            zero_points.check("zero points", &grid, grid.blocks())?;
        }
        if codes.dtype != grid.codes || !scales.dtype.is_float() {
            let text =
                format!("codes are {}, not {}, with scales of {}", codes.dtype, grid.codes, scales.dtype);
            return Err(HostError::Source(text));
        }
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

    /// Whether both have the same numbers, codes over the same bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let place = |d: &Data| (d.codes.bytes.as_ptr(), d.codes.bytes.len(), d.codes.steps);
        self.grid == other.grid
            && match (&self.data, &other.data) {
                (None, None) => true,
                (Some(a), Some(b)) => {
                    place(a) == place(b) && a.scales == b.scales && a.zero_points == b.zero_points
                }
                _ => false,
            }
    }

    /// The matrix of which this is the transpose, over the same bytes.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let data = self.data.as_ref().map(|data| Data {
            codes: data.codes.transposed(),
            scales: data.scales.transposed(),
            zero_points: data.zero_points.transposed(),
        });
        Self { grid: self.grid.transposed(), data }
    }

    /// The matrix whose rows are these, or, where they are stored as columns, the transpose.
    #[must_use]
    pub fn oriented(&self, orientation: Orientation) -> Cow<'_, Self> {
        match orientation {
            Orientation::RowsFirst => Cow::Borrowed(self),
            Orientation::ColumnsFirst => Cow::Owned(self.transposed()),
        }
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
    fn lines(&self, grid: &BlockGrid, row: usize) -> Vec<(f32, f32)> {
        let of = |block| [row / grid.block[0], block];
        let line = |block| (self.scales.number(of(block)), self.zero_points.number(of(block)));
        (0..grid.blocks()[1]).map(line).collect()
    }
}

impl RowSource for BlockMatrix {
    fn size(&self) -> (usize, usize) {
        (self.grid.n, self.grid.k)
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        let (data, grid) = (self.data()?, &self.grid);
        for (row, out) in (first..).zip(out.chunks_mut(grid.k.max(1))) {
            let blocks = out.chunks_mut(grid.block[1]).zip(data.lines(grid, row));
            for (block, (weights, (scale, point))) in blocks.enumerate() {
                for (column, weight) in (block * grid.block[1]..).zip(weights) {
                    *weight = (data.codes.number([row, column]) - point) * scale;
                }
            }
        }
        Ok(())
    }

    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        let group = format.group()?;
        let own = match self.grid.format()? {
            WeightFormat::M0e4 { .. } => WeightFormat::M0e4 { group },
            _ => WeightFormat::Affine8 { group },
        };
        (own == format && self.data.is_some() && self.grid.splits_into(group)).then_some(self)
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
        let offset = grid.offset();
        for (column, code) in codes.iter_mut().enumerate() {
            *code = data.codes.code([row, column]) ^ offset;
        }
        let lines = data.lines(grid, row);
        let bits = grid.codes.bits();
        for (index, (codes, stored)) in codes.chunks(group.weights()).zip(scales).enumerate() {
            let column = index * group.weights();
            let (scale, point) = lines[column / grid.block[1]];
            let (step, least) =
                (f64::from(scale), f64::from(scale) * -(f64::from(point) + f64::from(offset)));
            let found = if bits <= 4 {
                m0e4::from_grid(codes, step, least)
            } else {
                affine8::from_grid(codes, step, least)
            };
            let greatest = least + step * f64::from((1u16 << bits) - 1);
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
