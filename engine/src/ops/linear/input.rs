//! What a product multiplies with a matrix, and how it is normalised first.

use symbolic::Expr;

use super::product::Rows;
use crate::{
    error::{OpError, invalid},
    op::{Elem, Lowering, View},
    ops::rms_norm,
};

/// An input that is multiplied.
#[derive(Clone, Debug)]
pub struct Input {
    view: View,
    /// A gain, and what is added to the mean of squares, where it is normalised first.
    pub norm: Option<(View, f32)>,
    /// Whether a kernel can normalise what it multiplies: there is one row, and a slot for the gain.
    pub foldable: bool,
}

impl Input {
    /// Input 0 of a node, normalised first where `norm` says how; the kernel has `slots` without the gain.
    ///
    /// # Errors
    /// When it is left out, or the gain is no constant.
    pub fn of(cx: &mut Lowering<'_>, norm: Option<Norm>, slots: u32) -> Result<Self, OpError> {
        let view = cx.shaped(0)?;
        let gain = match norm {
            Some(norm) => Some((cx.constant(norm.gain, Elem::F32)?, norm.epsilon)),
            None => None,
        };
        let one = Rows::plain(&view).is_some_and(|rows| rows.count.range().max == Some(1));
        let foldable = gain.is_some() && one && cx.target().max_slots > slots;
        Ok(Self { view, norm: gain, foldable })
    }

    /// Its element.
    #[must_use]
    pub fn elem(&self) -> Elem {
        self.view.elem
    }

    /// Most rows that it has, if that is known.
    pub fn most(&self) -> Option<i64> {
        let outer = self.view.dims.split_last().map_or(&[][..], |(_, outer)| outer);
        outer.iter().fold(Expr::ONE, |n, dim| &n * &dim.size).range().max
    }

    /// The rows that a kernel reads, and how it normalises them, where it does.
    ///
    /// # Errors
    /// When the input is no matrix of known width, or a copy that this takes cannot be made.
    pub fn rows(&self, cx: &mut Lowering<'_>, folded: bool) -> Result<(Rows, Option<(View, f32)>), OpError> {
        match self.norm.clone() {
            Some((gain, epsilon)) if !folded => {
                let normal = cx.temporary("normal", self.view.elem, &self.view.shape());
                rms_norm::dispatch(cx, self.view.clone(), gain, epsilon, &normal)?;
                Ok((in_vectors(cx, normal)?, None))
            }
            norm => Ok((in_vectors(cx, self.view.clone())?, norm)),
        }
    }
}

/// RMSNorm of what is multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// The input of the node that is its gain, a constant `[k]`.
    pub gain: usize,
    /// Added to the mean of squares.
    pub epsilon: f32,
}

/// The input's rows, on whole vectors of four elements; copied if they do not lie so.
fn in_vectors(cx: &mut Lowering<'_>, x: View) -> Result<Rows, OpError> {
    let whole = |e: &Expr| e.multiple_of() % 4 == 0;
    let fits = |cx: &Lowering<'_>, rows: &Rows| {
        whole(&rows.view.offset) && whole(&rows.stride) && whole(cx.root_len(rows.view.root))
    };
    if let Some(rows) = Rows::plain(&x).filter(|rows| fits(cx, rows)) {
        return Ok(rows);
    }
    let copy = cx.temporary("vectors", x.elem, &x.shape());
    cx.copy(&x, &copy)?;
    Rows::plain(&copy).ok_or_else(|| invalid("the width of the input must be known"))
}
