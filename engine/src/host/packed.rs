//! A weight matrix in the layout that the kernels read, and the reading of it on the CPU.

use std::ops::Range;

use bytes::Bytes;
use half::f16;

use super::{Affine, CodeSource, GroupSize, HostError, RowSource, WeightFormat, m0e4};

/// A packed matrix `[n, k]`; the layouts are those of [`WeightFormat`]. Its bytes always match its format and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedWeight {
    format: WeightFormat,
    n: usize,
    k: usize,
    weight: Bytes,
    scales: Option<Bytes>,
}

impl PackedWeight {
    /// A matrix over packed bytes; `scales` exactly for the quantised formats.
    ///
    /// # Errors
    /// If the rows cannot be stored in this format, or the bytes are not of the size that the format asks for.
    pub fn new(
        format: WeightFormat,
        n: usize,
        k: usize,
        weight: Bytes,
        scales: Option<Bytes>,
    ) -> Result<Self, HostError> {
        let (weight_bytes, scales_bytes) = packed_bytes(format, n, k)?;
        let scales_len = scales.as_ref().map_or(0, Bytes::len);
        let parts = [("weight", weight_bytes, weight.len()), ("scales", scales_bytes, scales_len)];
        for (part, expected, actual) in parts {
            if expected != actual {
                return Err(HostError::PackedSize { n, k, format, part, expected, actual });
            }
        }
        let scales = scales.filter(|_| format.group().is_some());
        Ok(Self { format, n, k, weight, scales })
    }

    /// How the weights are stored.
    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Rows, without padding.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Weights in a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The packed weights or codes.
    #[must_use]
    pub fn weight(&self) -> &Bytes {
        &self.weight
    }

    /// The scales and biases of a quantised format.
    #[must_use]
    pub fn scales(&self) -> Option<&Bytes> {
        self.scales.as_ref()
    }

    /// Bytes of weights and scales together.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.weight.len() + self.scales.as_ref().map_or(0, Bytes::len)
    }

    /// The weights of a row as the kernels decode them; `None` if there is no such row.
    #[must_use]
    pub fn unpack_row(&self, row: usize) -> Option<Vec<f32>> {
        if row >= self.n {
            return None;
        }
        let words = lane(&self.weight, row, self.k.div_ceil(self.format.weights_per_word()));
        let scales: Vec<Affine> = self.row_scales(row).collect();
        let scale = |k: usize| self.format.group().map_or(Affine::default(), |g| scales[k / g.weights()]);
        let mut weights: Vec<f32> = match self.format {
            WeightFormat::F32 => words.map(f32::from_bits).collect(),
            WeightFormat::F16 => {
                words.flat_map(|w| [w as u16, (w >> 16) as u16]).map(|b| f16::from_bits(b).to_f32()).collect()
            }
            WeightFormat::M0e4 { .. } => words
                .flat_map(m0e4_codes)
                .enumerate()
                .map(|(k, code)| scale(k).at(m0e4::mantissa(code)))
                .collect(),
            WeightFormat::Affine8 { .. } => {
                words.flat_map(u32::to_le_bytes).enumerate().map(|(k, q)| scale(k).at(q.into())).collect()
            }
        };
        weights.truncate(self.k);
        Some(weights)
    }

    /// Scale and bias of each group of a row.
    fn row_scales(&self, row: usize) -> impl Iterator<Item = Affine> {
        let scales = self.scales.as_ref().map_or(&[][..], |scales| scales);
        let count = self.format.group().map_or(0, |group| group.count(self.k));
        lane(scales, row, count).map(Affine::from_word)
    }

    /// The codes of a row, one to a byte; `None` if there is no such row or the format has no codes.
    #[must_use]
    pub fn codes(&self, row: usize) -> Option<Vec<u8>> {
        self.format.group().filter(|_| row < self.n)?;
        let words = lane(&self.weight, row, self.k / self.format.weights_per_word());
        Some(match self.format {
            WeightFormat::M0e4 { .. } => words.flat_map(m0e4_codes).collect(),
            _ => words.flat_map(u32::to_le_bytes).collect(),
        })
    }

    /// Some rows, sharing the bytes: for a matrix that is larger than a binding may be.
    ///
    /// # Errors
    /// If they do not start at a multiple of 4, or end neither at one nor at the last row.
    pub fn piece(&self, rows: Range<usize>) -> Result<Self, HostError> {
        let Range { start, end } = rows;
        let n = self.n;
        if !(start <= end && end <= n && start.is_multiple_of(4) && (end.is_multiple_of(4) || end == n)) {
            return Err(HostError::Piece { start, end, n });
        }
        let cut = |data: &Bytes| {
            let block = data.len().checked_div(n.div_ceil(4)).unwrap_or(0);
            data.slice(start / 4 * block..end.div_ceil(4) * block)
        };
        let (weight, scales) = (cut(&self.weight), self.scales.as_ref().map(cut));
        Ok(Self { n: end - start, weight, scales, ..*self })
    }
}

