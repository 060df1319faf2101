//! Windows that slide over the axes behind the first two of a tensor: what convolutions, pools and Col2Im have in common.

use symbolic::Expr;

use super::{OnnxNode, Param, View};
use crate::error::{OpError, invalid};

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

/// How a window of taps moves. Empty lists stand for 1 along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
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
/// Most parts that a spread input is computed in.
const PARTS: usize = 1024;

impl Window {
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

    /// The same without spread: positions whose first tap on an element is the same one, over and over.
    fn parts(&self) -> Result<Vec<AxisPart>, OpError> {
        if self.spread == 1 {
            return Ok(vec![AxisPart { first: [0, 0], step: [1, 1], axis: self.clone() }]);
        }
        let unknown = || OpError::Unsupported("a spread input with padding that is not known".into());
        let (before, s) = (self.before.constant().ok_or_else(unknown)?, self.spread);
        let (by_stride, by_dilation) = (gcd(self.stride, s), gcd(self.dilation, s));
        let step = [s / by_stride, s / by_dilation];
        let many = |n: &i64| usize::try_from(*n).is_ok_and(|n| n > PARTS);
        if step.iter().any(many) {
            return Err(OpError::Unsupported(format!("an input with {s} steps between its elements")));
        }
        let offset = |o: i64, k: i64| before - o * self.stride - k * self.dilation;
        let part = |o: i64| {
            let tap = (0..step[1].min(self.taps)).find(|k| offset(o, *k) % s == 0);
            let (tap, taps) = tap.map_or((0, 0), |k| (k, (self.taps - k + step[1] - 1) / step[1]));
            let axis = Axis {
                size: self.size.clone(),
                count: (&self.count + (step[0] - 1 - o)).floor_div(step[0]),
                before: Expr::from(offset(o, tap).div_euclid(s)),
                behind: Expr::ZERO,
                taps,
                stride: self.stride / by_stride,
                dilation: self.dilation / by_dilation,
                spread: 1,
            };
            AxisPart { first: [o, tap], step, axis }
        };
        Ok((0..step[0]).map(part).collect())
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
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

/// Some positions of an axis: `[output, taps]` from `first` on by `step`, computed by a window without spread.
#[derive(Clone, Debug)]
struct AxisPart {
    first: [i64; 2],
    step: [i64; 2],
    axis: Axis<Expr>,
}

/// Positions that one kernel call computes: those of an output that share taps.
#[derive(Clone, Debug)]
pub struct Part(Vec<AxisPart>);

impl Part {
    /// All parts of a window's positions: one where nothing is spread.
    ///
    /// # Errors
    /// When there are too many.
    pub fn all(axes: &[Axis<Expr>]) -> Result<Vec<Self>, OpError> {
        let mut all = vec![Vec::new()];
        for axis in axes {
            let parts = axis.parts()?;
            if all.len() * parts.len() > PARTS {
                return Err(OpError::Unsupported(format!(
                    "an input that spreads to more than {PARTS} parts"
                )));
            }
            let longer = |list: Vec<AxisPart>| {
                parts.iter().map(move |part| [list.as_slice(), std::slice::from_ref(part)].concat())
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        Ok(all.into_iter().map(Self).collect())
    }

    /// Whether no tap ever meets an element here.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.iter().any(|part| part.axis.taps == 0)
    }

    /// The part of a view that has the axes' positions behind `lead` dimensions.
    #[must_use]
    pub fn positions(&self, view: &View, lead: usize) -> View {
        self.cut(view, lead, 0, |axis| axis.count.clone())
    }

    /// The part of a view that has the axes' taps behind `lead` dimensions.
    #[must_use]
    pub fn taps(&self, view: &View, lead: usize) -> View {
        self.cut(view, lead, 1, |axis| Expr::from(axis.taps))
    }

    fn cut(&self, view: &View, lead: usize, side: usize, size: impl Fn(&Axis<Expr>) -> Expr) -> View {
        let cut = |view: View, (at, part): (usize, &AxisPart)| {
            view.slice(lead + at, &Expr::from(part.first[side]), &size(&part.axis), part.step[side])
        };
        self.0.iter().enumerate().fold(view.clone(), cut)
    }

    /// The axes along which something happens, as the kernels' three.
    ///
    /// # Errors
    /// When there are more.
    pub fn solid(&self) -> Result<Solid, OpError> {
        let is_one = |e: &Expr| e.constant() == Some(1);
        let idle = |axis: &Axis<Expr>| {
            axis.taps == 1 && is_one(&axis.size) && is_one(&axis.count) && axis.before == Expr::ZERO
        };
        let axes = self.0.iter().map(|part| part.axis.clone()).enumerate();
        let kept: Vec<(usize, Axis<Expr>)> = axes.filter(|(_, axis)| !idle(axis)).collect();
        if kept.len() > RANK {
            return Err(OpError::Unsupported(format!("a window that moves along {} axes", kept.len())));
        }
        Ok(Solid(kept))
    }
}

/// Axes that the window kernels have.
const RANK: usize = 3;

/// The axes of a [`Part`] that a kernel walks, with their places behind the leading dimensions of a view.
#[derive(Clone, Debug)]
pub struct Solid(Vec<(usize, Axis<Expr>)>);

/// Neighbours along the last axis that a thread of the window kernels computes.
const RUN: i64 = 4;

impl Solid {
    fn list(&self, of: impl Fn(&Axis<Expr>) -> Expr, missing: &Expr) -> Vec<Expr> {
        super::padded(self.0.iter().map(|(_, axis)| of(axis)).collect(), RANK, missing)
    }

    /// Strides of a view along the axes, behind `lead` dimensions.
    #[must_use]
    pub fn strides(&self, view: &View, lead: usize) -> Vec<Expr> {
        let strides = self.0.iter().map(|(at, _)| view.dims[lead + at].stride.clone()).collect();
        super::padded(strides, RANK, &Expr::ZERO)
    }

    /// Number of runs of positions, and how many of them lie along the last axis.
    #[must_use]
    pub fn runs(&self) -> [Expr; 2] {
        let counts = self.list(|axis| axis.count.clone(), &Expr::ONE);
        let last = counts[RANK - 1].ceil_div(RUN);
        [&(&counts[0] * &counts[1]) * &last, last]
    }

    /// Padding around the input, as bounds of where its elements and the padding lie.
    #[must_use]
    pub fn padded(&self) -> [Vec<Expr>; 2] {
        [
            self.list(|axis| -&axis.before, &Expr::ZERO),
            self.list(|axis| &axis.size + &axis.behind, &Expr::ONE),
        ]
    }

    /// Sizes of the input.
    #[must_use]
    pub fn sizes(&self) -> Vec<Expr> {
        self.list(|axis| axis.size.clone(), &Expr::ONE)
    }

    /// The parameters of the kernels that say how the window moves.
    #[must_use]
    pub fn params(&self) -> Vec<(&'static str, Param)> {
        let int = |of: fn(&Axis<Expr>) -> i64| self.list(|axis| Expr::from(of(axis)), &Expr::ONE);
        let [runs, row_runs] = self.runs();
        vec![
            ("x_shape", Param::Ints(self.sizes())),
            ("out_shape", Param::Ints(self.list(|axis| axis.count.clone(), &Expr::ONE))),
            ("stride", Param::Ints(int(|axis| axis.stride))),
            ("dilation", Param::Ints(int(|axis| axis.dilation))),
            ("before", Param::Ints(self.list(|axis| axis.before.clone(), &Expr::ZERO))),
            ("runs", Param::Int(runs)),
            ("row_runs", Param::Int(row_runs)),
        ]
    }

    /// Numbers of taps.
    #[must_use]
    pub fn taps(&self) -> Vec<Expr> {
        self.list(|axis| Expr::from(axis.taps), &Expr::ONE)
    }
}
