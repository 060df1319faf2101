//! Codes of random matrices in the layouts of MatMulNBits.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{BlockGrid, BlockMatrix, Numbers};
use crate::{
    dtype::DType,
    host::{Fit, GroupSize, HostError, HostTensor, Orientation, RowSource, WeightFormat, pack},
};

#[derive(Debug)]
struct Stored {
    grid: BlockGrid,
    codes: Vec<u8>,
    scales: Vec<f32>,
    points: Vec<f32>,
    matrix: BlockMatrix,
}

fn packed(dtype: DType, codes: &[u8]) -> Bytes {
    match dtype {
        DType::U4 => codes.chunks(2).map(|c| c[0] | c.get(1).map_or(0, |b| b << 4)).collect(),
        _ => codes.to_vec().into(),
    }
}

/// Random matrices with each kind of zero point, as MatMulNBits stores them.
fn matrices() -> impl Strategy<Value = Stored> {
    let dtype = prop_oneof![Just(DType::U4), Just(DType::U8)];
    (1usize..9, 1usize..20, dtype, 4u32..9, 0usize..3, any::<bool>(), any::<u64>()).prop_map(
        |(n, eights, dtype, log, kind, half, seed)| {
            let grid = BlockGrid { n, k: 8 * eights, codes: dtype, block: [1, 1 << log] };
            let blocks = grid.blocks()[1];
            let mut state = seed | 1;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let levels = 1 << dtype.bits();
            let per_row = blocks * grid.block[1];
            let codes: Vec<u8> = (0..n * per_row).map(|_| next(levels) as u8).collect();
            let count = n * blocks;
            let scales: Vec<f32> = (0..count).map(|_| (1 + next(2000)) as f32 / 16384.0).collect();
            let point_codes: Vec<u8> =
                (0..n * blocks.next_multiple_of(2)).map(|_| next(levels) as u8).collect();
            let (zero_points, points) = match kind {
                0 => (Numbers::always(1 << (dtype.bits() - 1)), vec![levels as f32 / 2.0; count]),
                1 => {
                    let per_row = blocks.next_multiple_of(2);
                    let bytes = packed(dtype, &point_codes);
                    let rows = point_codes.chunks(per_row).flat_map(|r| &r[..blocks]);
                    let points = rows.map(|p| f32::from(*p)).collect();
                    (Numbers { bytes, dtype, steps: [per_row, 1] }, points)
                }
                _ => {
                    let points: Vec<f32> = (0..count).map(|_| next(4 * levels) as f32 / 4.0).collect();
                    let tensor = HostTensor::from_f32(vec![count], &points).unwrap();
                    (Numbers::of(&tensor, [blocks, 1]), points)
                }
            };
            let tensor = HostTensor::from_f32(vec![n, blocks], &scales).unwrap();
            let tensor = if half { tensor.cast(DType::F16) } else { tensor };
            let scales = tensor.to_f32s();
            let own = Numbers { bytes: packed(dtype, &codes), dtype, steps: [per_row, 1] };
            let matrix = BlockMatrix::new(grid, own, Numbers::of(&tensor, [blocks, 1]), zero_points).unwrap();
            let codes = codes.chunks(per_row).flat_map(|row| row[..grid.k].to_vec()).collect();
            Stored { grid, codes, scales, points, matrix }
        },
    )
}

proptest! {
    #[test]
    fn rows_are_decoded(stored in matrices()) {
        let BlockGrid { n, k, block, .. } = stored.grid;
        let mut all = vec![0.0; n * k];
        stored.matrix.read(0, &mut all).unwrap();
        for (at, (weight, code)) in all.iter().zip(&stored.codes).enumerate() {
            let group = at / k * stored.grid.blocks()[1] + at % k / block[1];
            prop_assert_eq!(*weight, (f32::from(*code) - stored.points[group]) * stored.scales[group]);
        }
        let mut last = vec![0.0; k];
        stored.matrix.read(n - 1, &mut last).unwrap();
        prop_assert_eq!(&last[..], &all[(n - 1) * k..]);
    }

    #[test]
    fn codes_are_kept(stored in matrices()) {
        let BlockGrid { n, k, block, .. } = stored.grid;
        let Some(format) = stored.grid.format() else { return Ok(()) };
        let packed = pack(&stored.matrix, format, Fit::Search, &|_| ()).unwrap();
        let mut all = vec![0.0; n * k];
        stored.matrix.read(0, &mut all).unwrap();
        for row in 0..n {
            prop_assert_eq!(packed.codes(row).unwrap(), &stored.codes[row * k..][..k]);
            for (column, weight) in packed.unpack_row(row).unwrap().into_iter().enumerate() {
                let group = row * stored.grid.blocks()[1] + column / block[1];
                let (want, step) = (all[row * k + column], stored.scales[group]);
                // Half precision of a bias of up to 256 steps is 1/8 of a step; of 32 steps, 1/64.
                let bound = if matches!(format, WeightFormat::M0e4 { .. }) { 0.06 } else { 0.3 };
                prop_assert!((weight - want).abs() <= bound * step, "{} {} step {}", weight, want, step);
            }
        }
    }
}

