//! The ways to attend: with few queries how threads come to the scores, how many they are, and how keys are shared out; with
//! many, how threads come to the keys.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::op::{Elem, Target};

/// A way to attend with few queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decode {
    /// Whether products are summed by shuffles; else through shared memory.
    shuffle: bool,
    threads: u32,
    /// Rows of a workgroup.
    pub rows: u32,
    /// Most parts into which keys are split.
    parts: u32,
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} rows, {} parts", self.word(), self.threads, self.rows, self.parts)
    }
}

/// Keys that a part has at least, where there are as many.
const PART: i64 = 64;

impl Decode {
    /// Those that a device can run, what its profile prefers first, for heads of a width that share keys in `most` rows.
    pub fn candidates(target: &Target, width: u32, most: u32) -> Vec<Self> {
        let rows = rows(target, width, most);
        let of = |shuffle, threads, parts| Self { shuffle, threads, rows, parts };
        // An octet is a subgroup of software Vulkan.
        let small = target.row_per_lane().then(|| of(target.octets && target.subgroups, 8, 8));
        let shared = [(64, 16), (128, 16), (64, 32)].map(|(threads, parts)| of(false, threads, parts));
        let shuffling =
            [(64, 16), (32, 32), (128, 16), (64, 32)].map(|(threads, parts)| of(true, threads, parts));
        let shuffling = shuffling.into_iter().filter(|_| target.octets);
        let mut all: Vec<Self> = shuffling.chain(shared).collect();
        all.sort_by_key(|way| way.shuffle != (target.octets && target.subgroups));
        small.into_iter().chain(all).collect()
    }

    /// The kernel, but for what does not hang on the way.
    pub fn spec(&self, spec: KernelSpec, width: u32) -> KernelSpec {
        let spec = spec
            .with("CHUNKS", chunks(width).to_string())
            .with("ROWS", self.rows.to_string())
            .with("REDUCE", self.word())
            .set("EIGHTHS", width / 8)
            .set("WG_X", self.threads);
        if self.shuffle {
            return spec;
        }
        spec.set("PARTS", (self.threads + 1) * 8 * self.rows).set("SCORES", self.threads * self.rows)
    }

    /// The parts of so many keys.
    pub fn splits(&self, keys: &Expr) -> Expr {
        keys.ceil_div(PART).min(&Expr::from(i64::from(self.parts)))
    }

    fn word(self) -> &'static str {
        if self.shuffle { "shuffle" } else { "shared" }
    }
}

/// A way to attend with many queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefill {
    /// Half of the rows of a workgroup.
    pub half_rows: i64,
    /// Whether lanes of a subgroup share what they read of queries.
    broadcast: bool,
    /// Whether keys go through shared memory.
    staged: bool,
}

impl fmt::Display for Prefill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = if self.staged { "staged" } else { "direct" };
        let queries = if self.broadcast { ", broadcast" } else { "" };
        write!(f, "{} rows, {keys}{queries}", 2 * self.half_rows)
    }
}

impl Prefill {
    /// Those that a device can run, for heads of a width whose keys are held in `keys`, with at most `half_rows`. Only
    /// devices with cooperative matrices, which are large, have a choice.
    pub fn candidates(target: &Target, keys: Elem, width: u32, half_rows: i64) -> Vec<Self> {
        let broadcast = target.row_per_lane() && target.subgroups;
        let first = Self { half_rows, broadcast, staged: false };
        let mut all = vec![first];
        let Some(matrices) = target.coop.filter(|_| keys == Elem::F16 && width < 256) else {
            return all;
        };
        let staged = Self { staged: true, ..first };
        all.push(staged);
        if half_rows > 4 {
            all.push(Self { half_rows: 4, ..staged });
        }
        if target.subgroups && matrices.lanes <= 32 && !broadcast {
            all.push(Self { broadcast: true, ..staged });
        }
        all
    }

    /// The kernel, but for what does not hang on the way.
    pub fn spec(&self, spec: KernelSpec, width: u32) -> KernelSpec {
        spec.with("D16", (width / 16).to_string())
            .with("HALF_ROWS", self.half_rows.to_string())
            .flag("BROADCAST", self.broadcast)
            .flag("STAGED", self.staged)
    }
}

/// Pieces of 64 elements of a head, in kernels' numbers.
fn chunks(width: u32) -> u32 {
    width.div_ceil(64).next_power_of_two()
}

/// Rows of a workgroup, about as many in each: a thread holds 16 numbers for each 64 elements of a row.
fn rows(target: &Target, width: u32, most: u32) -> u32 {
    let room = match target.prefill.tokens {
        ..=2 => 2,
        ..=4 => 4,
        _ => 8,
    };
    let at_most = (room / chunks(width)).clamp(1, 4);
    most.div_ceil(most.div_ceil(at_most).max(1)).max(1)
}
