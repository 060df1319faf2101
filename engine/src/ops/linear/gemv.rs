//! The ways to multiply few rows.

use std::fmt;

use devices::IntegerDot;
use shaders::KernelSpec;
use symbolic::Expr;

use super::{super::bytes, Math, Shape, distinct, runs};
use crate::op::{Elem, Grid, Target};

/// Matrices of fewer rows are shared out in small workgroups where each thread has rows of its own, so that no core idles.
const MANY_ROWS: usize = 2048;

/// Longer rows in 8 bits, all at once, take more than 4 KiB of a workgroup's memory, so that few run at once: each should have
/// many threads.
const LONG: usize = 3276;
const MANY_THREADS: u32 = 256;

/// Threads that share a block of rows where sums go through shared memory, unless there is a reason for another number.
const LANES: u32 = 16;

/// How threads come to the sums of a block of 4 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// So many share the block and add up through shared memory.
    Shared(u32),
    /// So many, of one subgroup, and add up by shuffles.
    Shuffle(u32),
    /// A workgroup shares it and adds up over subgroups.
    Subgroup,
    /// Each has one to itself.
    None,
    /// Likewise, and subgroups share what they read of `x`.
    Broadcast,
}

/// Who normalises `x`, where it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normed {
    /// A kernel before the product.
    Before,
    /// Every thread what it reads, and what it has summed by the root.
    Folded,
    /// Every workgroup all of it, into workgroup memory.
    Staged,
}

/// A way to multiply few rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemv {
    reduce: Reduce,
    threads: u32,
    /// Blocks of 4 rows that a thread has.
    blocks: u32,
    /// Chunks of columns that it loads before it multiplies any.
    ahead: u32,
    math: Math,
    normed: Normed,
    /// Columns of `x` in 8 bits that a workgroup holds at a time.
    columns: u32,
    /// Whether 8-bit products are of unsigned integers.
    unsigned: bool,
}

impl fmt::Display for Gemv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.threads)?;
        if let Some(lanes) = self.lanes() {
            write!(f, " by {lanes}")?;
        }
        if (self.blocks, self.ahead) != (1, 1) {
            write!(f, " {}x{}", self.blocks, self.ahead)?;
        }
        let normed = match self.normed {
            Normed::Before => "",
            Normed::Folded => " folded",
            Normed::Staged => " staged",
        };
        let unsigned = if self.unsigned { " unsigned" } else { "" };
        write!(f, "{}{unsigned}{normed}", self.math)
    }
}

impl Gemv {
    /// Those that a device can run for `rows` rows of `x`: in 8 bits if it may, then what its profile prefers.
    pub fn candidates(target: &Target, shape: Shape, rows: u32) -> Vec<Self> {
        let first = Self::preferred(target, shape);
        let in_bytes = if shape.bytes { Self::in_bytes(target, shape) } else { Vec::new() };
        let mut all = Vec::new();
        for base in in_bytes.into_iter().chain([first]).chain(Self::others(target, shape)) {
            let fits =
                |gemv: &Self| gemv.exists(shape, rows) && runs(target, [gemv.threads, 1], gemv.shared(shape));
            let ways = match target.decode.stages_norm {
                true => [Normed::Staged, Normed::Folded, Normed::Before],
                false => [Normed::Folded, Normed::Staged, Normed::Before],
            };
            let ways = ways.into_iter().filter(|normed| shape.norm || *normed == Normed::Before);
            all.extend(ways.map(|normed| Self { normed, ..base }).filter(fits));
        }
        if all.is_empty() {
            all.push(Self { normed: Normed::Before, ..first });
        }
        distinct(all)
    }

    fn new(reduce: Reduce, threads: u32) -> Self {
        Self {
            reduce,
            threads,
            blocks: 1,
            ahead: 1,
            math: Math::F32,
            normed: Normed::Before,
            columns: u32::MAX,
            unsigned: false,
        }
    }

    fn with(self, blocks: u32, ahead: u32) -> Self {
        Self { blocks, ahead, ..self }
    }

    fn with_math(self, math: Math) -> Self {
        Self { math, ..self }
    }

