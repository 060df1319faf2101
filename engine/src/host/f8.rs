//! Floats of 8 bits in words of four, as the kernels' `lib/f8.wgsl` has them: E4M3 of the OCP 8-bit Floating Point
//! Specification 1.0, without scales, and saturating.
//!
//! Two of a word are where f16 has them and the two others seven bits below, so that reading takes a mask, or two shifts; a code
//! of E4M3 read as an f16 is the number / 256, subnormals too. A device that flushes f16 subnormals reads numbers below 2^-6 as
//! 0. A word with a NaN in it is all ones, of which the first element is read as NaN.

use onnx_import::{Minifloat, Rounding};

const NAN: u32 = u32::MAX;

/// Where the sign and the seven other bits of each of a word's elements are.
const PLACES: [(u32, u32); 4] = [(15, 7), (31, 23), (14, 0), (30, 16)];

/// The number that one is held as.
#[must_use]
pub fn rounded(value: f32) -> f32 {
    Minifloat::E4M3FN.round(value.into(), Rounding::Nearest, true) as f32
}

fn word(four: [f32; 4]) -> u32 {
    if four.iter().any(|value| value.is_nan()) {
        return NAN;
    }
    four.into_iter().zip(PLACES).fold(0, |word, (value, (sign, rest))| {
        let code = u32::from(Minifloat::E4M3FN.encode(rounded(value).into()));
        word | (code >> 7) << sign | (code & 0x7f) << rest
    })
}

fn four(word: u32) -> [f32; 4] {
    let code = |(sign, rest): (u32, u32)| ((word >> sign & 1) << 7 | (word >> rest & 0x7f)) as u8;
    let mut four = PLACES.map(|place| Minifloat::E4M3FN.decode(code(place)));
    if word == NAN {
        four[0] = f32::NAN;
    }
    four
}

/// Words of numbers, the last one filled up with zeros.
#[must_use]
pub fn pack(values: &[f32]) -> Vec<u8> {
    let of = |chunk: &[f32]| std::array::from_fn(|at| chunk.get(at).copied().unwrap_or(0.0));
    values.chunks(4).flat_map(|chunk| word(of(chunk)).to_le_bytes()).collect()
}

/// The numbers of words.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().flat_map(|bytes| four(u32::from_le_bytes(*bytes))).collect()
}

#[cfg(test)]
mod tests {
    use half::f16;
    use onnx_import::Minifloat;

    use super::{four, pack, rounded, unpack, word};

    fn codes() -> impl Iterator<Item = f32> {
        (0..=255).map(|code| Minifloat::E4M3FN.decode(code))
    }

    #[test]
    fn every_number_is_held_in_every_place() {
        for value in codes().filter(|v| !v.is_nan()) {
            for place in 0..4 {
                let mut numbers = [1.5, -0.25, 448.0, -3.0];
                numbers[place] = value;
                let again = unpack(&pack(&numbers));
                assert!(again.iter().zip(numbers).all(|(a, b)| a.to_bits() == b.to_bits()), "{numbers:?}");
            }
        }
        assert!(unpack(&pack(&[0.0, 0.0, f32::NAN, 0.0]))[0].is_nan());
        assert!(four(word([0.0, f32::NAN, 0.0, 0.0]))[0].is_nan());
        assert_eq!(pack(&[1.0; 5]).len(), 8);
    }

    /// What the kernels do: masks and shifts make f16s of a word, numbers / 256.
    #[test]
    fn words_are_pairs_of_halves() {
        let read =
            |pair: u32| [pair as u16, (pair >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32() * 256.0);
        for value in codes().filter(|v| !v.is_nan()) {
            let numbers = [value, -value, value / -2.0, value].map(rounded);
            let word = word(numbers);
            let ([a, b], [c, d]) =
                (read(word & 0xbf80_bf80), read((word & 0x007f_007f) << 7 | (word & 0x4000_4000) << 1));
            assert_eq!([a, b, c, d], numbers, "{word:#x}");
        }
    }

    #[test]
    fn numbers_go_to_the_nearest_and_no_further_than_the_largest() {
        let mut all: Vec<f32> = codes().filter(|v| !v.is_nan()).collect();
        all.sort_by(f32::total_cmp);
        for pair in all.windows(2) {
            let half = f32::midpoint(pair[0], pair[1]);
            assert_eq!(rounded(half.next_down()), pair[0]);
            assert_eq!(rounded(half.next_up()), pair[1]);
            let even = pair.iter().find(|v| Minifloat::E4M3FN.encode(f64::from(**v)).is_multiple_of(2));
            assert_eq!(Some(&rounded(half)), even, "{half}");
        }
        for (value, held) in [(1e9, 448.0), (-460.0, -448.0), (f32::INFINITY, 448.0), (1e-9, 0.0)] {
            assert_eq!(rounded(value), held);
        }
    }
}
