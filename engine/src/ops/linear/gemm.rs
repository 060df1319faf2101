//! The ways to multiply many rows.

use std::fmt;

use devices::IntegerDot;
use shaders::KernelSpec;
use symbolic::Expr;

use super::{super::bytes, Math, Shape, distinct, runs};
use crate::op::{Grid, Target};

/// Sums that a thread can have where it decodes its own weights.
const MOST_ALONE: u32 = 32;

/// How threads come to `x` and to the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    /// `x` goes through workgroup memory; each thread decodes its weights.
    Shared,
    /// Likewise, 4 columns of weights at a time, not 8.
    Halves,
    /// Each thread reads its own.
    None,
    /// Subgroups share what they read of `x`.
    Broadcast,
    /// Both go through workgroup memory, so many chunks of 8 columns at a time.
    Both(u32),
}

/// A way to multiply many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    through: Through,
    /// Rows of `x` that a thread computes.
    tokens: u32,
    /// Rows of the matrix that it does.
    outputs: u32,
    /// Threads along rows of the matrix and along rows of `x`.
    workgroup: [u32; 2],
    math: Math,
}

impl fmt::Display for Gemm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [along_n, along_m] = self.workgroup;
        write!(f, "{} {}x{} {along_n}x{along_m}", self.word(), self.tokens, self.outputs)?;
        match self.through {
            Through::Both(chunks) => write!(f, " by {chunks}")?,
            Through::Halves => write!(f, " by halves")?,
            _ => {}
        }
        self.math.fmt(f)
    }
}

impl Gemm {
    /// Those that a device can run: in 8 bits if it may and has products of signed ones, whose codes many threads would else
    /// spell out; then what its profile prefers.
    pub fn candidates(target: &Target, shape: Shape) -> Vec<Self> {
        let devices::Prefill { tokens, outputs, workgroup: [along_n, along_m], at_once } = target.prefill;
        let first = if target.row_per_lane() && target.subgroups {
            let outputs = if shape.scaled { outputs } else { outputs.min(4) };
            Self::broadcast([tokens, outputs], along_n, shape.n)
        } else if at_once == 4 && shape.scaled {
            Self::new(Through::Halves, [tokens, outputs], [along_n, along_m])
        } else if tokens * outputs <= MOST_ALONE {
            Self::new(Through::Shared, [tokens, outputs], [along_n, along_m])
        } else if shape.scaled {
            Self::new(Through::Both(2), [tokens, outputs], [along_n, along_m])
        } else {
            Self::new(Through::Shared, [tokens, 4], [along_n, along_m.min(4)])
        };
        let fits = |gemm: &Self| gemm.exists(target, shape) && runs(target, gemm.workgroup, gemm.shared());
        let pays = target.integer_dot == IntegerDot::Signed || target.row_per_lane();
        let in_bytes = if shape.bytes && pays { Self::in_bytes(target) } else { Vec::new() };
        let in_bytes = in_bytes.into_iter().filter(fits);
        let others = Self::others(target, shape).into_iter().filter(fits);
        distinct(in_bytes.chain([first]).chain(others).collect())
    }

    /// In 8 bits a thread rounds one span of a row of `x` in its turn: so many columns at a time that all have one.
    fn in_bytes(target: &Target) -> Vec<Self> {
        let devices::Prefill { tokens, outputs, workgroup, .. } = target.prefill;
        let tiles = [
            ([tokens, outputs], workgroup),
            ([8, 8], [16, 16]),
            ([8, 8], [16, 8]),
            ([8, 4], [16, 8]),
            ([8, 4], [16, 4]),
            ([4, 8], [16, 8]),
            ([4, 4], [16, 8]),
            ([4, 4], [16, 4]),
            ([2, 4], [16, 4]),
        ];
        let spans = |tokens: u32, along_n: u32| (along_n / tokens).clamp(1, 4);
        let of = |(tile, workgroup): ([u32; 2], [u32; 2])| {
            let chunks = spans(tile[0], workgroup[0]) * bytes::SPAN as u32 / 8;
            Self { math: Math::I8, ..Self::new(Through::Both(chunks), tile, workgroup) }
        };
        tiles.map(of).to_vec()
    }

    fn new(through: Through, [tokens, outputs]: [u32; 2], workgroup: [u32; 2]) -> Self {
        Self { through, tokens, outputs, workgroup, math: Math::F32 }
    }

    /// As many threads, `most` at most, as a matrix of `n` rows leaves the fewest idle.
    fn broadcast(tile: [u32; 2], most: u32, n: usize) -> Self {
        let blocks = n.div_ceil(tile[1] as usize);
        let threads = (1..=most / 8).rev().map(|octets| 8 * octets);
        let along_n = threads.min_by_key(|threads| blocks.next_multiple_of(*threads as usize)).unwrap_or(8);
        Self::new(Through::Broadcast, tile, [along_n, 1])
    }

