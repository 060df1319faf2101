//! Windows as kernels compute them: a spread input is taken apart into windows over every so many positions and taps.

use symbolic::Expr;

use super::Axis;
use crate::{
    error::OpError,
    op::{Param, View, padded},
};

/// Most parts that a spread input is computed in.
const PARTS: usize = 1024;

impl Axis<Expr> {
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
        padded(self.0.iter().map(|(_, axis)| of(axis)).collect(), RANK, missing)
    }

    /// Strides of a view along the axes, behind `lead` dimensions.
    #[must_use]
    pub fn strides(&self, view: &View, lead: usize) -> Vec<Expr> {
        let strides = self.0.iter().map(|(at, _)| view.dims[lead + at].stride.clone()).collect();
        padded(strides, RANK, &Expr::ZERO)
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
