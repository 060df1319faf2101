//! Windows that slide over the axes behind the first two of a tensor: what convolutions, pools and Col2Im have in common.

mod parts;

use symbolic::Expr;

use super::OnnxNode;
use crate::error::{OpError, invalid};

pub use parts::{Part, Solid};

/// What lies around the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Counts before and behind each axis, negative ones crop; none at all when empty.
    Explicit(Vec<[i64; 2]>),
    /// As much as makes one position for each step of the input.
    Same {
        /// Whether the odd one lies behind.
        upper: bool,
    },
}

impl Default for Padding {
    fn default() -> Self {
        Self::Explicit(Vec::new())
    }
}

/// How a window of taps moves. Empty lists stand for 1 along each axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Steps between positions.
    pub strides: Vec<i64>,
    /// Steps between taps.
    pub dilations: Vec<i64>,
    /// Steps between the elements of the input, with nothing between them: a transposed convolution's strides.
    pub spread: Vec<i64>,
    /// What lies around the input.
    pub padding: Padding,
    /// Whether a last position that the input does not fill counts.
    pub ceil: bool,
}

/// A window along one axis: position `o` has tap `k` at `(o * stride + k * dilation - before) / spread`, where that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis<T> {
    /// Size of the input.
    pub size: T,
    /// Number of positions.
    pub count: T,
    /// Padding before.
    pub before: T,
    /// Padding behind.
    pub behind: T,
    /// Number of taps.
    pub taps: i64,
    /// Step between positions.
    pub stride: i64,
    /// Step between taps.
    pub dilation: i64,
    /// Step between elements of the input.
    pub spread: i64,
}

/// Largest stride, dilation and padding, and most taps along an axis: kernels count positions in 32 bits.
pub const LIMIT: i64 = 1 << 24;
/// Most taps together.
const TAPS: i64 = 1 << 20;

impl Window {
    /// A window with explicit padding.
    #[must_use]
    pub fn new(strides: &[i64], dilations: &[i64], pads: &[[i64; 2]]) -> Self {
        Self {
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            padding: Padding::Explicit(pads.to_vec()),
            ..Self::default()
        }
    }

    /// Reads `auto_pad`, `pads`, `strides`, `dilations` and `ceil_mode`.
    ///
    /// # Errors
    /// When one of them has another type or is not known.
    pub fn decode(node: &OnnxNode<'_>) -> Result<Self, OpError> {
        let list = |name| Ok::<_, OpError>(node.ints(name)?.unwrap_or_default().to_vec());
        let pads = list("pads")?;
        let half = pads.len() / 2;
        let padding = match node.string("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "" if pads.len() == 2 * half => {
                Padding::Explicit((0..half).map(|at| [pads[at], pads[half + at]]).collect())
            }
            "NOTSET" | "" => return Err(invalid(format!("{} pads", pads.len()))),
            "VALID" => Padding::Explicit(Vec::new()),
            "SAME_UPPER" => Padding::Same { upper: true },
            "SAME_LOWER" => Padding::Same { upper: false },
            other => return Err(invalid(format!("auto_pad = {other:?} is not known"))),
        };
        Ok(Self {
            strides: list("strides")?,
            dilations: list("dilations")?,
            spread: Vec::new(),
            padding,
            ceil: node.int_or("ceil_mode", 0)? != 0,
        })
    }

    /// The window along each axis of an input of these sizes.
    ///
    /// # Errors
    /// When the lists do not fit the axes, or the window the input.
    pub fn axes(&self, sizes: &[Expr], taps: &[i64]) -> Result<Vec<Axis<Expr>>, OpError> {
        let rank = sizes.len();
        if taps.len() != rank {
            return Err(invalid(format!("a window of {} axes over {rank}", taps.len())));
        }
        let steps = [("strides", &self.strides), ("dilations", &self.dilations), ("spread", &self.spread)];
        let wrong = |name: &str, list: &[i64]| Err(invalid(format!("{name} = {list:?} over {rank} axes")));
        for (name, list) in steps.into_iter().chain([("taps", &taps.to_vec())]) {
            if !(list.is_empty() || list.len() == rank) || list.iter().any(|n| !(1..=LIMIT).contains(n)) {
                return wrong(name, list);
            }
        }
        if let Padding::Explicit(pads) = &self.padding
            && (!(pads.is_empty() || pads.len() == rank)
                || pads.as_flattened().iter().any(|n| !(-LIMIT..=LIMIT).contains(n)))
        {
            return wrong("pads", pads.as_flattened());
        }
        if taps.iter().try_fold(1i64, |n, t| n.checked_mul(*t)).is_none_or(|n| n > TAPS) {
            return Err(OpError::Unsupported(format!("a window of {taps:?} taps")));
        }
        (0..rank).map(|at| self.axis(at, &sizes[at], taps[at])).collect()
    }

    fn axis(&self, at: usize, size: &Expr, taps: i64) -> Result<Axis<Expr>, OpError> {
        let of = |list: &[i64]| list.get(at).copied().unwrap_or(1);
        let (stride, dilation, spread) = (of(&self.strides), of(&self.dilations), of(&self.spread));
        let extent = Expr::from((taps - 1) * dilation + 1);
        let spread_size = (size - 1) * spread + 1;
        let (before, behind, count) = match &self.padding {
            Padding::Same { upper } => {
                let count = spread_size.ceil_div(stride);
                let total = (&((&count - 1) * stride) + &extent - &spread_size).max(&Expr::ZERO);
                let before = if *upper { total.floor_div(2) } else { total.ceil_div(2) };
                let behind = &total - &before;
                (before, behind, count)
            }
            Padding::Explicit(pads) => {
                let [before, behind] = pads.get(at).copied().unwrap_or([0, 0]).map(Expr::from);
                let room = &spread_size + &before + &behind - &extent;
                let count = if self.ceil {
                    // A position begins in the input or before it.
                    (room.ceil_div(stride) + 1).min(&(&spread_size + &before).ceil_div(stride))
                } else {
                    room.floor_div(stride) + 1
                };
                (before, behind, count)
            }
        };
        if count.is_overflow() || count.constant().is_some_and(|n| n < 0) {
            return Err(invalid(format!(
                "a window of extent {extent} does not fit axis {at} of size {size}"
            )));
        }
        Ok(Axis { size: size.clone(), count, before, behind, taps, stride, dilation, spread })
    }
}

