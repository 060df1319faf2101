//! Blocks of 32 codes with one scale and one minimum: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 without loss.

use crate::Kind;
use half::f16;

/// 32 numbers on an evenly spaced grid: `w[i] = scale * codes[i] + min`.
///
/// For the signed formats the codes are shifted to start at 0 and `min` is the exact multiple of the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AffineBlock {
    /// Distance of neighbouring grid points; negative in some Q4_0 blocks.
    pub scale: f32,
    /// The number with code 0.
    pub min: f32,
    /// 0..=15 for the 4-bit formats, 0..=31 for the 5-bit ones, 0..=255 for Q8_0.
    pub codes: [u8; 32],
}

/// What a code is shifted by in the formats that have no minimum of their own.
pub(crate) fn zero_code(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Q4_0 => Some(8),
        Kind::Q5_0 => Some(16),
        Kind::Q8_0 => Some(128),
        _ => None,
    }
}

/// One stored block of a kind of 32 codes: `[scale f16][min f16 if the kind has one][fifth bits u32][codes]`.
pub(crate) fn affine_block(kind: Kind, stored: &[u8]) -> AffineBlock {
    let scale = half_at(stored, 0);
    let (min, rest) = match zero_code(kind) {
        Some(zero) => (-f32::from(zero) * scale, 2),
        None => (half_at(stored, 2), 4),
    };
    let rest = stored.get(rest..).unwrap_or_default();
    let codes = match kind {
        Kind::Q8_0 => signed_codes(rest),
        Kind::Q5_0 | Kind::Q5_1 => nibbles(rest.get(4..).unwrap_or_default(), u32_at(rest)),
        _ => nibbles(rest, 0),
    };
    AffineBlock { scale, min, codes }
}

pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    match bytes.get(at..) {
        Some([low, high, ..]) => f16::from_le_bytes([*low, *high]).to_f32(),
        _ => 0.0,
    }
}

fn u32_at(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |&four| u32::from_le_bytes(four))
}

/// Low nibbles are codes 0..16, high nibbles 16..32; bit `i` of `fifth` is added to code `i`.
fn nibbles(bytes: &[u8], fifth: u32) -> [u8; 32] {
    std::array::from_fn(|i| {
        let byte = bytes.get(i % 16).copied().unwrap_or_default();
        let low = if i < 16 { byte & 15 } else { byte >> 4 };
        low | ((fifth >> i & 1) as u8) << 4
    })
}

/// Two's complement to offset binary: -128 becomes 0.
fn signed_codes(bytes: &[u8]) -> [u8; 32] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or_default() ^ 0x80)
}
