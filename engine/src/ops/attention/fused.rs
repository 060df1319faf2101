//! Attention by the fused kernels: scores, softmax and the sum of values in one call, or two for few queries.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{
    Attention, BIAS, PADDING,
    kernels::{Decode, Prefill},
};
use crate::{
    error::{OpError, invalid},
    op::{Dispatch, Elem, Grid, Lowering, Param, Problem, Slot, View, converted, stretched},
};

/// Head widths that the kernels have.
const WIDTHS: [i64; 8] = [16, 32, 64, 80, 96, 112, 128, 256];

/// Kernels read keys held as f8 as so many times less.
const F8_UNIT: f32 = 256.0;

/// Up to this many queries, keys are shared out over workgroups.
const FEW: i64 = 4;

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
    let [k, v] =
        if k.elem == v.elem { [k, v] } else { [converted(cx, k, q.elem)?, converted(cx, v, q.elem)?] };
    let [k, v] = match k.elem {
        Elem::F8 if [&k, &v].iter().any(|view| !cx.fits_vectors(view, 8)) => {
            [converted(cx, k, q.elem)?, converted(cx, v, q.elem)?]
        }
        _ => [k, v],
    };
    let [q, k, v] = [in_vectors(cx, q, 4)?, in_vectors(cx, k, 8)?, in_vectors(cx, v, 8)?];
    let padding = cx.has_input(PADDING).then(|| padding(cx)).transpose()?;
    let bias = cx.has_input(BIAS).then(|| cx.shaped(BIAS)).transpose()?;
    let place = cx.output(0)?;
    let beside = place.dims.len() != 4 || !cx.fits_vectors(&place, 4);
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

fn in_vectors(cx: &mut Lowering<'_>, view: View, elements: i64) -> Result<View, OpError> {
    if cx.fits_vectors(&view, elements) {
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

    fn spec(&self, kernel: &'static str) -> KernelSpec {
        KernelSpec::new(kernel)
            .with("ELEM", self.q.elem.wgsl())
            .with("CACHE", self.k.elem.wgsl())
            .flag("PADDING", self.padding.is_some())
            .flag("BIAS", self.bias.is_some())
    }

    fn width(&self) -> u32 {
        self.q.dims[3].size.constant().and_then(|width| u32::try_from(width).ok()).unwrap_or(0)
    }

    /// Of the scores that kernels compute.
    fn scale(&self) -> f32 {
        if self.k.elem == Elem::F8 { self.op.scale * F8_UNIT } else { self.op.scale }
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
            ("out_strides", strides(&self.out)),
            ("seq", Param::Int(self.q.dims[2].size.clone())),
            ("total", Param::Int(keys.clone())),
            ("past", Param::Int(past)),
            ("group", Param::Int(self.group.clone())),
            ("window", Param::Int(window)),
            ("scale", Param::Float(self.scale())),
            ("softcap", Param::Float(self.op.softcap)),
        ];
        if let Some(padding) = &self.padding {
            params.push(("mask_stride", Param::Int(padding.dims[0].stride.clone())));
        }
        params.extend(self.bias.iter().map(|bias| ("biases_strides", strides(bias))));
        params
    }

    fn slots(&self) -> Vec<(&'static str, Slot)> {
        let given = [("q", &self.q), ("k", &self.k), ("v", &self.v), ("out", &self.out)];
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
    fn grid(&self, rows: i64, parts: &Expr) -> Grid {
        let x = &self.rows.ceil_div(rows) * parts;
        Grid::Xyz([x, self.k.dims[1].size.clone(), self.k.dims[0].size.clone()])
    }

    fn problem(&self, family: &'static str) -> Problem {
        let of = |view: &View, at: usize| view.dims[at].size.to_string();
        let mut shape = format!(
            "{} {} heads {} of {}, {} rows",
            self.q.elem.wgsl(),
            self.k.elem.wgsl(),
            of(&self.k, 1),
            self.width(),
            self.rows
        );
        for (given, what) in [(self.padding.is_some(), " padding"), (self.bias.is_some(), " bias")] {
            shape.push_str(if given { what } else { "" });
        }
        Problem { family, shape }
    }

    fn prefill(&self, cx: &mut Lowering<'_>) {
        let (params, slots) = (self.params(), self.slots());
        let candidates = Prefill::candidates(cx.target(), self.k.elem, self.width(), self.bias.is_some());
        let chosen = cx.choose(self.problem("attention prefill"), &candidates).unwrap_or(candidates[0]);
        let (spec, rows) = chosen.spec(|kernel| self.spec(kernel), self.width());
        cx.dispatch(Dispatch { spec, slots, params, grid: self.grid(rows.into(), &Expr::ONE) });
    }

    fn decode(&self, cx: &mut Lowering<'_>) {
        let [batch, keys, shared] =
            [&self.k.dims[0], &self.k.dims[2], &self.k.dims[1]].map(|d| d.size.clone());
        let rows = &(&batch * &shared) * &self.rows;
        let most = self.rows.range().max.and_then(|most| u32::try_from(most).ok()).unwrap_or(u32::MAX);
        let candidates = Decode::candidates(cx.target(), self.width(), most, self.bias.is_some());
        let chosen = cx.choose(self.problem("attention decode"), &candidates).unwrap_or(candidates[0]);
        // As many keys as are seen.
        let window = self.op.window.as_ref().map(|window| window + &self.q.dims[2].size);
        let splits = chosen.splits(&window.map_or(keys.clone(), |window| window.min(&keys)));
        let width = self.q.dims[3].size.clone();
        let most = Expr::from(splits.range().max.unwrap_or(i64::from(chosen.parts)));
        let partial = cx.temporary("partial", Elem::F32, &[rows.clone(), most, &width + 4]);
        let (mut params, mut slots) = (self.params(), self.slots());
        params.push(("splits", Param::Int(splits.clone())));
        slots.push(("partial", Slot::View(partial.clone())));
        let spec = chosen.spec(|kernel| self.spec(kernel), self.width());
        cx.dispatch(Dispatch { spec, slots, params, grid: self.grid(chosen.rows.into(), &splits) });
        // One part has written the output.
        let merged = &rows * &(&splits - 1).min(&Expr::ONE);
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
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(merged) });
    }
}

/// Strides of batch, heads, positions and elements.
fn strides(view: &View) -> Param {
    Param::Ints(view.dims.iter().map(|d| d.stride.clone()).collect())
}
