//! Numbers made on the device: a scalar, or a range.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{Dispatch, Elem, Grid, Lowering, Param, Slot, View};
use crate::error::{OpError, invalid};

/// One element of the given value; integers take what is before the point, held at the ends of `i32`.
pub fn scalar(cx: &mut Lowering<'_>, value: f32, elem: Elem) -> View {
    let out = cx.temporary("scalar", elem, &[]);
    let (start, delta) = match elem {
        Elem::F32 | Elem::F16 => (Param::Float(value), Param::Float(0.0)),
        Elem::I32 | Elem::U32 => (Param::Int(Expr::from(value as i32)), Param::Int(Expr::ZERO)),
    };
    fill(cx, start, delta, &out);
    out
}

/// `start, start + delta, …` to a contiguous view.
///
/// # Errors
/// When floats are to start or step by what is not a number.
pub fn range(cx: &mut Lowering<'_>, start: &Expr, delta: &Expr, out: &View) -> Result<(), OpError> {
    let param = |e: &Expr| match (out.elem, e.constant()) {
        (Elem::I32 | Elem::U32, _) => Ok(Param::Int(e.clone())),
        (Elem::F32 | Elem::F16, Some(n)) => Ok(Param::Float(n as f32)),
        (Elem::F32 | Elem::F16, None) => Err(invalid(format!("a range of floats with {e}"))),
    };
    fill(cx, param(start)?, param(delta)?, out);
    Ok(())
}

fn fill(cx: &mut Lowering<'_>, start: Param, delta: Param, out: &View) {
    let spec = KernelSpec::new("range_fill").with("ELEM", out.elem.wgsl());
    let params = vec![
        ("total", Param::Int(out.len())),
        ("out_stride", Param::Int(Expr::ONE)),
        ("start", start),
        ("delta", delta),
    ];
    let grid = Grid::Linear(out.len().ceil_div(64));
    cx.dispatch(Dispatch { spec, slots: vec![("out", Slot::View(out.clone()))], params, grid });
}
