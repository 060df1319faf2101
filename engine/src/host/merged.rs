//! Rows of several matrices in another order, read as one matrix: what products of one input are merged into.

use std::ops::Range;

use super::{Affine, GroupSize, HostError, RowSource, WeightFormat, source::CodeSource};

/// Which matrix a row is from, and which of its rows it is.
pub type RowOf = (u32, u32);

/// The rows that a list names, of matrices of one width.
pub struct MergedSource<'a> {
    parts: Vec<Box<dyn RowSource + 'a>>,
    rows: &'a [RowOf],
    k: usize,
    format: WeightFormat,
}

/// Rows of a part are read together where no more than this many times as many lie between the first and the last.
const SPREAD: usize = 4;

impl<'a> MergedSource<'a> {
    /// A matrix over others, to be packed in a format. The rows exist, and all parts have `k` weights in a row.
    #[must_use]
    pub fn new(
        parts: Vec<Box<dyn RowSource + 'a>>,
        rows: &'a [RowOf],
        k: usize,
        format: WeightFormat,
    ) -> Self {
        Self { parts, rows, k, format }
    }

    fn part(&self, index: u32) -> Result<&(dyn RowSource + 'a), HostError> {
        let part = self.parts.get(index as usize).filter(|part| part.size().1 == self.k);
        part.map(|part| &**part).ok_or(HostError::Merged { part: index as usize, k: self.k })
    }

    /// Rows of a part among some rows: their range, and how many.
    fn range(rows: &[RowOf], part: u32) -> (Range<usize>, usize) {
        let of_part = || rows.iter().filter(|(of, _)| *of == part).map(|(_, row)| *row as usize);
        let (least, most) = (of_part().min().unwrap_or(0), of_part().max().map_or(0, |row| row + 1));
        (least..most, of_part().count())
    }
}

impl RowSource for MergedSource<'_> {
    fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.k)
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        let k = self.k.max(1);
        let rows = self.rows.get(first..).unwrap_or_default();
        let rows = &rows[..rows.len().min(out.len() / k)];
        let mut block = Vec::new();
        for index in 0..self.parts.len() as u32 {
            let (range, count) = Self::range(rows, index);
            if count == 0 {
                continue;
            }
            let part = self.part(index)?;
            let together = range.len() <= SPREAD * count;
            if together {
                block.resize(range.len() * k, 0.0);
                part.read(range.start, &mut block)?;
            }
            for (out, (of, row)) in out.chunks_mut(k).zip(rows) {
                if *of != index {
                    continue;
                }
                if together {
                    let at = (*row as usize - range.start) * k;
                    out.copy_from_slice(&block[at..at + k]);
                } else {
                    part.read(*row as usize, out)?;
                }
            }
        }
        Ok(())
    }

    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        let all = format == self.format && self.parts.iter().all(|part| part.codes(format).is_some());
        all.then_some(self)
    }
}

impl CodeSource for MergedSource<'_> {
    fn read_codes(
        &self,
        row: usize,
        group: GroupSize,
        codes: &mut [u8],
        scales: &mut [Affine],
    ) -> Result<(), HostError> {
        let (part, row) = self.rows.get(row).copied().unwrap_or_default();
        let lost = HostError::Merged { part: part as usize, k: self.k };
        self.part(part)?.codes(self.format).ok_or(lost)?.read_codes(row as usize, group, codes, scales)
    }
}

#[cfg(test)]
mod tests {
    use super::{MergedSource, RowOf};
    use crate::host::{
        Fit, HostTensor, Orientation, PackedWeight, RowSource, StoredMatrix, WeightFormat, pack,
    };

    fn matrix(n: usize, k: usize, from: usize, orientation: Orientation) -> StoredMatrix {
        let weight = |row: usize, column: usize| ((from + row * 31 + column * 7) % 23) as f32 / 8.0 - 1.0;
        let (shape, data) = match orientation {
            Orientation::RowsFirst => (vec![n, k], (0..n * k).map(|i| weight(i / k, i % k)).collect()),
            Orientation::ColumnsFirst => {
                (vec![k, n], (0..n * k).map(|i| weight(i % n, i / n)).collect::<Vec<_>>())
            }
        };
        StoredMatrix::new(&HostTensor::from_f32(shape, &data).unwrap(), orientation).unwrap()
    }

    fn merged(parts: &[impl RowSource + Clone], rows: &[RowOf], format: WeightFormat) -> PackedWeight {
        let parts = parts.iter().map(|part| Box::new(part.clone()) as Box<dyn RowSource>).collect();
        pack(&MergedSource::new(parts, rows, 64, format), format, Fit::MinMax, &|_| {}).unwrap()
    }

    #[test]
    fn merged_rows_are_the_rows_of_their_parts_packed_or_not() {
        let parts =
            [matrix(300, 64, 0, Orientation::RowsFirst), matrix(90, 64, 11, Orientation::ColumnsFirst)];
        let near = (0..90).flat_map(|row| [(0, row), (1, row)]);
        let far = (0..50).map(|row| (row % 2, row / 2 * (3 + 8 * (1 - row % 2))));
        let rows: Vec<RowOf> = near.chain(far).collect();
        for format in WeightFormat::ALL {
            let packed = parts.each_ref().map(|part| pack(part, format, Fit::MinMax, &|_| {}).unwrap());
            let (fresh, again) = (merged(&parts, &rows, format), merged(&packed, &rows, format));
            for (at, (part, row)) in rows.iter().enumerate() {
                let wanted = packed[*part as usize].unpack_row(*row as usize);
                assert_eq!(fresh.unpack_row(at), wanted, "{format}, row {at}");
            }
            assert_eq!(again, fresh, "{format}");
        }
    }

    #[test]
    fn parts_of_another_width_are_an_error() {
        let parts: Vec<Box<dyn RowSource>> = vec![Box::new(matrix(4, 32, 0, Orientation::RowsFirst))];
        let source = MergedSource::new(parts, &[(0, 1)], 64, WeightFormat::F32);
        assert!(source.read(0, &mut [0.0; 64]).is_err());
    }
}
