//! One tensor of the file: its description, its bytes, and its rows as f32.

use crate::affine::{AffineBlock, affine_block};
use crate::decode::decode_block;
use crate::kind::Block;
use crate::{GgufError, Kind};

/// A tensor as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Its name, for example `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// How its numbers are stored.
    pub kind: Kind,
    /// Its bytes; empty where the kind is [`Kind::Other`].
    pub data: &'a [u8],
    pub(crate) dims: [u64; 4],
    pub(crate) rank: usize,
}

impl<'a> Tensor<'a> {
    /// Sizes in ggml's order: the contiguous dimension first.
    #[must_use]
    pub fn dims(&self) -> &[u64] {
        &self.dims[..self.rank]
    }

    /// Sizes in row-major order: the contiguous dimension last, as PyTorch and ONNX write them.
    #[must_use]
    pub fn shape(&self) -> Vec<u64> {
        self.dims().iter().rev().copied().collect()
    }

    /// Numbers in a row, which is contiguous: the first of [`Tensor::dims`].
    #[must_use]
    pub fn columns(&self) -> usize {
        self.dims().first().map_or(1, |&n| n as usize)
    }

    /// Rows: the product of all sizes but the first.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.dims().iter().skip(1).product::<u64>() as usize
    }

    /// Row `row` as f32, into `out`, whose length is [`Tensor::columns`].
    ///
    /// # Errors
    /// The kind cannot be decoded, there is no such row, or `out` has another length.
    pub fn read_row(&self, row: usize, out: &mut [f32]) -> Result<(), GgufError> {
        self.read_columns(row, 0, out)
    }

    /// As many numbers of row `row` as `out` holds, from column `first` on. Both have to be multiples
    /// of the format's block, or reach the row's end.
    ///
    /// # Errors
    /// As [`Tensor::read_row`], and a range that is not of whole blocks.
    pub fn read_columns(&self, row: usize, first: usize, out: &mut [f32]) -> Result<(), GgufError> {
        let block = self.block()?;
        if !first.is_multiple_of(block.elements) || !out.len().is_multiple_of(block.elements) {
            return Err(self.problem(format!(
                "columns {first}..{} are not whole blocks of {}",
                first.saturating_add(out.len()),
                block.elements
            )));
        }
        let bytes = self.row_bytes(row, block)?;
        let from = first / block.elements * block.bytes;
        let wanted = out.len() / block.elements * block.bytes;
        let bytes = bytes.get(from..from.saturating_add(wanted)).ok_or_else(|| {
            self.problem(format!(
                "{} numbers from column {first} on are asked of a row of {}",
                out.len(),
                self.columns()
            ))
        })?;
        for (numbers, stored) in out.chunks_exact_mut(block.elements).zip(bytes.chunks_exact(block.bytes)) {
            decode_block(self.kind, stored, numbers);
        }
        Ok(())
    }

    /// The whole tensor as f32, row-major.
    ///
    /// # Errors
    /// The kind cannot be decoded.
    pub fn to_f32(&self) -> Result<Vec<f32>, GgufError> {
        self.block()?;
        let columns = self.columns();
        let mut numbers = vec![0.0; columns * self.rows()];
        for (row, out) in numbers.chunks_exact_mut(columns.max(1)).enumerate() {
            self.read_row(row, out)?;
        }
        Ok(numbers)
    }

    /// The blocks of row `row` as an affine grid, codes untouched (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0).
    ///
    /// # Errors
    /// There is no such row, or the kind is not one scale and one minimum for 32 codes.
    pub fn affine_row(
        &self,
        row: usize,
    ) -> Result<impl ExactSizeIterator<Item = AffineBlock> + use<'a>, GgufError> {
        let kind = self.kind;
        if !matches!(kind, Kind::Q4_0 | Kind::Q4_1 | Kind::Q5_0 | Kind::Q5_1 | Kind::Q8_0) {
            return Err(self.problem(format!("{kind} is not one scale and one minimum for 32 codes")));
        }
        let block = self.block()?;
        let bytes = self.row_bytes(row, block)?;
        Ok(bytes.chunks_exact(block.bytes).map(move |stored| affine_block(kind, stored)))
    }

    fn block(&self) -> Result<Block, GgufError> {
        self.kind
            .block()
            .ok_or_else(|| GgufError::UnsupportedKind { name: self.name.into(), kind: self.kind })
    }

    fn row_bytes(&self, row: usize, block: Block) -> Result<&'a [u8], GgufError> {
        let length = self.columns() / block.elements * block.bytes;
        let start = row.checked_mul(length);
        start
            .and_then(|start| self.data.get(start..start.checked_add(length)?))
            .filter(|_| row < self.rows())
            .ok_or_else(|| self.problem(format!("there is no row {row} among {}", self.rows())))
    }

    fn problem(&self, problem: String) -> GgufError {
        GgufError::Tensor { name: self.name.into(), problem }
    }
}
