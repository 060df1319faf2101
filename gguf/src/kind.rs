//! The storage formats of tensors, numbered as ggml numbers them.

use std::fmt;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "ggml's own names")]
#[allow(missing_docs, reason = "ggml's own names; Kind::block gives their sizes")]
pub enum Kind {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q6_K,
    /// Any other of ggml's type numbers: listed, never decoded.
    Other(u32),
}

/// A format's unit of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Numbers in a block.
    pub elements: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

impl Kind {
    /// The format with ggml's type number `number`.
    #[must_use]
    pub fn from_ggml(number: u32) -> Self {
        match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            other => Self::Other(other),
        }
    }

    /// The block of this format; `None` for [`Kind::Other`].
    #[must_use]
    pub fn block(self) -> Option<Block> {
        let (elements, bytes) = match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q6_K => (256, 210),
            Self::Other(_) => return None,
        };
        Some(Block { elements, bytes })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "ggml type {number}"),
            known => write!(f, "{known:?}"),
        }
    }
}