    fn others(target: &Target, shape: Shape) -> Vec<Self> {
        use Through::{Both, Halves, None, Shared};
        if target.row_per_lane() {
            let of = |tile| match target.subgroups {
                true => Self::broadcast(tile, target.prefill.workgroup[0], shape.n),
                false => Self::new(Shared, tile, [16, 4]),
            };
            return [[16, 8], [8, 8], [8, 4], [4, 4]].map(of).to_vec();
        }
        let mut all = Vec::new();
        for (tile, workgroup) in [
            ([8, 8], [16, 16]),
            ([8, 8], [16, 8]),
            ([8, 8], [8, 8]),
            ([8, 4], [16, 16]),
            ([8, 4], [16, 8]),
            ([4, 8], [16, 8]),
            ([4, 4], [16, 16]),
            ([4, 4], [16, 8]),
            ([4, 4], [16, 4]),
        ] {
            all.push(Self::new(Both(2), tile, workgroup));
        }
        for (tile, workgroup) in [([8, 8], [16, 8]), ([8, 8], [8, 8]), ([8, 8], [8, 16]), ([4, 4], [16, 4])] {
            all.push(Self::new(Both(4), tile, workgroup));
        }
        for (tile, workgroup) in [
            ([8, 4], [16, 4]),
            ([4, 8], [16, 4]),
            ([4, 4], [16, 4]),
            ([4, 4], [16, 8]),
            ([4, 4], [32, 4]),
            ([2, 8], [16, 4]),
            ([2, 4], [16, 4]),
            ([2, 4], [16, 8]),
        ] {
            all.push(Self::new(Shared, tile, workgroup));
        }
        for (tile, workgroup) in [([4, 4], [16, 4]), ([4, 4], [32, 2]), ([4, 4], [64, 1]), ([2, 4], [32, 2])]
        {
            all.push(Self::new(None, tile, workgroup));
        }
        all.push(Self::new(Halves, [4, 4], [16, 4]));
        let halves: Vec<Self> = all.iter().map(|gemm| Self { math: Math::F16, ..*gemm }).collect();
        all.extend(halves);
        all
    }

    /// Whether there is such a kernel, and a device has the registers for it; software keeps sums in memory as well.
    fn exists(&self, target: &Target, shape: Shape) -> bool {
        let wide = self.outputs == 8;
        let both = matches!(self.through, Through::Both(_));
        let sums = self.tokens * self.outputs;
        let most = target.prefill.tokens * target.prefill.outputs;
        let kernel = match self.through {
            Through::Both(_) => shape.scaled,
            Through::None | Through::Halves => shape.scaled && !wide,
            Through::Shared | Through::Broadcast => shape.scaled || !wide,
        };
        let own = matches!(self.through, Through::Shared | Through::None);
        let half = shape.half && (both || (own && !wide));
        let fits = sums <= most || self.through == Through::Broadcast;
        kernel && (self.math != Math::F16 || half) && fits
    }

    /// Bytes of workgroup memory.
    fn shared(&self) -> u32 {
        let [along_n, along_m] = self.workgroup;
        if let (Math::I8, Through::Both(chunks)) = (self.math, self.through) {
            // Codes of 8 bits, and their scales.
            let weights = along_n * self.outputs * (8 * chunks + chunks);
            return along_m * self.tokens * chunks * 8 / bytes::SPAN as u32 * bytes::SPAN_BYTES as u32
                + weights;
        }
        let vec4s = match self.through {
            Through::Shared | Through::Halves => along_m * self.tokens * 8,
            Through::Both(chunks) => {
                along_m * self.tokens * (2 * chunks + 1) + along_n * self.outputs * 2 * chunks
            }
            Through::None | Through::Broadcast => 0,
        };
        vec4s * if self.math == Math::F16 { 8 } else { 16 }
    }

    fn word(self) -> &'static str {
        match self.through {
            Through::Shared | Through::Halves => "shared",
            Through::None => "none",
            Through::Broadcast => "broadcast",
            Through::Both(_) => "both",
        }
    }

    /// The kernel for `count` rows of a matrix and `m` of `x`, and its workgroups.
    pub fn of(self, count: usize, m: &Expr) -> (KernelSpec, Grid) {
        let [along_n, along_m] = self.workgroup;
        let spec = match self.through {
            Through::Both(chunks) if self.math == Math::I8 => {
                KernelSpec::new("linear_tiles_i8").set("SPANS", chunks * 8 / bytes::SPAN as u32)
            }
            Through::Both(chunks) => KernelSpec::new("linear_tiles").set("CHUNKS", chunks),
            _ => KernelSpec::new("linear_gemm").with("X", self.word()),
        };
        let spec = spec
            .with("TILE_M", self.tokens.to_string())
            .with("TILE_N", self.outputs.to_string())
            .set("WG_X", along_n);
        let spec = if self.through == Through::Broadcast { spec } else { spec.set("WG_Y", along_m) };
        let spec = if self.through == Through::Halves { spec.with("AT_ONCE", "4") } else { spec };
        let spec = if self.math == Math::F32 { spec } else { spec.with("MATH", self.math.word()) };
        let columns = (along_n * self.outputs) as usize;
        let rows = m.ceil_div(i64::from(along_m * self.tokens));
        (spec, Grid::Xyz([Expr::from(count.div_ceil(columns)), rows, Expr::ONE]))
    }
}