/// Number of positions along each axis.
#[must_use]
pub fn counts<T: Clone>(axes: &[Axis<T>]) -> Vec<T> {
    axes.iter().map(|axis| axis.count.clone()).collect()
}

impl Axis<Expr> {
    /// In numbers.
    ///
    /// # Errors
    /// When a size is not known.
    pub fn fixed(&self) -> Result<Axis<i64>, OpError> {
        let number = |e: &Expr| e.constant().ok_or_else(|| invalid(format!("the size {e} is not known")));
        let (size, count) = (number(&self.size)?, number(&self.count)?);
        let (before, behind) = (number(&self.before)?, number(&self.behind)?);
        let Self { taps, stride, dilation, spread, .. } = *self;
        Ok(Axis { size, count, before, behind, taps, stride, dilation, spread })
    }
}

impl Axis<i64> {
    /// The taps of position `at` that meet an element, each with that element.
    fn met(&self, at: i64) -> impl Iterator<Item = (i64, i64)> + Clone + use<> {
        let start = at * self.stride - self.before;
        let (dilation, spread) = (self.dilation, self.spread);
        let end = (self.size - 1) * spread - start;
        let taps = (-start).max(0).div_euclid(dilation)..(end.div_euclid(dilation) + 1).min(self.taps);
        taps.map(move |k| (k, start + k * dilation))
            .filter(move |(_, place)| *place >= 0 && place % spread == 0)
            .map(move |(k, place)| (k, place / spread))
    }

    /// How many taps of position `at` lie in `low..high` of the spread input.
    #[must_use]
    pub fn covered(&self, at: i64, low: i64, high: i64) -> i64 {
        let start = at * self.stride - self.before;
        let below =
            |bound: i64| (bound - start + self.dilation - 1).div_euclid(self.dilation).clamp(0, self.taps);
        below(high) - below(low)
    }
}

/// The position along each axis of a flat, row-major one.
#[must_use]
pub fn position(axes: &[Axis<i64>], flat: usize) -> Vec<i64> {
    let mut rest = flat as i64;
    let mut at: Vec<i64> = axes
        .iter()
        .rev()
        .map(|axis| {
            let here = rest % axis.count.max(1);
            rest /= axis.count.max(1);
            here
        })
        .collect();
    at.reverse();
    at
}

/// What a position, flat and row-major, sees: flat taps and the flat elements they meet, in the order of the taps.
#[must_use]
pub fn seen(axes: &[Axis<i64>], flat: usize) -> Vec<(usize, usize)> {
    let mut all = vec![(0, 0)];
    for (axis, at) in axes.iter().zip(position(axes, flat)) {
        let met = axis.met(at);
        let pairs = |(tap, element): (usize, usize)| {
            let (taps, size) = (axis.taps as usize, axis.size as usize);
            met.clone().map(move |(k, place)| (tap * taps + k as usize, element * size + place as usize))
        };
        all = all.into_iter().flat_map(pairs).collect();
    }
    all
}
