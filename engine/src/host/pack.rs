//! Turns the rows of a matrix into a [`PackedWeight`], on all processors, a few rows at a time.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use half::f16;

use super::{
    Affine, HostError, PackedWeight, RowSource, WeightFormat, affine8, m0e4,
    m0e4::Fit,
    packed::{m0e4_word, packed_bytes},
};
use crate::processors;

/// Rows that one thread reads and packs at a time; a multiple of 4.
const ROWS: usize = 64;

/// Packs all rows of `source`. `progress` is called with the number of rows that have been added, from any thread.
///
/// # Errors
/// If the rows cannot be stored in this format, a weight is not finite or too large for it (the first such row is named),
/// or the source fails.
pub fn pack(
    source: &dyn RowSource,
    format: WeightFormat,
    fit: Fit,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<PackedWeight, HostError> {
    let (n, k) = source.size();
    let (weight_bytes, scales_bytes) = packed_bytes(format, n, k)?;
    let mut weight = vec![0; weight_bytes];
    let mut scales = vec![0; scales_bytes];
    let jobs = Mutex::new(jobs(&mut weight, &mut scales, format, n, k).into_iter());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut buffers = None;
        while let Some(job) = next() {
            let (first, rows) = (job.first, job.rows);
            let buffers = buffers.get_or_insert_with(|| Buffers::new(format, n, k));
            job.run(source, format, fit, buffers).map_err(|error| (first, error))?;
            progress(rows);
        }
        Ok(())
    };
    let results: Vec<Result<(), (usize, HostError)>> = processors::on_all(n.div_ceil(ROWS), work);
    drop(jobs);
    // Jobs are taken in order and a thread stops at its first error, so that the least one is the matrix's first.
    if let Some((_, error)) = results.into_iter().filter_map(Result::err).min_by_key(|(first, _)| *first) {
        return Err(error);
    }
    let scales = format.group().map(|_| Bytes::from(scales));
    PackedWeight::new(format, n, k, weight.into(), scales)
}

/// Some rows of the matrix and where they go.
struct Job<'a> {
    first: usize,
    rows: usize,
    weight: &'a mut [[u8; 4]],
    scales: &'a mut [[u8; 4]],
}

fn jobs<'a>(
    weight: &'a mut [u8],
    scales: &'a mut [u8],
    format: WeightFormat,
    n: usize,
    k: usize,
) -> Vec<Job<'a>> {
    let mut weight = weight.as_chunks_mut::<4>().0;
    let mut scales = scales.as_chunks_mut::<4>().0;
    // They saturate only where there are no rows.
    let words = k.div_ceil(format.weights_per_word()).saturating_mul(ROWS);
    let scale_words = format.group().map_or(0, |group| group.count(k)).saturating_mul(ROWS);
    (0..n)
        .step_by(ROWS)
        .map(|first| Job {
            first,
            rows: ROWS.min(n - first),
            weight: weight.split_off_mut(..words.min(weight.len())).unwrap_or_default(),
            scales: scales.split_off_mut(..scale_words.min(scales.len())).unwrap_or_default(),
        })
        .collect()
}

/// What a thread reuses from job to job; made with the first one, as a matrix without rows may claim any `k`.
struct Buffers {
    rows: Vec<f32>,
    codes: Vec<u8>,
    scales: Vec<Affine>,
}

impl Buffers {
    fn new(format: WeightFormat, n: usize, k: usize) -> Self {
        let groups = format.group().map_or(0, |group| group.count(k));
        Self { rows: vec![0.0; ROWS.min(n) * k], codes: vec![0; k], scales: vec![Affine::default(); groups] }
    }
}