    /// In 8 bits every workgroup rounds all of `x`, so it has 32 rows at least.
    fn in_bytes(target: &Target, shape: Shape) -> Vec<Self> {
        let columns = target.decode.columns_in_bytes;
        let unsigned = target.integer_dot == IntegerDot::Unsigned;
        let in_bytes =
            |reduce, threads| Self { math: Math::I8, columns, unsigned, ..Self::new(reduce, threads) };
        if target.row_per_lane() {
            return [64, 16].map(|threads| in_bytes(Reduce::None, threads)).to_vec();
        }
        let mut all = Vec::new();
        let held = shape.k.min(columns as usize);
        let first = if held > LONG { MANY_THREADS } else { target.decode.threads };
        for (threads, sets) in
            [first, target.decode.threads, 64, 128, 256].into_iter().flat_map(|t| [8, 16, 32].map(|s| (t, s)))
        {
            let lanes = threads / sets;
            let reduce = if target.subgroups { Reduce::Shuffle(lanes) } else { Reduce::Shared(lanes) };
            if lanes >= 4 && (!target.subgroups || lanes <= target.subgroup_size) {
                let gemv = in_bytes(reduce, threads);
                all.extend([gemv, gemv.with(2, 1)]);
            }
        }
        all
    }

    fn preferred(target: &Target, shape: Shape) -> Self {
        let all = target.decode.threads;
        let own = if shape.n < MANY_ROWS { all / 4 } else { all };
        match (target.row_per_lane(), target.subgroups) {
            (true, true) => Self::new(Reduce::Broadcast, own),
            (true, false) => Self::new(Reduce::None, own),
            (false, true) => Self::new(Reduce::Subgroup, all),
            (false, false) => Self::new(Reduce::Shared(LANES), all),
        }
    }

    fn others(target: &Target, shape: Shape) -> Vec<Self> {
        use Reduce::{Broadcast, None, Shared, Shuffle, Subgroup};
        let mut all = Vec::new();
        if target.row_per_lane() {
            let reduces = if target.subgroups { &[Broadcast, None][..] } else { &[None] };
            all.extend(reduces.iter().flat_map(|reduce| [16, 64].map(|threads| Self::new(*reduce, threads))));
            return all;
        }
        if target.subgroups {
            let lanes = target.subgroup_size.min(32);
            let shuffle = |threads| Self::new(Shuffle(lanes), threads);
            let subgroup = |threads| Self::new(Subgroup, threads);
            let halves = [subgroup(256), subgroup(128), shuffle(256).with(1, 4), shuffle(128).with(2, 2)];
            all.extend(halves.map(|gemv| gemv.with_math(Math::F16)));
            all.extend([64, 128, 256, 512].map(subgroup));
            all.extend([64, 128, 256].map(shuffle).map(|gemv| gemv.with(1, 4)));
            all.extend([128, 256].map(shuffle).map(|gemv| gemv.with(2, 2)));
            all.extend([shuffle(64), shuffle(128).with(2, 1)]);
            all.extend([subgroup(128).with(2, 1), subgroup(256).with(1, 4)]);
            let halves = [shuffle(64).with(1, 4), shuffle(128).with(2, 1)];
            all.extend(halves.map(|gemv| gemv.with_math(Math::F16)));
            all.push(Self::new(Shared(LANES), 64));
        } else {
            let shapes = [(64, LANES), (64, 8), (64, 32), (64, 64), (128, LANES), (128, 32)];
            let shared = |threads, lanes| Self::new(Shared(lanes), threads);
            all.extend(shapes.map(|(threads, lanes)| shared(threads, lanes)));
            all.extend([shared(64, LANES).with(2, 1), shared(64, LANES).with(1, 4)]);
            let halves: Vec<Self> = all.iter().map(|gemv| gemv.with_math(Math::F16)).collect();
            all.extend(halves);
        }
        if shape.n >= MANY_ROWS {
            all.push(Self::new(None, 64));
        }
        all
    }