impl RowSource for PackedWeight {
    fn size(&self) -> (usize, usize) {
        (self.n, self.k)
    }

    fn read(&self, first: usize, out: &mut [f32]) -> Result<(), HostError> {
        for (row, out) in (first..).zip(out.chunks_mut(self.k.max(1))) {
            let weights = self.unpack_row(row);
            out.copy_from_slice(&weights.ok_or(HostError::Merged { part: 0, k: self.k })?);
        }
        Ok(())
    }

    fn codes(&self, format: WeightFormat) -> Option<&dyn CodeSource> {
        (format == self.format && format.group().is_some()).then_some(self)
    }
}

impl CodeSource for PackedWeight {
    fn read_codes(
        &self,
        row: usize,
        _: GroupSize,
        codes: &mut [u8],
        scales: &mut [Affine],
    ) -> Result<(), HostError> {
        let found = self.codes(row).filter(|found| found.len() == codes.len());
        codes.copy_from_slice(&found.ok_or(HostError::Merged { part: 0, k: self.k })?);
        scales.iter_mut().zip(self.row_scales(row)).for_each(|(out, scale)| *out = scale);
        Ok(())
    }
}

/// Bytes of `weight` and `scales` of a matrix `[n, k]`.
///
/// # Errors
/// If the rows cannot be stored in this format, or the sizes overflow.
pub fn packed_bytes(format: WeightFormat, n: usize, k: usize) -> Result<(usize, usize), HostError> {
    if !format.accepts(k) {
        return Err(HostError::RowLength { n, k, format, multiple: format.weights_per_word() });
    }
    match (format.weight_bytes(n, k), format.scales_bytes(n, k)) {
        (Some(weight), Some(scales)) if weight.checked_add(scales).is_some() => Ok((weight, scales)),
        _ => Err(HostError::MatrixTooLarge { n, k, format }),
    }
}

/// The words of one row of `[n/4][count][n%4]`.
fn lane(data: &[u8], row: usize, count: usize) -> impl Iterator<Item = u32> {
    let words = data.as_chunks::<4>().0;
    words.iter().skip(row / 4 * count * 4 + row % 4).step_by(4).take(count).map(|w| u32::from_le_bytes(*w))
}

/// The word of eight codes along `k`: pairs `(2i, 2i+1)` lie in bits `4i..` of the two halves, so that
/// `((w<<6), (w<<2), (w>>2), (w>>6))[i] & 0x03C003C0 | 0x3C003C00` is the pair of halves `1 + q/16`.
pub(super) fn m0e4_word(codes: [u8; 8]) -> u32 {
    let at = |k: usize| 4 * (k as u32 / 2) + 16 * (k as u32 % 2);
    codes.iter().enumerate().fold(0, |word, (k, &code)| word | u32::from(code & 15) << at(k))
}

fn m0e4_codes(word: u32) -> [u8; 8] {
    [0, 16, 4, 20, 8, 24, 12, 28].map(|shift| (word >> shift & 15) as u8)
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{m0e4, m0e4_codes, m0e4_word};

    proptest! {
        #[test]
        fn words_decode_as_the_kernels_do(word in any::<u32>()) {
            let codes = m0e4_codes(word);
            prop_assert_eq!(m0e4_word(codes), word);
            for (i, shifted) in [word << 6, word << 2, word >> 2, word >> 6].into_iter().enumerate() {
                let pair = shifted & 0x03C0_03C0 | 0x3C00_3C00;
                for (half, code) in [pair as u16, (pair >> 16) as u16].into_iter().zip(&codes[2 * i..]) {
                    prop_assert_eq!(f16::from_bits(half).to_f32(), m0e4::mantissa(*code));
                }
            }
        }
    }
}