impl Job<'_> {
    fn run(
        self,
        source: &dyn RowSource,
        format: WeightFormat,
        fit: Fit,
        buffers: &mut Buffers,
    ) -> Result<(), HostError> {
        let k = source.size().1;
        let Buffers { rows, codes, scales } = buffers;
        if let (Some(stored), Some(group)) = (source.codes(format), format.group()) {
            for row in 0..self.rows {
                stored.read_codes(self.first + row, group, codes, scales)?;
                put_codes(self.weight, row, format, codes);
                put(self.scales, row, scales.iter().map(|s| s.to_word()));
            }
            return Ok(());
        }
        let rows = &mut rows[..self.rows * k];
        source.read(self.first, rows)?;
        for (row, weights) in rows.chunks(k.max(1)).enumerate() {
            let number = self.first + row;
            match format {
                WeightFormat::F32 => put(self.weight, row, weights.iter().map(|w| w.to_bits())),
                WeightFormat::F16 => {
                    check_halves(number, weights)?;
                    put(self.weight, row, weights.chunks(2).map(halves));
                }
                WeightFormat::M0e4 { group } => {
                    m0e4::quantise_row(number, weights, group, fit, codes, scales)?;
                    put_codes(self.weight, row, format, codes);
                }
                WeightFormat::Affine8 { group } => {
                    affine8::quantise_row(number, weights, group, codes, scales)?;
                    put_codes(self.weight, row, format, codes);
                }
            }
            put(self.scales, row, scales.iter().map(|s| s.to_word()));
        }
        Ok(())
    }
}

/// Packs the codes of one row of a quantised format.
fn put_codes(target: &mut [[u8; 4]], row: usize, format: WeightFormat, codes: &[u8]) {
    if matches!(format, WeightFormat::M0e4 { .. }) {
        put(target, row, codes.as_chunks().0.iter().map(|c| m0e4_word(*c)));
    } else {
        put(target, row, codes.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c)));
    }
}

/// Writes the words of one row to `[n/4][count][n%4]`.
fn put(target: &mut [[u8; 4]], row: usize, words: impl ExactSizeIterator<Item = u32>) {
    let first = row / 4 * words.len() * 4 + row % 4;
    for (place, word) in target.iter_mut().skip(first).step_by(4).zip(words) {
        *place = word.to_le_bytes();
    }
}

fn halves(pair: &[f32]) -> u32 {
    let bits = |w: f32| u32::from(f16::from_f32(w).to_bits());
    bits(pair[0]) | pair.get(1).map_or(0, |&w| bits(w) << 16)
}

