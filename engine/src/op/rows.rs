//! Rows for kernels that give each one a workgroup: what of a view is walked by rows, and what inside one.

use symbolic::Expr;

use super::{Dim, Lowering, Param, View, collapse, padded};
use crate::error::{OpError, invalid};

/// Dimensions that the row kernels take.
const RANK: usize = 4;

/// Where the rows of some views begin, as the kernels' `shape` and `<slot>_strides`.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Number of rows.
    pub count: Expr,
    shape: Vec<Expr>,
    strides: Vec<Vec<Expr>>,
}

impl Rows {
    /// The rows of views of one shape, what is inside a row left out; `None` if that takes too many dimensions.
    #[must_use]
    pub fn of(views: &[&View]) -> Option<Self> {
        let (shape, strides) = collapse(views);
        let count = shape.iter().fold(Expr::ONE, |n, d| &n * d);
        (shape.len() <= RANK).then(|| Self {
            count,
            shape: padded(shape, RANK, &Expr::ONE),
            strides: strides.into_iter().map(|s| padded(s, RANK, &Expr::ZERO)).collect(),
        })
    }

    /// The parameters `shape` and, in the order of the views, the named strides.
    #[must_use]
    pub fn params(&self, names: &[&'static str]) -> Vec<(&'static str, Param)> {
        let strides = names.iter().copied().zip(self.strides.iter().cloned());
        std::iter::once(("shape", self.shape.clone()))
            .chain(strides)
            .map(|(n, list)| (n, Param::Ints(list)))
            .collect()
    }
}

/// A view with its last dimensions, from `axis` on, made one, copied if strides cannot say it: `(rows, size, step)`.
///
/// # Errors
/// When the copy cannot be made.
pub fn joined_tail(cx: &mut Lowering<'_>, view: View, axis: usize) -> Result<(View, Expr, Expr), OpError> {
    let size = view.dims[axis..].iter().fold(Expr::ONE, |n, d| &n * &d.size);
    let mut shape: Vec<Expr> = view.dims[..axis].iter().map(|d| d.size.clone()).collect();
    shape.push(size.clone());
    let view = match view.reshape(&shape) {
        Some(view) => view,
        None => {
            let flat = cx.contiguous(view)?;
            flat.reshape(&shape).ok_or_else(|| invalid("dimensions cannot be joined"))?
        }
    };
    Ok(without(&view, axis, size))
}

/// Rows with what is inside of them again: `n` elements, one a `step` behind the other.
#[must_use]
pub fn whole(rows: View, n: &Expr, step: &Expr) -> View {
    let inner = Dim { size: n.clone(), stride: step.clone() };
    View { dims: rows.dims.into_iter().chain([inner]).collect(), ..rows }
}

/// A view without one dimension: `(rest, its size, its stride)`.
#[must_use]
pub fn without(view: &View, axis: usize, size: Expr) -> (View, Expr, Expr) {
    let mut rest = view.clone();
    let dim = rest.dims.remove(axis);
    (rest, size, dim.stride)
}
