//! The ways to multiply with a packed matrix: which kernel, in which form, how many threads.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use super::coop::Coop;
use crate::op::{Grid, Target};

#[path = "gemm.rs"]
mod gemm;
#[path = "gemv.rs"]
mod gemv;

pub use gemm::Gemm;
pub use gemv::{Gemv, Normed};

/// What a kernel is to multiply, as far as it decides which kernels can.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows of the matrix.
    pub n: usize,
    /// Columns.
    pub k: usize,
    /// Whether it has codes with scales; some kernels take only those.
    pub scaled: bool,
    /// Whether the kernels may multiply in f16: codes are M0E4, and `x` is f16.
    pub half: bool,
    /// Whether they may round `x` to 8 bits.
    pub bytes: bool,
    /// Whether a product may normalise `x` itself.
    pub norm: bool,
}

/// What products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Math {
    /// Single precision.
    F32,
    /// Half precision, and sums of a few.
    F16,
    /// Integers of 8 bits, `x` being rounded to such.
    I8,
}

impl Math {
    /// The kernels' word.
    pub fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        }
    }
}

impl fmt::Display for Math {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::F32 { Ok(()) } else { write!(f, " {}", self.word()) }
    }
}

/// A kernel with everything chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variant {
    /// For so many rows of `x`: 1, 2 or 4.
    Gemv(Gemv, u32),
    /// For any number.
    Gemm(Gemm),
    /// For many, on matrix units.
    Coop(Coop),
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gemv(gemv, _) => gemv.fmt(f),
            Self::Gemm(gemm) => gemm.fmt(f),
            Self::Coop(coop) => coop.fmt(f),
        }
    }
}

impl Variant {
    /// The kernel for `count` rows of `k` columns of a matrix and `m` of `x`, and its workgroups.
    pub fn of(&self, count: usize, k: usize, m: &Expr) -> (KernelSpec, Grid) {
        match self {
            Self::Gemv(gemv, rows) => gemv.of(count, k, *rows),
            Self::Gemm(gemm) => gemm.of(count, m),
            Self::Coop(coop) => coop.of(count, m),
        }
    }

    /// Whether the kernel normalises `x`, where it is to be.
    pub fn normalises(&self) -> bool {
        matches!(self, Self::Gemv(gemv, _) if gemv.normed() != Normed::Before)
    }
}

/// Keeps the first of equals.
fn distinct<V: PartialEq>(all: Vec<V>) -> Vec<V> {
    all.into_iter().fold(Vec::new(), |mut kept, variant| {
        if !kept.contains(&variant) {
            kept.push(variant);
        }
        kept
    })
}

/// Whether a kernel of so many threads and bytes of workgroup memory can run.
fn runs(target: &Target, workgroup: [u32; 2], shared: u32) -> bool {
    target.allows_workgroup(workgroup) && shared <= target.max_shared
}
