//! The ways to multiply with a packed matrix: which kernel, in which form, how many threads.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use super::coop::Coop;
use crate::op::{Grid, Target};

/// Matrices of fewer rows are shared out in small workgroups where each thread has rows of its own, so that no core idles.
const MANY_ROWS: usize = 2048;

/// Threads that share a block of rows where sums go through shared memory.
const LANES: u32 = 16;

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
    /// The kernel for `count` rows of a matrix and `m` of `x`, and its workgroups.
    pub fn of(&self, count: usize, m: &Expr) -> (KernelSpec, Grid) {
        match self {
            Self::Gemv(gemv, rows) => gemv.of(count, *rows),
            Self::Gemm(gemm) => gemm.of(count, m),
            Self::Coop(coop) => coop.of(count, m),
        }
    }
}

/// How threads come to the sums of a block of 4 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Some share the block and add up through shared memory.
    Shared,
    /// A workgroup shares it and adds up over subgroups.
    Subgroup,
    /// Each has one to itself.
    None,
    /// Likewise, and subgroups share what they read of `x`.
    Broadcast,
}

/// A way to multiply few rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemv {
    reduce: Reduce,
    threads: u32,
}

impl fmt::Display for Gemv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.threads)
    }
}

impl Gemv {
    /// Those that a device can run, what its profile prefers first, for a matrix of `n` rows.
    pub fn candidates(target: &Target, n: usize) -> Vec<Self> {
        let all = target.decode.threads;
        let (reduce, threads) = match (target.row_per_lane(), target.subgroups) {
            (true, subgroups) => {
                let reduce = if subgroups { Reduce::Broadcast } else { Reduce::None };
                (reduce, if n < MANY_ROWS { all / 4 } else { all })
            }
            (false, true) => (Reduce::Subgroup, all),
            (false, false) => (Reduce::Shared, all),
        };
        vec![Self { reduce, threads }]
    }

    fn word(self) -> &'static str {
        match self.reduce {
            Reduce::Shared => "shared",
            Reduce::Subgroup => "subgroup",
            Reduce::None => "none",
            Reduce::Broadcast => "broadcast",
        }
    }

    fn of(self, count: usize, rows: u32) -> (KernelSpec, Grid) {
        let blocks = match self.reduce {
            Reduce::Shared => self.threads / LANES,
            Reduce::Subgroup => 1,
            Reduce::None | Reduce::Broadcast => self.threads,
        };
        let groups = count.div_ceil(4).div_ceil(blocks as usize);
        let spec = KernelSpec::new("linear_gemv").with("ROWS", rows.to_string()).with("REDUCE", self.word());
        let spec = if self.reduce == Reduce::Shared { spec.set("LANES", LANES) } else { spec };
        (spec.set("WG_X", self.threads), Grid::Linear(Expr::from(groups)))
    }
}

/// A way to multiply many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of `x` that a thread computes.
    tokens: u32,
    /// Rows of the matrix that it does.
    outputs: u32,
    /// Whether subgroups share what they read of `x`; else it goes through shared memory.
    broadcast: bool,
    /// Threads along rows of the matrix and along rows of `x`.
    workgroup: [u32; 2],
}

impl fmt::Display for Gemm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = if self.broadcast { "broadcast" } else { "shared" };
        let [along_n, along_m] = self.workgroup;
        write!(f, "{x} {}x{} {along_n}x{along_m}", self.tokens, self.outputs)
    }
}

impl Gemm {
    /// Those that a device can run, what its profile prefers first.
    pub fn candidates(target: &Target) -> Vec<Self> {
        let devices::Prefill { tokens, outputs, workgroup: [along_n, along_m] } = target.prefill;
        let broadcast = target.row_per_lane() && target.subgroups;
        let workgroup = [along_n, if broadcast { 1 } else { along_m }];
        vec![Self { tokens, outputs, broadcast, workgroup }]
    }

    fn of(self, count: usize, m: &Expr) -> (KernelSpec, Grid) {
        let [along_n, along_m] = self.workgroup;
        let spec = KernelSpec::new("linear_gemm")
            .with("TILE_M", self.tokens.to_string())
            .with("TILE_N", self.outputs.to_string())
            .with("X", if self.broadcast { "broadcast" } else { "shared" })
            .set("WG_X", along_n);
        let spec = if self.broadcast { spec } else { spec.set("WG_Y", along_m) };
        let columns = (along_n * self.outputs) as usize;
        let rows = m.ceil_div(i64::from(along_m * self.tokens));
        (spec, Grid::Xyz([Expr::from(count.div_ceil(columns)), rows, Expr::ONE]))
    }
}
