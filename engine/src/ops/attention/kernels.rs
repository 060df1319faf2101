//! The ways to attend: with few queries how threads come to the scores, how many they are, and how keys are shared out; with
//! many, how threads come to the keys.

use std::fmt;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::op::{Elem, Target};

/// How scores come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scores {
    /// An octet of threads shares keys, and sums by shuffles.
    Shuffled,
    /// Likewise, through shared memory.
    Shared,
    /// A thread has a key to itself, of a tile of 32.
    Tiles,
}

/// A way to attend with few queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decode {
    scores: Scores,
    threads: u32,
    /// Rows of a workgroup.
    pub rows: u32,
    /// Most parts into which keys are split.
    pub parts: u32,
}

impl fmt::Display for Decode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} rows, {} parts", self.word(), self.threads, self.rows, self.parts)
    }
}

/// Threads of a workgroup of tiles.
const TILE_THREADS: u32 = 64;

/// Keys that a part has at least, where there are as many.
const PART: i64 = 64;

impl Decode {
    /// Those that a device can run, what its profile prefers first, for heads of a width that share keys in `most` rows.
    ///
    /// Sharing keys takes more registers than a thread of a Mali has (63 spills at a width of 128, 374 at 256), and leaves
    /// Adreno 2 to 8 of 16 waves, so that phones begin with tiles.
    pub fn candidates(target: &Target, width: u32, most: u32, bias: bool) -> Vec<Self> {
        let half = [1, 2, 4].into_iter().find(|half| 2 * half >= most).unwrap_or(8);
        let half = half.min(most_half_rows(target, width, bias));
        let tiles =
            [8, 16].map(|parts| Self { scores: Scores::Tiles, threads: TILE_THREADS, rows: 2 * half, parts });
        if target.prefill.tokens <= 2 {
            return tiles.to_vec();
        }
        let rows = rows(target, width, most);
        let of = |scores, threads, parts| Self { scores, threads, rows, parts };
        let first = if target.octets && target.subgroups { Scores::Shuffled } else { Scores::Shared };
        let shared =
            [(64, 16), (128, 16), (64, 32)].map(|(threads, parts)| of(Scores::Shared, threads, parts));
        let shuffled = [(64, 16), (32, 32), (128, 16), (64, 32)]
            .map(|(threads, parts)| of(Scores::Shuffled, threads, parts))
            .into_iter()
            .filter(|_| target.octets);
        let mut all: Vec<Self> = shuffled.chain(shared).collect();
        all.sort_by_key(|way| way.scores != first);
        if target.row_per_lane() {
            // An octet is a subgroup of software Vulkan.
            return [of(first, 8, 8)].into_iter().chain(all).chain(tiles).collect();
        }
        let large = target.prefill.tokens > 4;
        let (before, behind) = if large { (all, tiles.to_vec()) } else { (tiles.to_vec(), all) };
        before.into_iter().chain(behind).collect()
    }

    /// The kernel, but for what does not hang on the way.
    pub fn spec(&self, of: impl Fn(&'static str) -> KernelSpec, width: u32) -> KernelSpec {
        if self.scores == Scores::Tiles {
            let spec = of("attention_tiles").with("D16", (width / 16).to_string()).flag("SPLIT", true);
            return spec.with("HALF_ROWS", (self.rows / 2).to_string());
        }
        let spec = of("attention_decode")
            .with("CHUNKS", chunks(width).to_string())
            .with("ROWS", self.rows.to_string())
            .with("REDUCE", self.word())
            .set("EIGHTHS", width / 8)
            .set("WG_X", self.threads);
        if self.scores == Scores::Shuffled {
            return spec;
        }
        spec.set("PARTS", (self.threads + 1) * 8 * self.rows).set("SCORES", self.threads * self.rows)
    }

    /// The parts of so many keys.
    pub fn splits(&self, keys: &Expr) -> Expr {
        keys.ceil_div(PART).min(&Expr::from(i64::from(self.parts)))
    }

    fn word(self) -> &'static str {
        match self.scores {
            Scores::Shuffled => "shuffle",
            Scores::Shared => "shared",
            Scores::Tiles => "tiles",
        }
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
        3..=4 => 4,
        _ => 8,
    };
    let at_most = (room / chunks(width)).clamp(1, 4);
    most.div_ceil(most.div_ceil(at_most).max(1)).max(1)
}

/// A way to attend with many queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// Each thread of an octet has a row, and all see what one of them reads of keys and values.
    Rows,
    /// Rows and keys meet in tiles of 32 keys and twice so many rows, in shared memory.
    Tiles {
        /// Half of the rows.
        half_rows: u32,
        /// Whether keys go through shared memory too.
        staged: bool,
    },
}

impl fmt::Display for Prefill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows => write!(f, "rows"),
            Self::Tiles { half_rows, staged } => {
                let keys = if *staged { ", keys staged" } else { "" };
                write!(f, "tiles of {} rows{keys}", 2 * half_rows)
            }
        }
    }
}

/// Threads that read together.
const OCTET: u32 = 8;

impl Prefill {
    /// Those that a device can run, what its profile prefers first.
    /// Staged keys are for those not `held` in f32 and for devices whose threads have many registers.
    pub fn candidates(target: &Target, held: Elem, width: u32, bias: bool) -> Vec<Self> {
        let most = most_half_rows(target, width, bias);
        let preferred = if target.prefill.tokens <= 4 { most.min(4) } else { most };
        let others =
            [8, 4, 2, 1].into_iter().filter(|half| *half <= most && *half != preferred && most / half <= 4);
        let halves: Vec<u32> = [preferred].into_iter().chain(others).collect();
        let may_stage =
            target.prefill.tokens >= 8 && !target.row_per_lane() && held != Elem::F32 && width < 256;
        let tiles = [false, true].into_iter().filter(|staged| may_stage || !staged).flat_map(|staged| {
            halves.iter().map(move |half_rows| Self::Tiles { half_rows: *half_rows, staged })
        });
        let rows = target.row_per_lane() && target.octets && target.subgroups;
        rows.then_some(Self::Rows).into_iter().chain(tiles).collect()
    }

    /// The kernel, but for what does not hang on the way, and rows of a workgroup.
    pub fn spec(self, of: impl Fn(&'static str) -> KernelSpec, width: u32) -> (KernelSpec, u32) {
        match self {
            Self::Rows => {
                let spec = of("attention_rows").with("CHUNKS", chunks(width).to_string());
                (spec.set("EIGHTHS", width / 8).set("WG_X", OCTET), OCTET)
            }
            Self::Tiles { half_rows, staged } => {
                let spec = of("attention_tiles").with("D16", (width / 16).to_string()).flag("STAGED", staged);
                (spec.with("HALF_ROWS", half_rows.to_string()), 2 * half_rows)
            }
        }
    }
}

/// The most `HALF_ROWS` that the registers hold. Twice as many spill on a Mali-G720, the GPU of 2 tokens a thread: up to 16
/// times at a width of 64, 7 times at 112 and 128, 3 times at 256, and with a bias 5 times at 96; and on an Apple G13, of 4,
/// 26 times at 256.
fn most_half_rows(target: &Target, width: u32, bias: bool) -> u32 {
    match (target.prefill.tokens, width, bias) {
        (..=2, ..=64, _) | (..=2, ..=96, false) => 4,
        (..=2, ..=128, _) => 2,
        (..=2, ..) => 1,
        (..=4, 129.., _) => 4,
        _ => 8,
    }
}
