//! Attention by the fused kernels: scores, softmax and the sum of values in one call, or two for few queries.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{Attention, BIAS, PADDING};
use crate::{
    error::{OpError, invalid},
    op::{Dispatch, Elem, Grid, Lowering, Param, Slot, View, stretched},
};

/// Head widths that the kernels have.
const WIDTHS: [i64; 8] = [16, 32, 64, 80, 96, 112, 128, 256];

/// Up to this many queries, keys are shared out over workgroups.
const FEW: i64 = 4;

/// Parts into which the keys of few queries are split.
const SPLITS: i64 = 8;

/// Keys that the kernels take at a time.
const TILE: i64 = 32;

/// Whether there is a kernel for queries and values of this width.
pub fn fits(q: &View, v: &View) -> bool {
    let width = q.dims[3].size.constant();
    width == v.dims[3].size.constant() && width.is_some_and(|w| WIDTHS.contains(&w))
}

/// Attention of queries, keys and values, whose padding and bias are the operator's inputs.
///
/// # Errors
/// When an input cannot be brought into the form that the kernels read.
pub fn lower(op: &Attention, cx: &mut Lowering<'_>, [q, k, v]: [View; 3]) -> Result<(), OpError> {
    let [q, k, v] = [in_vectors(cx, q)?, in_vectors(cx, k)?, in_vectors(cx, v)?];
    let padding = cx.has_input(PADDING).then(|| padding(cx)).transpose()?;
    let bias = cx.has_input(BIAS).then(|| cx.shaped(BIAS)).transpose()?;
    let place = cx.output(0)?;
    let beside = place.dims.len() != 4 || !fits_vectors(cx, &place);
    let out =
        if beside { cx.temporary("beside", place.elem, &cx.output_fact(0)?.shape) } else { place.clone() };
    let call = Call::new(op, [q, k, v], [padding, bias], out.clone())?;
    if call.q.dims[2].size.range().max.is_some_and(|n| n <= FEW) {
        call.decode(cx);
    } else {
        call.prefill(cx);
    }
    if beside { cx.copy(&out, &place) } else { Ok(()) }
}

/// The padding `[batch, keys]` as the kernels read it.
fn padding(cx: &mut Lowering<'_>) -> Result<View, OpError> {
    let view = cx.shaped(PADDING)?;
    let unit = view.dims[1].stride == Expr::ONE;
    if unit { Ok(view) } else { cx.contiguous(view) }
}

/// Whether the kernels can read or write a view in vectors of four elements.
fn fits_vectors(cx: &Lowering<'_>, view: &View) -> bool {
    let whole = |e: &Expr| e.multiple_of() % 4 == 0;
    let (outer, last) = view.dims.split_at(view.dims.len() - 1);
    outer.iter().all(|d| d.size == Expr::ONE || whole(&d.stride))
        && last.iter().all(|d| d.stride == Expr::ONE)
        && whole(&view.offset)
        && whole(cx.root_len(view.root))
}

fn in_vectors(cx: &mut Lowering<'_>, view: View) -> Result<View, OpError> {
    if fits_vectors(cx, &view) {
        return Ok(view);
    }
    let copy = cx.temporary("vectors", view.elem, &view.shape());
    cx.copy(&view, &copy)?;
    Ok(copy)
}

/// A call of the fused kernels.
struct Call<'a> {
    op: &'a Attention,
    q: View,
    k: View,
    v: View,
    padding: Option<View>,
    bias: Option<View>,
    out: View,
    /// Heads that share keys.
    group: Expr,
    /// Queries of all of them.
    rows: Expr,
}

impl<'a> Call<'a> {
    fn new(
        op: &'a Attention,
        [q, k, v]: [View; 3],
        [padding, bias]: [Option<View>; 2],
        out: View,
    ) -> Result<Self, OpError> {
        let (heads, shared) = (&q.dims[1].size, &k.dims[1].size);
        let group =
            heads.exact_div(shared).ok_or_else(|| invalid(format!("{heads} heads share {shared}")))?;
        let rows = &group * &q.dims[2].size;
        let scores = [&q.dims[0], &q.dims[1], &q.dims[2], &k.dims[2]].map(|dim| dim.size.clone());
        let bias = bias.map(|view| stretched(&view, &scores));
        Ok(Self { op, q, k, v, padding, bias, out, group, rows })
    }

    fn spec(&self, cx: &Lowering<'_>, kernel: &'static str, half_rows: i64) -> KernelSpec {
        let width = self.q.dims[3].size.constant().unwrap_or(0);
        KernelSpec::new(kernel)
            .with("ELEM", self.q.elem.wgsl())
            .with("D16", (width / 16).to_string())
            .with("HALF_ROWS", half_rows.to_string())
            .flag("PADDING", self.padding.is_some())
            .flag("BIAS", self.bias.is_some())
            .flag("BROADCAST", cx.target().row_per_lane() && cx.target().subgroups)
    }

