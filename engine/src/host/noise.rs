//! Noise for weights that nobody has: what a packed matrix is filled with, so that a product of numbers of variance 1 has
//! about variance 1 itself.

use half::f16;

use super::WeightFormat;

/// The noise of one matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// What tells it from that of others.
    pub seed: u64,
    /// How far apart the least and the greatest weight of a format without codes are; the words of others are any bits.
    pub spread: f32,
    /// The word of all scales, scale and bias: codes then have the mean 0.
    pub scales: u32,
}

impl Noise {
    /// For a matrix of this name with `k` weights in a row.
    #[must_use]
    pub fn new(seed: u64, name: &str, format: WeightFormat, k: usize) -> Self {
        let deviation = (k.max(1) as f64).sqrt().recip();
        let (mean, own) = match format {
            WeightFormat::M0e4 { .. } => (1.0 + 7.5 / 16.0, deviation_of(16) / 16.0),
            WeightFormat::Affine8 { .. } => (127.5, deviation_of(256)),
            WeightFormat::F16 | WeightFormat::F32 => (0.0, 1.0),
        };
        let scale = f16::from_f64(deviation / own);
        let bias = f16::from_f64(-mean * scale.to_f64());
        let scales = u32::from(scale.to_bits()) | u32::from(bias.to_bits()) << 16;
        Self { seed: hash(seed, name), spread: (deviation * 12f64.sqrt()) as f32, scales }
    }

    /// Word `index` of a matrix of codes, counted as they lie.
    #[must_use]
    pub fn word(self, index: u32) -> u32 {
        mix(mix(index ^ self.seed as u32).wrapping_add((self.seed >> 32) as u32))
    }
}

/// The standard deviation of `0..n`, all alike.
fn deviation_of(n: u32) -> f64 {
    (f64::from(n * n - 1) / 12.0).sqrt()
}

/// PCG's output function behind one step of its generator, as in `noise.wgsl`.
fn mix(x: u32) -> u32 {
    let h = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mixed = ((h >> ((h >> 28) + 4)) ^ h).wrapping_mul(277_803_737);
    (mixed >> 22) ^ mixed
}

/// FNV-1a of a name, begun with a seed.
fn hash(seed: u64, name: &str) -> u64 {
    let begin = seed ^ 0xCBF2_9CE4_8422_2325;
    name.bytes().fold(begin, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
