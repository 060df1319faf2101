//! Stored blocks to f32, with ggml's own order of operations, so that every bit agrees with it.

use crate::Kind;
use crate::affine::{affine_block, half_at, zero_code};

/// Decodes one block. `stored` and `out` have the sizes of [`Kind::block`].
pub(crate) fn decode_block(kind: Kind, stored: &[u8], out: &mut [f32]) {
    match kind {
        Kind::F32 => {
            if let (Some(&four), Some(out)) = (stored.first_chunk(), out.first_mut()) {
                *out = f32::from_le_bytes(four);
            }
        }
        Kind::F16 => out.fill(half_at(stored, 0)),
        Kind::BF16 => {
            if let (Some(&two), Some(out)) = (stored.first_chunk(), out.first_mut()) {
                *out = f32::from_bits(u32::from(u16::from_le_bytes(two)) << 16);
            }
        }
        Kind::Q4_0 | Kind::Q4_1 | Kind::Q5_0 | Kind::Q5_1 | Kind::Q8_0 => decode_affine(kind, stored, out),
        Kind::Q4_K => decode_q4_k(stored, out),
        Kind::Q6_K => decode_q6_k(stored, out),
        Kind::Other(_) => {}
    }
}

/// `scale * (code - zero)` or `scale * code + min`. The first is not written as the second: a code of
/// zero with a negative scale is -0.0.
fn decode_affine(kind: Kind, stored: &[u8], out: &mut [f32]) {
    let block = affine_block(kind, stored);
    for (out, &code) in out.iter_mut().zip(&block.codes) {
        *out = match zero_code(kind) {
            Some(zero) => block.scale * (f32::from(code) - f32::from(zero)),
            None => block.scale * f32::from(code) + block.min,
        };
    }
}

/// `[d f16][dmin f16][12 bytes: eight 6-bit scales and minima][128 bytes of nibbles]`; each 64 numbers
/// share 32 bytes, low nibbles first.
fn decode_q4_k(stored: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half_at(stored, 0), half_at(stored, 2));
    let Some((packed, codes)) = stored.get(4..).and_then(|rest| rest.split_first_chunk::<12>()) else {
        return;
    };
    for (j, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = q4_k_scale(packed, j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (out, &byte) in out.iter_mut().zip(codes.iter().skip(j / 2 * 32)) {
            let code = if j % 2 == 0 { byte & 15 } else { byte >> 4 };
            *out = scale * f32::from(code) - min;
        }
    }
}

/// The 6-bit scale and minimum of 32 numbers: `j` in 0..8.
fn q4_k_scale(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    }
}

/// `[128 bytes: low four bits][64 bytes: high two bits][16 scales i8][d f16]`; each half of 128 numbers
/// has 64 low bytes, 32 high bytes and 8 scales.
fn decode_q6_k(stored: &[u8], out: &mut [f32]) {
    let Some((low, rest)) = stored.split_first_chunk::<128>() else { return };
    let Some((high, rest)) = rest.split_first_chunk::<64>() else { return };
    let Some((scales, rest)) = rest.split_first_chunk::<16>() else { return };
    let d = half_at(rest, 0);
    for (i, out) in out.iter_mut().take(256).enumerate() {
        let (half, quarter, lane) = (i / 128, i / 32 % 4, i % 32);
        let low = low[half * 64 + quarter % 2 * 32 + lane] >> (quarter / 2 * 4) & 15;
        let high = high[half * 32 + lane] >> (quarter * 2) & 3;
        let code = f32::from(low | high << 4) - 32.0;
        *out = d * f32::from(scales[i / 16] as i8) * code;
    }
}