    fn params(&self) -> Vec<(&'static str, Param)> {
        let keys = &self.k.dims[2].size;
        let causal = self.op.causal.is_some();
        let past = self.op.causal.clone().unwrap_or_else(|| keys.clone());
        let window = self.op.window.clone().filter(|_| causal).unwrap_or_default();
        let mut params = vec![
            ("q_strides", strides(&self.q)),
            ("k_strides", strides(&self.k)),
            ("v_strides", strides(&self.v)),
            ("seq", Param::Int(self.q.dims[2].size.clone())),
            ("total", Param::Int(keys.clone())),
            ("past", Param::Int(past)),
            ("group", Param::Int(self.group.clone())),
            ("window", Param::Int(window)),
            ("scale", Param::Float(self.op.scale)),
            ("softcap", Param::Float(self.op.softcap)),
        ];
        if let Some(padding) = &self.padding {
            params.push(("mask_stride", Param::Int(padding.dims[0].stride.clone())));
        }
        params.extend(self.bias.iter().map(|bias| ("biases_strides", strides(bias))));
        params
    }

    fn slots(&self) -> Vec<(&'static str, Slot)> {
        let given = [("q", &self.q), ("k", &self.k), ("v", &self.v)];
        let padding = self.padding.iter().map(|p| ("mask", p));
        let bias = self.bias.iter().map(|b| ("biases", b));
        given
            .into_iter()
            .chain(padding)
            .chain(bias)
            .map(|(name, view)| (name, Slot::View(view.clone())))
            .collect()
    }

    /// `ceil(rows / of a workgroup)` times `parts`, key heads, batch.
    fn grid(&self, half_rows: i64, parts: i64) -> Grid {
        let x = &self.rows.ceil_div(2 * half_rows) * &Expr::from(parts);
        Grid::Xyz([x, self.k.dims[1].size.clone(), self.k.dims[0].size.clone()])
    }

    /// The most `HALF_ROWS` that the registers hold. Twice as many spill on a Mali-G720, the GPU of 2 tokens a thread: up
    /// to 16 times at a width of 64, 7 times at 112 and 128, 3 times at 256, and with a bias 5 times at 96; and on an Apple
    /// G13, of 4, 26 times at 256.
    fn most_half_rows(&self, cx: &Lowering<'_>) -> i64 {
        let width = self.q.dims[3].size.constant().unwrap_or(i64::MAX);
        match (cx.target().prefill.tokens, width, self.bias.is_some()) {
            (..=2, ..=64, _) | (..=2, ..=96, false) => 4,
            (..=2, ..=128, _) => 2,
            (..=2, ..) => 1,
            (..=4, 129.., _) => 4,
            _ => 8,
        }
    }

    fn prefill(&self, cx: &mut Lowering<'_>) {
        let (mut params, mut slots) = (self.params(), self.slots());
        params.push(("out_strides", strides(&self.out)));
        slots.push(("out", Slot::View(self.out.clone())));
        let half_rows = self.most_half_rows(cx).min(if cx.target().prefill.tokens <= 4 { 4 } else { 8 });
        let spec = self.spec(cx, "attention_prefill", half_rows);
        cx.dispatch(Dispatch { spec, slots, params, grid: self.grid(half_rows, 1) });
    }

    fn decode(&self, cx: &mut Lowering<'_>) {
        let [batch, keys, shared] =
            [&self.k.dims[0], &self.k.dims[2], &self.k.dims[1]].map(|d| d.size.clone());
        let (rows, splits) = (&(&batch * &shared) * &self.rows, Expr::from(SPLITS));
        let width = self.q.dims[3].size.clone();
        let partial = cx.temporary("partial", Elem::F32, &[rows.clone(), splits.clone(), &width + 4]);
        let (mut params, mut slots) = (self.params(), self.slots());
        params.push(("splits", Param::Int(splits.clone())));
        params.push(("part", Param::Int(keys.ceil_div(SPLITS).align_up(TILE))));
        slots.push(("partial", Slot::View(partial.clone())));
        let most = self.rows.range().max.unwrap_or(i64::MAX);
        let half_rows = [1, 2, 4].into_iter().find(|half| 2 * half >= most).unwrap_or(8);
        let half_rows = half_rows.min(self.most_half_rows(cx));
        let spec = self.spec(cx, "attention_decode", half_rows);
        cx.dispatch(Dispatch { spec, slots, params, grid: self.grid(half_rows, SPLITS) });
        let params = vec![
            ("out_strides", strides(&self.out)),
            ("rows", Param::Int(rows.clone())),
            ("seq", Param::Int(self.q.dims[2].size.clone())),
            ("group", Param::Int(self.group.clone())),
            ("kv_heads", Param::Int(shared)),
            ("splits", Param::Int(splits)),
            ("head_dim", Param::Int(width)),
        ];
        let slots = vec![("partial", Slot::View(partial)), ("out", Slot::View(self.out.clone()))];
        let spec = KernelSpec::new("attention_merge").with("ELEM", self.out.elem.wgsl());
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows) });
    }
}

/// Strides of batch, heads, positions and elements.
fn strides(view: &View) -> Param {
    Param::Ints(view.dims.iter().map(|d| d.stride.clone()).collect())
}
