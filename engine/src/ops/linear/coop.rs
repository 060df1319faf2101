//! Products with many rows by cooperative matrices: shapes of workgroups for `linear_coop`.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    host::WeightFormat,
    op::{Grid, Target},
};

/// Columns that the kernel brings to shared memory at a time, and bytes of a row there.
const STEP: usize = 32;
const ROW_BYTES: u32 = 80;

/// Most threads of a workgroup on every device that has cooperative matrices.
const THREADS: u32 = 256;

/// On an H100, products of 512 rows with the matrices of a Llama 2 7B take 0.89 to 0.92 of their time by one stage of the first
/// shape instead of two.
///
/// Subgroups of a workgroup along rows of `x` and of the matrix, and matrices of each likewise. More matrices mean fewer
/// reads of shared memory for each product, and more registers.
const SHAPES: [([u32; 2], [u32; 2]); 6] = [
    ([2, 4], [4, 2]),
    ([2, 2], [4, 4]),
    ([2, 2], [4, 2]),
    ([2, 2], [2, 4]),
    ([2, 4], [4, 4]),
    ([2, 2], [2, 2]),
];

/// A way to multiply many rows by cooperative matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coop {
    matrices: devices::Coop,
    warps: [u32; 2],
    frags: [u32; 2],
    /// Steps that shared memory holds: with 2, one is written while the other one is multiplied.
    stages: u32,
}

impl fmt::Display for Coop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([m, n], [along_m, along_n]) = (self.tile(), self.warps);
        write!(f, "coop {m}x{n} {along_m}x{along_n} stages {}", self.stages)
    }
}

impl Coop {
    /// Those that a device can run, for a matrix in a format with rows of `k`.
    pub fn candidates(target: &Target, format: WeightFormat, k: usize) -> Vec<Self> {
        let Some(matrices) = target.coop.filter(|_| format != WeightFormat::F32 && k.is_multiple_of(STEP))
        else {
            return Vec::new();
        };
        let fits = |c: &Self| c.threads() <= THREADS && c.memory() <= target.max_shared;
        let shape = |(warps, frags)| [1, 2].map(|stages| Self { matrices, warps, frags, stages });
        SHAPES.into_iter().flat_map(shape).filter(fits).collect()
    }

    /// Rows of `x` and of the matrix that a workgroup multiplies.
    fn tile(&self) -> [u32; 2] {
        [0, 1].map(|i| self.warps[i] * self.frags[i] * self.matrices.size)
    }

    fn threads(&self) -> u32 {
        self.warps[0] * self.warps[1] * self.matrices.lanes
    }

    /// Bytes of memory that a workgroup shares: steps, and a matrix of sums for each subgroup.
    fn memory(&self) -> u32 {
        let [m, n] = self.tile();
        (m + n) * ROW_BYTES * self.stages + self.warps[0] * self.warps[1] * self.matrices.size.pow(2) * 4
    }

    /// The kernel for `count` rows of a matrix and `m` of `x`, and its workgroups.
    pub fn of(&self, count: usize, m: &Expr) -> (KernelSpec, Grid) {
        let spec = KernelSpec::new("linear_coop")
            .with("SIZE", self.matrices.size.to_string())
            .with("FRAGS_M", self.frags[0].to_string())
            .with("FRAGS_N", self.frags[1].to_string())
            .set("WARPS_M", self.warps[0])
            .set("WARPS_N", self.warps[1])
            .set("LANES", self.matrices.lanes)
            .set("STAGES", self.stages);
        let [rows, columns] = self.tile();
        let columns = Expr::from(count.div_ceil(columns as usize));
        (spec, Grid::Xyz([columns, m.ceil_div(i64::from(rows)), Expr::ONE]))
    }
}
