//! Numbers made on the device: a scalar, or a range.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{Dispatch, Elem, Grid, Lowering, Param, Slot, View};
use crate::error::OpError;

/// One element of the given value; integers take what is before the point, held at the ends of `i32`.
pub fn scalar(cx: &mut Lowering<'_>, value: f32, elem: Elem) -> View {
    let out = cx.temporary("scalar", elem, &[]);
    let (start, delta) = match elem {
        Elem::F32 | Elem::F16 | Elem::F8 => (Param::Float(value), Param::Float(0.0)),
        Elem::I32 | Elem::U32 => (Param::Int(Expr::from(value as i32)), Param::Int(Expr::ZERO)),
    };
    fill(cx, start, delta, &out);
    out
}

/// `start, start + delta, …` to a contiguous view.
///
/// # Errors
/// When the conversion of numbers that depend on a size to floats cannot be made.
pub fn range(cx: &mut Lowering<'_>, start: &Expr, delta: &Expr, out: &View) -> Result<(), OpError> {
    match (out.elem, start.constant(), delta.constant()) {
        (Elem::I32 | Elem::U32, _, _) => {
            fill(cx, Param::Int(start.clone()), Param::Int(delta.clone()), out);
        }
        (Elem::F32 | Elem::F16 | Elem::F8, Some(start), Some(delta)) => {
            float_range(cx, start as f32, delta as f32, out);
        }
        (Elem::F32 | Elem::F16 | Elem::F8, _, _) => {
            let integers = cx.temporary("integers", Elem::I32, &out.shape());
            range(cx, start, delta, &integers)?;
            cx.copy(&integers, out)?;
        }
    }
    Ok(())
}

/// `start, start + delta, …` to a contiguous view of floats.
pub fn float_range(cx: &mut Lowering<'_>, start: f32, delta: f32, out: &View) {
    fill(cx, Param::Float(start), Param::Float(delta), out);
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
