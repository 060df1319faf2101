//! Numbers made on the device: a scalar, or a range.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{Dispatch, Elem, Grid, Lowering, Param, Slot, View};
use crate::error::OpError;

/// One element of the given value.
pub fn scalar(cx: &mut Lowering<'_>, value: f32, elem: Elem) -> View {
    let out = cx.temporary("scalar", elem, &[]);
    fill(cx, Param::Float(value), Param::Float(0.0), &out);
    out
}

/// `start, start + delta, …` to a contiguous view.
///
/// # Errors
/// When a float is to start or step by what is not a number.
pub fn range(cx: &mut Lowering<'_>, start: &Expr, delta: &Expr, out: &View) -> Result<(), OpError> {
    fill(cx, Param::Int(start.clone()), Param::Int(delta.clone()), out);
    Ok(())
}

fn fill(cx: &mut Lowering<'_>, start: Param, delta: Param, out: &View) {
    let spec = KernelSpec::new("range_fill").with("ELEM", out.elem.wgsl());
    let params = vec![("total", Param::Int(out.len())), ("start", start), ("delta", delta)];
    let grid = Grid::Linear(out.len().ceil_div(64));
    cx.dispatch(Dispatch { spec, slots: vec![("out", Slot::View(out.clone()))], params, grid });
}