fn check_halves(row: usize, weights: &[f32]) -> Result<(), HostError> {
    let too_large = |w: &f32| w.is_finite() && f16::from_f32(*w).is_infinite();
    match weights.iter().position(too_large) {
        Some(column) => {
            let value = weights[column].to_string();
            Err(HostError::ScaleRange { row, column, least: value.clone(), greatest: value })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, proptest};

    use super::{Affine, Fit, HostError, WeightFormat, affine8, f16, m0e4, pack};
    use crate::{
        dtype::DType,
        host::{HostTensor, Orientation, StoredMatrix},
    };

    fn stored(n: usize, k: usize, weights: &[f32], dtype: DType, orientation: Orientation) -> StoredMatrix {
        let (shape, values) = match orientation {
            Orientation::RowsFirst => (vec![n, k], weights.to_vec()),
            Orientation::ColumnsFirst => {
                (vec![k, n], (0..k).flat_map(|c| (0..n).map(move |r| weights[r * k + c])).collect())
            }
        };
        let tensor = HostTensor::from_f32(shape, &values).unwrap().cast(dtype);
        StoredMatrix::new(&tensor, orientation).unwrap()
    }

    /// What the formats make of one row, without packing.
    fn reference(weights: &[f32], format: WeightFormat) -> Vec<f32> {
        let group = format.group().map_or(1, |g| g.weights());
        let mut codes = vec![0; weights.len()];
        let mut scales = vec![Affine::default(); weights.len().div_ceil(group)];
        match format {
            WeightFormat::F32 => return weights.to_vec(),
            WeightFormat::F16 => return weights.iter().map(|w| f16::from_f32(*w).to_f32()).collect(),
            WeightFormat::M0e4 { group } => {
                m0e4::quantise_row(0, weights, group, Fit::MinMax, &mut codes, &mut scales).unwrap();
            }
            WeightFormat::Affine8 { group } => {
                affine8::quantise_row(0, weights, group, &mut codes, &mut scales).unwrap();
            }
        }
        let x = |code: u8| {
            if matches!(format, WeightFormat::M0e4 { .. }) { m0e4::mantissa(code) } else { code.into() }
        };
        codes.iter().enumerate().map(|(k, &code)| scales[k / group].at(x(code))).collect()
    }

    fn matrices() -> impl Strategy<Value = (usize, usize, WeightFormat, Vec<f32>)> {
        (1usize..150, 1usize..40, proptest::sample::select(&WeightFormat::ALL[..])).prop_flat_map(
            |(n, words, format)| {
                let k = words * format.weights_per_word()
                    - usize::from(format == WeightFormat::F16 && words % 2 == 0);
                (Just(n), Just(k), Just(format), proptest::collection::vec(-2f32..2.0, n * k))
            },
        )
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]
        #[test]
        fn packed_rows_are_the_quantised_rows(
            (n, k, format, weights) in matrices(),
            dtype in proptest::sample::select(&[DType::F32, DType::F16, DType::BF16][..]),
            columns_first in proptest::bool::ANY,
        ) {
            let weights = HostTensor::from_f32(vec![n * k], &weights).unwrap().cast(dtype).to_f32s();
            let orientation = if columns_first { Orientation::ColumnsFirst } else { Orientation::RowsFirst };
            let source = stored(n, k, &weights, dtype, orientation);
            let done = AtomicUsize::new(0);
            let packed = pack(&source, format, Fit::MinMax, &|rows| {
                done.fetch_add(rows, Relaxed);
            }).unwrap();
            prop_assert_eq!(done.into_inner(), n);
            for (row, weights) in weights.chunks(k).enumerate() {
                prop_assert_eq!(packed.unpack_row(row).unwrap(), reference(weights, format));
            }
            prop_assert!(packed.unpack_row(n).is_none());
            let cut = n / 8 * 4;
            for (start, end) in [(0, cut), (cut, n)] {
                let piece = packed.piece(start..end).unwrap();
                for row in start..end {
                    prop_assert_eq!(piece.unpack_row(row - start), packed.unpack_row(row));
                    prop_assert_eq!(piece.codes(row - start), packed.codes(row));
                }
            }
            prop_assert!(packed.piece(1..n).is_err() && packed.piece(0..n + 1).is_err());
        }
    }

    #[test]
    fn padding_rows_are_zero() {
        for format in WeightFormat::ALL {
            let packed = pack(
                &stored(5, 8, &[1.0; 40], DType::F32, Orientation::RowsFirst),
                format,
                Fit::Search,
                &|_| (),
            );
            let packed = packed.unwrap();
            let words = packed.weight().as_chunks::<4>().0;
            let block = words.len() / 2;
            assert!(words[block..].iter().enumerate().all(|(i, w)| i % 4 == 0 || *w == [0; 4]), "{format}");
        }
    }

    #[test]
    fn the_first_bad_row_is_named() {
        let mut weights = vec![0.5; 300 * 8];
        weights[130 * 8 + 3] = f32::NAN;
        weights[290 * 8] = 1e30;
        let m0e4 = "m0e4-g32".parse().unwrap();
        let source = stored(300, 8, &weights, DType::F32, Orientation::RowsFirst);
        let error = pack(&source, m0e4, Fit::Search, &|_| ()).unwrap_err();
        assert!(matches!(error, HostError::NotFinite { row: 130, column: 3, .. }), "{error}");
        let error = pack(&source, WeightFormat::F16, Fit::Search, &|_| ()).unwrap_err();
        assert!(matches!(error, HostError::ScaleRange { row: 290, .. }), "{error}");
        let error =
            pack(&stored(2, 12, &[0.0; 24], DType::F16, Orientation::RowsFirst), m0e4, Fit::Search, &|_| ());
        assert!(matches!(error, Err(HostError::RowLength { k: 12, multiple: 8, .. })));
    }

    #[test]
    fn empty_matrices() {
        for (n, k) in [(0, 8), (4, 0), (0, 0), (0, 1 << 50)] {
            for format in WeightFormat::ALL {
                let packed = pack(
                    &stored(n, k, &[], DType::F32, Orientation::RowsFirst),
                    format,
                    Fit::Search,
                    &|_| (),
                );
                assert_eq!(packed.unwrap().unpack_row(0), (n > 0).then(Vec::new), "{format} [{n}, {k}]");
            }
        }
    }
}
