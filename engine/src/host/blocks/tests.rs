//! Codes of random matrices in the layouts of MatMulNBits.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{BlockGrid, BlockMatrix, CodeBits, Codes, ZeroPoints};
use crate::{
    dtype::DType,
    host::{Fit, GroupSize, HostError, HostTensor, RowSource, WeightFormat, pack},
};

#[derive(Debug)]
struct Stored {
    grid: BlockGrid,
    codes: Vec<u8>,
    scales: Vec<f32>,
    points: Vec<f32>,
    matrix: BlockMatrix,
}

fn packed(bits: CodeBits, codes: &[u8]) -> Bytes {
    match bits {
        CodeBits::Eight => codes.to_vec().into(),
        CodeBits::Four => codes.chunks(2).map(|c| c[0] | c.get(1).map_or(0, |b| b << 4)).collect(),
    }
}

/// Random matrices with each kind of zero point, as MatMulNBits stores them.
fn matrices() -> impl Strategy<Value = Stored> {
    let bits = prop_oneof![Just(CodeBits::Four), Just(CodeBits::Eight)];
    (1usize..9, 1usize..20, bits, 4u32..9, 0usize..3, any::<bool>(), any::<u64>()).prop_map(
        |(n, eights, bits, log, kind, half, seed)| {
            let grid = BlockGrid { n, k: 8 * eights, bits, block: 1 << log };
            let mut state = seed | 1;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let levels = 1 << bits.count();
            let per_row = grid.blocks() * grid.block;
            let codes: Vec<u8> = (0..n * per_row).map(|_| next(levels) as u8).collect();
            let count = n * grid.blocks();
            let scales: Vec<f32> = (0..count).map(|_| (1 + next(2000)) as f32 / 16384.0).collect();
            let point_codes: Vec<u8> =
                (0..n * grid.blocks().next_multiple_of(2)).map(|_| next(levels) as u8).collect();
            let (zero_points, points) = match kind {
                0 => (ZeroPoints::Always(bits.middle()), vec![f32::from(bits.middle()); count]),
                1 => {
                    let per_row = grid.blocks().next_multiple_of(2);
                    let bytes = packed(bits, &point_codes);
                    let rows = point_codes.chunks(per_row).flat_map(|r| &r[..grid.blocks()]);
                    let points = rows.map(|p| f32::from(*p)).collect();
                    (ZeroPoints::Codes(Codes { bytes, per_row, signed: false }), points)
                }
                _ => {
                    let points: Vec<f32> = (0..count).map(|_| next(4 * levels) as f32 / 4.0).collect();
                    let tensor = HostTensor::from_f32(vec![count], &points).unwrap();
                    (ZeroPoints::Numbers(tensor), points)
                }
            };
            let tensor = HostTensor::from_f32(vec![n, grid.blocks()], &scales).unwrap();
            let tensor = if half { tensor.cast(DType::F16) } else { tensor };
            let scales = tensor.to_f32s();
            let own = Codes { bytes: packed(bits, &codes), per_row, signed: false };
            let matrix = BlockMatrix::new(grid, own, &tensor, zero_points).unwrap();
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
            let group = at / k * stored.grid.blocks() + at % k / block;
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
                let group = row * stored.grid.blocks() + column / block;
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
    let format = |bits, block, k| BlockGrid { n: 1, k, bits, block }.format();
    let m0e4 = |group| Some(WeightFormat::M0e4 { group });
    assert_eq!(format(CodeBits::Four, 32, 96), m0e4(GroupSize::G32));
    assert_eq!(format(CodeBits::Four, 64, 96), m0e4(GroupSize::G64));
    assert_eq!(format(CodeBits::Four, 256, 512), m0e4(GroupSize::G128));
    assert_eq!(format(CodeBits::Four, 16, 96), None);
    assert_eq!(format(CodeBits::Four, 32, 36), None);
    assert_eq!(format(CodeBits::Eight, 128, 36), Some(WeightFormat::Affine8 { group: GroupSize::G128 }));
}

#[test]
fn signed_codes_count_from_the_least() {
    let grid = BlockGrid { n: 1, k: 4, bits: CodeBits::Four, block: 16 };
    let codes = Codes { bytes: Bytes::from_static(&[0x98, 0x70]), per_row: 4, signed: true };
    let scales = HostTensor::from_f32(vec![1], &[0.5]).unwrap();
    let matrix = BlockMatrix::new(grid, codes, &scales, ZeroPoints::Always(8)).unwrap();
    let mut row = [0.0; 4];
    matrix.read(0, &mut row).unwrap();
    assert_eq!(row, [-4.0, -3.5, 0.0, 3.5]);
}

#[test]
fn parts_of_other_sizes_are_refused() {
    let grid = BlockGrid { n: 2, k: 32, bits: CodeBits::Four, block: 16 };
    let codes = |len| Codes { bytes: vec![0; len].into(), per_row: 32, signed: false };
    let scales = |len| HostTensor::from_f32(vec![len], &vec![1.0; len]).unwrap();
    let make =
        |bytes, scale_count, points| BlockMatrix::new(grid, codes(bytes), &scales(scale_count), points);
    assert!(make(32, 4, ZeroPoints::Always(8)).is_ok());
    assert!(matches!(make(31, 4, ZeroPoints::Always(8)), Err(HostError::Blocks { what: "codes", .. })));
    assert!(matches!(make(32, 2, ZeroPoints::Always(8)), Err(HostError::Blocks { what: "scales", .. })));
    let few = ZeroPoints::Codes(Codes { bytes: vec![0; 1].into(), per_row: 2, signed: false });
    assert!(matches!(make(32, 4, few), Err(HostError::Blocks { what: "zero points", .. })));
    assert!(BlockMatrix::absent(grid).read(0, &mut [0.0; 32]).is_err());
    assert!(BlockMatrix::absent(grid).codes(WeightFormat::M0e4 { group: GroupSize::G32 }).is_none());
}