    /// Whether there is such a kernel.
    fn exists(&self, shape: Shape, rows: u32) -> bool {
        if self.math == Math::I8 {
            return rows == 1 && (self.normed == Normed::Staged) == shape.norm;
        }
        let split = self.lanes().is_some();
        let lanes = self.lanes().unwrap_or(1);
        let plain = (self.blocks, self.ahead) == (1, 1);
        let staged = self.normed == Normed::Staged;
        (plain || (rows == 1 && shape.scaled && (split || (self.reduce == Reduce::Subgroup && !staged))))
            && (self.math != Math::F16
                || (shape.half
                    && rows == 1
                    && (split || self.reduce == Reduce::Subgroup)
                    && self.normed != Normed::Folded))
            && (!matches!(self.reduce, Reduce::Shuffle(_)) || shape.scaled)
            && (!staged || (shape.scaled && (split || self.reduce == Reduce::Subgroup)))
            && lanes.is_power_of_two()
            && self.threads.is_multiple_of(lanes)
    }

    /// Bytes of workgroup memory.
    fn shared(&self, shape: Shape) -> u32 {
        let partial = match self.reduce {
            Reduce::Shared(_) => self.threads * 16,
            Reduce::Subgroup => 64 * 16,
            _ => 0,
        };
        let elem = if shape.half { Elem::F16 } else { Elem::F32 };
        let staged = match (self.math, self.normed) {
            (Math::I8, _) => self.spans(shape.k) * bytes::SPAN_BYTES,
            (_, Normed::Staged) => shape.k * elem.size() as usize,
            _ => return partial,
        };
        partial + staged as u32 + self.threads * 4
    }

    /// Spans of a row of `k` columns that a workgroup holds at a time.
    fn spans(&self, k: usize) -> usize {
        k.min(self.columns as usize).div_ceil(bytes::SPAN)
    }

    /// Who normalises `x`.
    pub fn normed(self) -> Normed {
        self.normed
    }

    fn word(self) -> &'static str {
        match self.reduce {
            Reduce::Shared(_) => "shared",
            Reduce::Shuffle(_) => "shuffle",
            Reduce::Subgroup => "subgroup",
            Reduce::None => "none",
            Reduce::Broadcast => "broadcast",
        }
    }

    fn lanes(self) -> Option<u32> {
        match self.reduce {
            Reduce::Shared(lanes) | Reduce::Shuffle(lanes) => Some(lanes),
            _ => None,
        }
    }

    /// The kernel for `count` rows of `k` columns, and its workgroups.
    pub fn of(self, count: usize, k: usize, rows: u32) -> (KernelSpec, Grid) {
        let sets = match self.reduce {
            Reduce::Shared(lanes) | Reduce::Shuffle(lanes) => self.threads / lanes,
            Reduce::Subgroup => 1,
            Reduce::None | Reduce::Broadcast => self.threads,
        };
        let groups = count.div_ceil(4).div_ceil((sets * self.blocks) as usize);
        let spec = match self.math {
            Math::I8 => self.of_bytes(k),
            Math::F32 | Math::F16 => self.of_floats(k, rows),
        };
        let spec = spec.with("REDUCE", self.word()).set("WG_X", self.threads);
        let spec = match self.lanes() {
            Some(lanes) => spec.set("LANES", lanes),
            None => spec,
        };
        (spec, Grid::Linear(Expr::from(groups)))
    }

    fn of_bytes(self, k: usize) -> KernelSpec {
        let mut spec = KernelSpec::new("linear_gemv_i8")
            .with("MATH", self.math.word())
            .set("STAGE", self.spans(k) as u32);
        if self.blocks != 1 {
            spec = spec.with("BLOCKS", self.blocks.to_string());
        }
        if k > self.columns as usize {
            spec = spec.flag("PARTS", true);
        }
        if self.unsigned { spec.with("DOT", "unsigned") } else { spec }
    }

    fn of_floats(self, k: usize, rows: u32) -> KernelSpec {
        let mut spec = KernelSpec::new("linear_gemv").with("ROWS", rows.to_string());
        if (self.blocks, self.ahead) != (1, 1) {
            spec = spec.with("BLOCKS", self.blocks.to_string()).with("AHEAD", self.ahead.to_string());
        }
        if self.math != Math::F32 {
            spec = spec.with("MATH", self.math.word());
        }
        match self.normed {
            Normed::Staged => spec.flag("STAGED", true).set("STAGE", (k / 4) as u32),
            Normed::Before | Normed::Folded => spec,
        }
    }
}