#[test]
fn blocks_name_the_format_that_holds_their_codes() {
    let format = |codes, block, k| BlockGrid { n: 4, k, codes, block }.format();
    let m0e4 = |group| Some(WeightFormat::M0e4 { group });
    let affine8 = |group| Some(WeightFormat::Affine8 { group });
    assert_eq!(format(DType::U4, [1, 32], 96), m0e4(GroupSize::G32));
    assert_eq!(format(DType::I4, [1, 64], 96), m0e4(GroupSize::G64));
    assert_eq!(format(DType::U4, [1, 256], 512), m0e4(GroupSize::G128));
    assert_eq!(format(DType::U4, [1, 16], 96), None);
    assert_eq!(format(DType::U4, [1, 32], 36), None);
    assert_eq!(format(DType::U8, [1, 128], 36), affine8(GroupSize::G64));
    // A scale for each row, for all, for each column.
    assert_eq!(format(DType::I8, [1, 72], 72), affine8(GroupSize::G128));
    assert_eq!(format(DType::I2, [4, 72], 72), m0e4(GroupSize::G128));
    assert_eq!(format(DType::I8, [4, 1], 72), None);
    assert_eq!(format(DType::F4E2M1, [1, 32], 96), None);
}

#[test]
fn signed_codes_count_from_the_least() {
    let grid = BlockGrid { n: 1, k: 8, codes: DType::I4, block: [1, 16] };
    let codes = Numbers { bytes: Bytes::from_static(&[0x98, 0x70, 0, 0]), dtype: DType::I4, steps: [8, 1] };
    let scales = HostTensor::from_f32(vec![1], &[0.5]).unwrap();
    let matrix = BlockMatrix::new(grid, codes, Numbers::of(&scales, [1, 1]), Numbers::always(0)).unwrap();
    let mut row = [0.0; 8];
    matrix.read(0, &mut row).unwrap();
    assert_eq!(row, [-4.0, -3.5, 0.0, 3.5, 0.0, 0.0, 0.0, 0.0]);
    let packed = pack(&matrix, grid.format().unwrap(), Fit::Search, &|_| ()).unwrap();
    assert_eq!(packed.codes(0).unwrap(), [0, 1, 8, 15, 8, 8, 8, 8]);
    assert_eq!(packed.unpack_row(0).unwrap(), row);
}

/// Blocks of 2 rows by 3 columns of a matrix [3, 8] stored as its transpose, the last ones short.
#[test]
fn the_transpose_is_over_the_same_bytes() {
    let tensor = |shape: [usize; 2], first: i64, dtype| {
        let numbers: Vec<i64> = (first..).take(shape[0] * shape[1]).collect();
        HostTensor::from_i64(shape.to_vec(), &numbers).unwrap().cast(dtype)
    };
    let grid = BlockGrid { n: 8, k: 3, codes: DType::I8, block: [3, 2] };
    let (codes, scales) = (tensor([8, 3], -9, DType::I8), tensor([3, 2], 1, DType::F16));
    let points = tensor([3, 2], -2, DType::I8);
    let parts = [(&codes, 3), (&scales, 2), (&points, 2)].map(|(t, step)| Numbers::of(t, [step, 1]));
    let [codes, scales, points] = parts;
    let stored = BlockMatrix::new(grid, codes, scales, points).unwrap();
    let matrix = stored.oriented(Orientation::ColumnsFirst);
    assert_eq!(matrix.grid(), &BlockGrid { n: 3, k: 8, codes: DType::I8, block: [2, 3] });
    let (there, back) = (stored.decoded(DType::F32).unwrap(), matrix.decoded(DType::F32).unwrap());
    let (there, back) = (there.to_f32s(), back.to_f32s());
    for (row, column) in (0..3).flat_map(|row| (0..8).map(move |column| (row, column))) {
        let (code, block) = ((column * 3 + row) as f32 - 9.0, (column / 3 * 2 + row / 2) as f32);
        let want = (code - (block - 2.0)) * (block + 1.0);
        assert_eq!((there[column * 3 + row], back[row * 8 + column]), (want, want), "{row}, {column}");
    }
}

#[test]
fn parts_of_other_sizes_are_refused() {
    let grid = BlockGrid { n: 2, k: 32, codes: DType::U4, block: [1, 16] };
    let codes = |len| Numbers { bytes: vec![0; len].into(), dtype: DType::U4, steps: [32, 1] };
    let scales = |len| Numbers::of(&HostTensor::from_f32(vec![len], &vec![1.0; len]).unwrap(), [2, 1]);
    let make = |bytes, scale_count, points| BlockMatrix::new(grid, codes(bytes), scales(scale_count), points);
    assert!(make(32, 4, Numbers::always(8)).is_ok());
    assert!(matches!(make(31, 4, Numbers::always(8)), Err(HostError::Blocks { what: "codes", .. })));
    assert!(matches!(make(32, 2, Numbers::always(8)), Err(HostError::Blocks { what: "scales", .. })));
    let few = Numbers { bytes: vec![0; 1].into(), dtype: DType::U4, steps: [2, 1] };
    assert!(matches!(make(32, 4, few), Err(HostError::Blocks { what: "zero points", .. })));
    let bytes = Numbers { dtype: DType::U8, ..codes(64) };
    assert!(matches!(
        BlockMatrix::new(grid, bytes, scales(4), Numbers::always(8)),
        Err(HostError::Source(text)) if text == "codes are u8, not u4, with scales of f32"
    ));
    assert!(BlockMatrix::absent(grid).read(0, &mut [0.0; 32]).is_err());
    assert!(BlockMatrix::absent(grid).codes(WeightFormat::M0e4 { group: GroupSize::G32 }).is_none());
}
