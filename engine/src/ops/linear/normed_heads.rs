//! Heads of attention out of a product's rows where queries and keys are normalised: what the product's own kernel cannot do,
//! since no workgroup of it has a whole head.

use shaders::KernelSpec;
use symbolic::Expr;

use super::product::{Heads, Rows};
use crate::op::{Dispatch, Grid, Lowering, Param, Slot, View};

/// Normalises the heads of queries and of keys in `rows` by gains `[2 * head_dim]`, and brings all to their places.
pub fn dispatch(cx: &mut Lowering<'_>, rows: &Rows, gain: View, epsilon: f32, heads: &Heads) {
    let results = &heads.results;
    let width = |view: &View| &view.dims[1].size * &view.dims[3].size;
    let count = results.iter().fold(Expr::ZERO, |sum, view| &sum + &view.dims[1].size);
    let n = results.iter().fold(Expr::ZERO, |sum, view| &sum + &width(view));
    let spec = KernelSpec::new("normed_heads")
        .with("ELEM", rows.view.elem.wgsl())
        .flag("SUBGROUPS", cx.target().subgroups)
        .set("WG_X", 64);
    let params = vec![
        ("m", Param::Int(rows.count.clone())),
        ("n", Param::Int(n)),
        ("x_m_stride", Param::Int(rows.stride.clone())),
        ("eps", Param::Float(epsilon)),
    ];
    let slots = vec![("x", Slot::View(rows.view.clone())), ("gain", Slot::View(gain))];
    let call = Dispatch { spec, slots, params, grid: Grid::Linear(&rows.count * &count) };
    cx.dispatch(heads.add_to(call));
}
