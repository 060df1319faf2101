//! Decoded numbers against gguf-py 0.19, and affine blocks against decoded numbers.

use crate::build::File;
use gguf::{Gguf, Kind};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const NUMBERED: [(Kind, u32); 9] = [
    (Kind::F16, 1),
    (Kind::Q4_0, 2),
    (Kind::Q4_1, 3),
    (Kind::Q5_0, 6),
    (Kind::Q5_1, 7),
    (Kind::Q8_0, 8),
    (Kind::Q4_K, 12),
    (Kind::Q6_K, 14),
    (Kind::BF16, 30),
];

/// Where a block's halves stand: scale, then minimum.
fn halves(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::Q4_0 | Kind::Q5_0 | Kind::Q8_0 => &[0],
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4_K => &[0, 2],
        Kind::Q6_K => &[208],
        _ => &[],
    }
}

/// FNV-1a of the numbers' bits.
fn hash(numbers: &[f32]) -> u64 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// One row of a kind's stored bytes, decoded.
fn decoded(kind: Kind, stored: &[u8]) -> Vec<f32> {
    let block = kind.block().unwrap();
    let (_, number) = NUMBERED.iter().find(|(known, _)| *known == kind).unwrap();
    let columns = stored.len() / block.bytes * block.elements;
    let file = File::default().tensor("t", &[columns as u64], *number, stored).bytes();
    Gguf::parse(&file).unwrap().tensor("t").unwrap().to_f32().unwrap()
}

#[test]
fn every_bit_agrees_with_gguf_py() {
    // First and last number, and the hash of all, that gguf-py makes of bytes 37 i + 11 with the block's
    // halves replaced by 0xA250 and 0x3801.
    let cases = [
        (Kind::Q4_0, 0.036987305f32, -0.0, 0xe95475c9572bd99a),
        (Kind::Q4_1, 0.31555176, 0.35253906, 0x25cda7f1c0b7d63d),
        (Kind::Q5_0, -0.110961914, -0.012329102, 0x6bb1a76d4018755d),
        (Kind::Q5_1, 0.26623535, 0.43884277, 0x8b5825ea5591bb2d),
        (Kind::Q8_0, -1.0479736, 0.5917969, 0xe3054bfcd5758748),
        (Kind::Q4_K, -29.729126, -18.33081, 0x39fddc2abe242233),
        (Kind::Q6_K, 17.642944, 0.7397461, 0xb855b4f8a3b285e8),
        (Kind::F16, 0.12634277, -9.7334385e-05, 0xc1e03258ba8a4242),
        (Kind::BF16, 5.0567905e-10, -4.2317797e-35, 0x0061e32fc513c485),
    ];
    for (kind, first, last, all) in cases {
        let block = kind.block().unwrap();
        let blocks = if block.elements == 1 { 16 } else { 1 };
        let mut stored: Vec<u8> = (0..block.bytes * blocks).map(|i| (i * 37 + 11) as u8).collect();
        for (&at, half) in halves(kind).iter().zip([0xA250u16, 0x3801]) {
            stored[at..at + 2].copy_from_slice(&half.to_le_bytes());
        }
        let numbers = decoded(kind, &stored);
        assert_eq!(numbers[0].to_bits(), first.to_bits(), "{kind}");
        assert_eq!(numbers[numbers.len() - 1].to_bits(), f32::to_bits(last), "{kind}");
        assert_eq!(hash(&numbers), all, "{kind}");
    }
}

#[test]
fn bf16_keeps_every_pattern() {
    for bits in [0x7F81u16, 0xFFFF, 0x0001, 0x8000] {
        assert_eq!(decoded(Kind::BF16, &bits.to_le_bytes())[0].to_bits(), u32::from(bits) << 16);
    }
}

proptest! {
    #[test]
    fn affine_blocks_are_the_decoded_numbers(
        stored in proptest::collection::vec(any::<u8>(), 34),
        scale in -0x3000i32..0x3000, min in 0u16..0x7000,
    ) {
        let scale = scale.unsigned_abs() as u16 | if scale < 0 { 0x8000 } else { 0 };
        for kind in [Kind::Q4_0, Kind::Q4_1, Kind::Q5_0, Kind::Q5_1, Kind::Q8_0] {
            let mut stored = stored[..kind.block().unwrap().bytes].to_vec();
            for (&at, half) in halves(kind).iter().zip([scale, min]) {
                stored[at..at + 2].copy_from_slice(&half.to_le_bytes());
            }
            let numbers = decoded(kind, &stored);
            let number = NUMBERED.iter().find(|(known, _)| *known == kind).unwrap().1;
            let file = File::default().tensor("t", &[32], number, &stored).bytes();
            let file = Gguf::parse(&file).unwrap();
            let blocks: Vec<_> = file.tensor("t").unwrap().affine_row(0).unwrap().collect();
            prop_assert_eq!(blocks.len(), 1);
            let levels = match kind { Kind::Q4_0 | Kind::Q4_1 => 16, Kind::Q8_0 => 256, _ => 32 };
            for (code, number) in blocks[0].codes.iter().zip(numbers) {
                prop_assert!(u32::from(*code) < levels);
                prop_assert_eq!(blocks[0].scale * f32::from(*code) + blocks[0].min, number);
            }
        }
    }
}
