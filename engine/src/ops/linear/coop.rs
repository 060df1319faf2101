//! Products with many rows by cooperative matrices: shapes of workgroups for `linear_coop`.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    host::WeightFormat,
    op::{Grid, Target},
};

/// Most threads of a workgroup on every device that has cooperative matrices.
const THREADS: u32 = 256;

/// Most vec4s of `x`, and most chunks of the matrix, that a thread brings to shared memory in a step.
const LOADS: [u32; 2] = [16, 2];

/// A shape of workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Subgroups of a workgroup along rows of `x` and of the matrix.
    warps: [u32; 2],
    /// Matrices of each likewise. More of them mean fewer reads of shared memory for each product, and more registers.
    frags: [u32; 2],
    /// Columns that the kernel brings to shared memory at a time. More of them mean fewer barriers, and more registers.
    step: u32,
    /// Steps that shared memory holds: with 2, one is written while the other one is multiplied.
    stages: u32,
    /// Whether the matrix is written there by 16 bytes at a time.
    words: bool,
}

const fn shape(warps: [u32; 2], frags: [u32; 2], step: u32, stages: u32) -> Shape {
    Shape { warps, frags, step, stages, words: true }
}

/// The first one is what a device takes that was not tuned. An H100 lets 48 KiB be shared.
const SHAPES: [Shape; 12] = [
    Shape { words: false, ..shape([2, 4], [4, 2], 32, 2) },
    shape([2, 4], [4, 2], 64, 1),
    shape([2, 4], [4, 2], 32, 2),
    shape([2, 2], [4, 4], 32, 2),
    shape([2, 2], [4, 4], 32, 1),
    shape([2, 2], [4, 4], 64, 1),
    shape([2, 2], [2, 2], 64, 2),
    shape([2, 2], [2, 4], 64, 1),
    shape([2, 2], [4, 2], 64, 1),
    shape([2, 4], [4, 4], 32, 1),
    shape([4, 2], [4, 4], 32, 1),
    shape([2, 4], [2, 4], 32, 1),
];

/// A way to multiply many rows by cooperative matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coop {
    matrices: devices::Coop,
    shape: Shape,
}

impl fmt::Display for Coop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([m, n], Shape { warps: [along_m, along_n], step, stages, words, .. }) =
            (self.tile(), self.shape);
        write!(f, "coop {m}x{n} {along_m}x{along_n} stages {stages}")?;
        if words { write!(f, " words by {step}") } else { Ok(()) }
    }
}

impl Coop {
    /// Those that a device can run, for a matrix in a format with rows of `k`.
    pub fn candidates(target: &Target, format: WeightFormat, k: usize) -> Vec<Self> {
        let Some(matrices) = target.coop.filter(|_| format != WeightFormat::F32) else {
            return Vec::new();
        };
        let all = SHAPES.map(|shape| Self { matrices, shape });
        all.into_iter().filter(|c| c.takes(k) && c.memory() <= target.max_shared).collect()
    }

    /// Rows of `x` and of the matrix that a workgroup multiplies.
    fn tile(&self) -> [u32; 2] {
        [0, 1].map(|i| self.shape.warps[i] * self.shape.frags[i] * self.matrices.size)
    }

    fn threads(&self) -> u32 {
        self.shape.warps[0] * self.shape.warps[1] * self.matrices.lanes
    }

    /// Whether the kernel can bring rows of `k` to shared memory.
    fn takes(&self, k: usize) -> bool {
        let ([m, n], step, threads) = (self.tile(), self.shape.step, self.threads());
        let (x, w) = (m * step / 4, n * step / 32);
        let whole =
            k.is_multiple_of(step as usize) && threads.is_multiple_of(step / 4) && x.is_multiple_of(threads);
        whole && threads <= THREADS && x / threads <= LOADS[0] && w.div_ceil(threads) <= LOADS[1]
    }

    /// Bytes of memory that a workgroup shares: steps, whose rows are 16 bytes longer than need be, and a matrix of sums for
    /// each subgroup.
    fn memory(&self) -> u32 {
        let ([m, n], Shape { warps, step, stages, .. }) = (self.tile(), self.shape);
        (m + n) * (step * 2 + 16) * stages + warps[0] * warps[1] * self.matrices.size.pow(2) * 4
    }

    /// The kernel for `count` rows of a matrix and `m` of `x`, and its workgroups.
    pub fn of(&self, count: usize, m: &Expr) -> (KernelSpec, Grid) {
        let Shape { warps, frags, step, stages, words } = self.shape;
        let spec = KernelSpec::new("linear_coop")
            .with("SIZE", self.matrices.size.to_string())
            .with("FRAGS_M", frags[0].to_string())
            .with("FRAGS_N", frags[1].to_string())
            .flag("WORDS", words)
            .set("WARPS_M", warps[0])
            .set("WARPS_N", warps[1])
            .set("LANES", self.matrices.lanes)
            .set("STAGES", stages)
            .set("STEP", step);
        let [rows, columns] = self.tile();
        let columns = Expr::from(count.div_ceil(columns as usize));
        (spec, Grid::Xyz([columns, m.ceil_div(i64::from(rows)), Expr::ONE]))
    }
}
