//! The formats in which weights are stored for the kernels, and the sizes of their packed layouts.
//!
//! Layouts (`N` is padded to a multiple of 4 with rows of zeros; every index is in words of 32 bits, little endian):
//!
//! | format | `weight` | one word | `scales` |
//! |---|---|---|---|
//! | `m0e4-gG` | `[n/4][k/8][n%4]` | 8 codes: `k = 8j+2i` in bits `4i..`, `k = 8j+2i+1` in bits `16+4i..` | `[n/4][ceil(K/G)][n%4]` |
//! | `affine8-gG` | `[n/4][k/4][n%4]` | 4 codes along `k`, first in the low byte | same |
//! | `f16` | `[n/4][ceil(k/2)][n%4]` | 2 halves along `k`, first in the low half; an odd `K` ends with 0 | none |
//! | `f32` | `[n/4][k][n%4]` | one float | none |
//!
//! A word of `scales` is two halves: scale `S` low, bias `B` high.
//!
//! Where codes lie in a texture, a texel is the four words of four rows, `x` goes along `k` and `y` along `n/4`: the bytes are
//! the same, row by row, and neighbours in either direction are neighbours in the texture.

use std::{fmt, str::FromStr};

use super::HostError;

/// Weights along `k` that share one scale and bias. The last group of a row may be short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupSize {
    /// 32 weights.
    G32,
    /// 64 weights.
    G64,
    /// 128 weights.
    G128,
}

impl GroupSize {
    /// Every group size.
    pub const ALL: [Self; 3] = [Self::G32, Self::G64, Self::G128];

    /// Number of weights in a full group.
    #[must_use]
    pub const fn weights(self) -> usize {
        match self {
            Self::G32 => 32,
            Self::G64 => 64,
            Self::G128 => 128,
        }
    }

    /// Groups in a row of `k` weights.
    #[must_use]
    pub const fn count(self, k: usize) -> usize {
        k.div_ceil(self.weights())
    }
}

/// How a weight matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WeightFormat {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// 4-bit codes `q`, `w = S*(1 + q/16) + B`.
    M0e4 {
        /// Weights that share `S` and `B`.
        group: GroupSize,
    },
    /// 8-bit codes `q`, `w = S*q + B`.
    Affine8 {
        /// Weights that share `S` and `B`.
        group: GroupSize,
    },
}

impl WeightFormat {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::F32,
        Self::F16,
        Self::M0e4 { group: GroupSize::G32 },
        Self::M0e4 { group: GroupSize::G64 },
        Self::M0e4 { group: GroupSize::G128 },
        Self::Affine8 { group: GroupSize::G32 },
        Self::Affine8 { group: GroupSize::G64 },
        Self::Affine8 { group: GroupSize::G128 },
    ];

    /// Weights along `k` in one packed word; `k` must be a multiple of it, except for `f16`.
    #[must_use]
    pub const fn weights_per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 => 2,
            Self::Affine8 { .. } => 4,
            Self::M0e4 { .. } => 8,
        }
    }

    /// The group size of a quantised format.
    #[must_use]
    pub const fn group(self) -> Option<GroupSize> {
        match self {
            Self::F32 | Self::F16 => None,
            Self::M0e4 { group } | Self::Affine8 { group } => Some(group),
        }
    }

    /// Whether rows of `k` weights can be stored so.
    #[must_use]
    pub const fn accepts(self, k: usize) -> bool {
        match self {
            Self::F32 | Self::F16 => true,
            Self::M0e4 { .. } | Self::Affine8 { .. } => k.is_multiple_of(self.weights_per_word()),
        }
    }

    /// Bytes of the packed weights of four rows, which lie together; `None` on overflow.
    #[must_use]
    pub const fn weight_block_bytes(self, k: usize) -> Option<usize> {
        k.div_ceil(self.weights_per_word()).checked_mul(16)
    }

    /// Bytes of the scales of four rows, 0 where the format has none; `None` on overflow.
    #[must_use]
    pub const fn scales_block_bytes(self, k: usize) -> Option<usize> {
        match self.group() {
            Some(group) => group.count(k).checked_mul(16),
            None => Some(0),
        }
    }

    /// Vec4s of the packed weights of four rows, and how many fours there are: width and height of a texture of them.
    #[must_use]
    pub const fn texels(self, n: usize, k: usize) -> [usize; 2] {
        [k.div_ceil(self.weights_per_word()), n.div_ceil(4)]
    }

    /// Bytes of the packed weights of a matrix `[n, k]`; `None` on overflow.
    #[must_use]
    pub const fn weight_bytes(self, n: usize, k: usize) -> Option<usize> {
        match self.weight_block_bytes(k) {
            Some(block) => n.div_ceil(4).checked_mul(block),
            None => None,
        }
    }

    /// Bytes of the scales of a matrix `[n, k]`; `None` on overflow.
    #[must_use]
    pub const fn scales_bytes(self, n: usize, k: usize) -> Option<usize> {
        match self.scales_block_bytes(k) {
            Some(block) => n.div_ceil(4).checked_mul(block),
            None => None,
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::M0e4 { group } => write!(f, "m0e4-g{}", group.weights()),
            Self::Affine8 { group } => write!(f, "affine8-g{}", group.weights()),
        }
    }
}

impl FromStr for WeightFormat {
    type Err = HostError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::ALL
            .into_iter()
            .find(|format| format.to_string() == text)
            .ok_or_else(|| HostError::UnknownFormat { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupSize, WeightFormat};

    #[test]
    fn text_is_read_back() {
        for format in WeightFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        for text in ["", "m0e4", "m0e4-g16", "M0E4-G32", "f64", "affine8-g32 "] {
            let error = text.parse::<WeightFormat>().unwrap_err().to_string();
            assert!(error.contains("m0e4-g32"), "{error}");
        }
    }

    #[test]
    fn sizes() {
        let m0e4 = WeightFormat::M0e4 { group: GroupSize::G32 };
        assert_eq!(m0e4.weight_bytes(5, 40), Some(8 * 40 / 2));
        assert_eq!(m0e4.scales_bytes(5, 40), Some(8 * 2 * 4));
        assert_eq!(WeightFormat::F16.weight_bytes(4, 3), Some(4 * 4 * 2));
        assert_eq!(WeightFormat::F32.scales_bytes(4, 3), Some(0));
        assert_eq!(WeightFormat::F32.weight_bytes(usize::MAX, usize::MAX), None);
        assert!(m0e4.accepts(8) && !m0e4.accepts(12) && WeightFormat::F16.accepts(3));
    }
}
