//! Attention as passes make it: `softmax(scale * q k^T + mask) v`, with shared key heads and the mask as a rule.

use shaders::KernelSpec;
use symbolic::Expr;

use super::masked_attention::{Sizes, Steps};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, Op, Operator, Param, Slot, View,
        made_by_passes,
        nd::{floats, given, optional},
        sample,
    },
};

/// Inputs: q `[batch, heads, queries, head_dim]`, k and v `[batch, kv_heads, keys, head_dim]`, and, on demand, padding
/// `[batch, keys]`, 0 for keys that nobody sees. A query that sees no key gets zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Factor of the scores.
    pub scale: f32,
    /// Scores become `softcap * tanh(score / softcap)`; 0 for none.
    pub softcap: f32,
    /// Key `j` is visible to query `i` only if `j <= i + causal`.
    pub causal: Option<Expr>,
    /// Key `j` is visible to query `i` only if `j > i + causal - window`.
    pub window: Option<Expr>,
    /// How many keys are in use, where there is room for more: the others are not read.
    pub keys: Option<Expr>,
}

/// Which keys a query sees, in numbers.
#[derive(Clone, Copy, Debug)]
struct Rule {
    causal: Option<i64>,
    window: Option<i64>,
}

impl Rule {
    fn sees(self, query: usize, key: usize) -> bool {
        let (query, key) = (query as i64, key as i64);
        let Some(past) = self.causal else { return true };
        key <= query + past && self.window.is_none_or(|w| key > query + past - w)
    }
}

impl Attention {
    fn rule(&self) -> Result<Rule, OpError> {
        let number = |e: &Option<Expr>| match e {
            Some(e) => e.constant().map(Some).ok_or_else(|| invalid(format!("the mask depends on {e}"))),
            None => Ok(None),
        };
        Ok(Rule { causal: number(&self.causal)?, window: number(&self.window)? })
    }

    fn score(&self, dot: f64) -> f64 {
        let (score, cap) = (dot * f64::from(self.scale), f64::from(self.softcap));
        if cap > 0.0 { cap * (score / cap).tanh() } else { score }
    }
}

/// Weights of the visible scores, zeros for the others.
fn weights(scores: &[Option<f64>]) -> Vec<f64> {
    let top = scores.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().flatten().map(|s| (s - top).exp()).sum();
    scores.iter().map(|s| s.map_or(0.0, |s| (s - top).exp() / sum)).collect()
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "Attention"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        if [q, k, v].iter().any(|f| f.rank() != 4) {
            return Err(invalid(format!("queries are {q}, keys {k}, values {v}")));
        }
        for (a, b, what) in [(q, k, 0), (q, k, 3), (k, v, 0), (k, v, 1), (k, v, 2)] {
            cx.unify(&a.shape[what], "attention", &b.shape[what], "attention")?;
        }
        if let Some(padding) = cx.optional(3) {
            let keys = self.keys.as_ref().unwrap_or(&k.shape[2]);
            for (a, b) in [&k.shape[0], keys].into_iter().zip(&padding.shape) {
                cx.unify(a, "keys", b, "padding")?;
            }
        }
        let mut shape = q.shape.clone();
        shape[3] = v.shape[3].clone();
        Ok(vec![Fact::new(q.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (q, k, v, rule) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?, self.rule()?);
        let Sizes { batch, heads, groups, queries, keys, d, dv } = Sizes::of(q, k, v)?;
        let padding = optional(inputs, 3).map(HostTensor::to_i64s);
        let (x, y, z) = (q.to_f64s(), k.to_f64s(), v.to_f64s());
        let in_use = self.keys.as_ref().and_then(Expr::constant).unwrap_or(i64::MAX);
        let mut all = Vec::with_capacity(batch * heads * queries * dv);
        for row in 0..batch * heads * queries {
            let (b, h, i) = (row / (heads * queries), row / queries % heads, row % queries);
            let first = (b * groups + h / (heads / groups)) * keys;
            let query = &x[row * d..(row + 1) * d];
            let score = |j: usize| {
                let shown = || padding.as_ref().is_none_or(|p| p[b * (p.len() / batch) + j] != 0);
                let seen = (j as i64) < in_use && rule.sees(i, j) && shown();
                let key = &y[(first + j) * d..(first + j + 1) * d];
                seen.then(|| self.score(query.iter().zip(key).map(|(a, b)| a * b).sum()))
            };
            let weights = weights(&(0..keys).map(score).collect::<Vec<_>>());
            all.extend((0..dv).map(|c| (0..keys).map(|j| weights[j] * z[(first + j) * dv + c]).sum::<f64>()));
        }
        Ok(vec![floats(q.dtype(), vec![batch, heads, queries, dv], &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let [q, mut k, mut v] = [cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?];
        if let Some(keys) = &self.keys {
            [k, v] = [k, v].map(|view| view.slice(2, &Expr::ZERO, keys, 1));
        }
        let width = q.dims[3].size.constant();
        let fits = width == v.dims[3].size.constant() && width.is_some_and(|w| WIDTHS.contains(&w));
        if !fits {
            return self.in_steps(cx, q, k, v);
        }
        let [q, k, v] = [in_vectors(cx, q)?, in_vectors(cx, k)?, in_vectors(cx, v)?];
        let padding = cx.has_input(3).then(|| self.padding(cx)).transpose()?;
        let place = cx.output(0)?;
        let beside = place.dims.len() != 4 || !fits_vectors(cx, &place);
        let out = if beside {
            cx.temporary("beside", place.elem, &cx.output_fact(0)?.shape)
        } else {
            place.clone()
        };
        let call = Call::new(self, [q, k, v], padding, out.clone())?;
        if call.q.dims[2].size.range().max.is_some_and(|n| n <= FEW) {
            call.decode(cx);
        } else {
            call.prefill(cx);
        }
        if beside { cx.copy(&out, &place) } else { Ok(()) }
    }
}

/// Head widths that the kernels have.
const WIDTHS: [i64; 8] = [16, 32, 64, 80, 96, 112, 128, 256];

/// Up to this many queries, keys are shared out over workgroups.
const FEW: i64 = 4;

/// Parts into which the keys of few queries are split.
const SPLITS: i64 = 8;

/// Keys that the kernels take at a time.
const TILE: i64 = 32;

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
        padding: Option<View>,
        out: View,
    ) -> Result<Self, OpError> {
        let (heads, shared) = (&q.dims[1].size, &k.dims[1].size);
        let group =
            heads.exact_div(shared).ok_or_else(|| invalid(format!("{heads} heads share {shared}")))?;
        let rows = &group * &q.dims[2].size;
        Ok(Self { op, q, k, v, padding, out, group, rows })
    }

    fn spec(&self, cx: &Lowering<'_>, kernel: &'static str, half_rows: i64) -> KernelSpec {
        let width = self.q.dims[3].size.constant().unwrap_or(0);
        KernelSpec::new(kernel)
            .with("ELEM", self.q.elem.wgsl())
            .with("D16", (width / 16).to_string())
            .with("HALF_ROWS", half_rows.to_string())
            .flag("PADDING", self.padding.is_some())
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
        params
    }

    fn slots(&self) -> Vec<(&'static str, Slot)> {
        let given = [("q", &self.q), ("k", &self.k), ("v", &self.v)];
        let padding = self.padding.iter().map(|p| ("mask", p));
        given.into_iter().chain(padding).map(|(name, view)| (name, Slot::View(view.clone()))).collect()
    }

    /// `ceil(rows / of a workgroup)` times `parts`, key heads, batch.
    fn grid(&self, half_rows: i64, parts: i64) -> Grid {
        let x = &self.rows.ceil_div(2 * half_rows) * &Expr::from(parts);
        Grid::Xyz([x, self.k.dims[1].size.clone(), self.k.dims[0].size.clone()])
    }

    /// The most `HALF_ROWS` that the registers hold. Twice as many spill on a Mali-G720, the GPU of 2 tokens a thread: up
    /// to 16 times at a width of 64, 7 times at 112 and 128, 3 times at 256; and on an Apple G13, of 4, 26 times at 256.
    fn most_half_rows(&self, cx: &Lowering<'_>) -> i64 {
        let width = self.q.dims[3].size.constant().unwrap_or(i64::MAX);
        match (cx.target().prefill.tokens, width) {
            (..=2, ..=96) => 4,
            (..=2, ..=128) => 2,
            (..=2, _) => 1,
            (..=4, 129..) => 4,
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

impl Attention {
    /// The padding `[batch, keys]` as the kernels read it.
    fn padding(&self, cx: &mut Lowering<'_>) -> Result<View, OpError> {
        let view = cx.shaped(3)?;
        let unit = view.dims[1].stride == Expr::ONE;
        if unit { Ok(view) } else { cx.contiguous(view) }
    }

    /// For head widths that the kernels do not have.
    fn in_steps(&self, cx: &mut Lowering<'_>, q: View, k: View, v: View) -> Result<(), OpError> {
        let mut steps = Steps::new(q, k, v)?;
        steps.dots(cx, self.scale, self.softcap)?;
        if let Some(past) = &self.causal {
            steps.hide_future(cx, past)?;
            if let Some(window) = &self.window {
                steps.hide_before(cx, past, window)?;
            }
        }
        if cx.has_input(3) {
            let padding = cx.shaped(3)?;
            steps.hide_padding(cx, &padding)?;
        }
        let weights = steps.weights(cx)?;
        let out = Destination::strided(cx, 0)?;
        steps.sum(cx, &weights, &out.view)?;
        out.finish(cx)
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str,
                [batch, heads, groups, queries, keys, d]: [usize; 6],
                op: Attention,
                padding: Option<&[f64]>| {
        let inputs = vec![
            Some(sample::floats(&[batch, heads, queries, d], 1)),
            Some(sample::floats(&[batch, groups, keys, d], 2)),
            Some(sample::floats(&[batch, groups, keys, d], 3)),
            padding.map(|p| sample::of(crate::dtype::DType::I64, &[batch, p.len() / batch], p)),
        ];
        Case::new(name, op, inputs)
    };
    let plain = Attention { scale: 0.125, softcap: 0.0, causal: None, window: None, keys: None };
    let causal = |past: i64| Attention { causal: Some(Expr::from(past)), ..plain.clone() };
    let roomy = Attention { keys: Some(Expr::from(7)), ..causal(4) };
    let left = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    vec![
        case("all visible", [1, 2, 2, 3, 5, 64], plain.clone(), None),
        case("shared heads", [2, 6, 2, 3, 5, 64], plain.clone(), None),
        case("causal", [1, 9, 3, 7, 7, 64], causal(0), None),
        case("causal, long", [1, 3, 1, 70, 133, 64], causal(63), None),
        case("one query", [1, 9, 3, 1, 37, 64], causal(36), None),
        case("one query, many keys", [1, 9, 3, 1, 1100, 64], causal(1099), None),
        case("left padding", [2, 2, 1, 5, 5, 64], causal(0), Some(&left)),
        case("window", [1, 2, 1, 9, 12, 64], Attention { window: Some(Expr::from(4)), ..causal(3) }, None),
        case("softcap", [1, 2, 1, 3, 5, 64], Attention { softcap: 0.5, ..causal(2) }, None),
        case("room for more keys", [1, 4, 2, 3, 12, 64], roomy.clone(), Some(&left[..7])),
        case("one query, room for more keys", [1, 4, 2, 1, 12, 64], roomy, None),
        case("narrow heads", [1, 2, 1, 3, 5, 16], causal(2), None),
        case("heads of 80", [1, 2, 1, 5, 40, 80], causal(35), None),
        case("heads of 112", [1, 2, 1, 5, 40, 112], causal(35), None),
        case("heads of 256", [1, 2, 1, 5, 40, 256], causal(35), None),
        case("few queries of many heads of 128", [1, 12, 1, 2, 40, 128], causal(38), None),
        case("few queries of many heads of 256", [1, 12, 1, 2, 40, 256], causal(38), None),
        case("a width without kernel", [1, 4, 2, 3, 5, 6], causal(2), None),
        case("a width without kernel, padding", [2, 2, 1, 5, 5, 6], causal(0), Some(&left)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use symbolic::Expr;

    use super::{Attention, Rule, weights};
    use crate::{host::HostTensor, op::Op};

    #[test]
    fn rules_by_hand() {
        let seen = |rule: Rule| (0..4).map(|j| rule.sees(1, j)).collect::<Vec<_>>();
        assert_eq!(seen(Rule { causal: Some(1), window: None }), [true, true, true, false]);
        assert_eq!(seen(Rule { causal: Some(1), window: Some(2) }), [false, true, true, false]);
        assert_eq!(seen(Rule { causal: None, window: None }), [true; 4]);
        assert_eq!(weights(&[None, None]), [0.0, 0.0]);
    }

    #[test]
    fn the_first_query_of_a_prompt_copies_the_first_value() {
        let of = |values: &[f32]| HostTensor::from_f32(vec![1, 1, 2, 2], values).unwrap();
        let (q, k, v) = (of(&[1.0, 0.0, 0.0, 1.0]), of(&[0.5, 1.0, -1.0, 1.0]), of(&[5.0, 6.0, 7.0, 8.0]));
        let op =
            Attention { scale: 1.0, softcap: 0.0, causal: Some(Expr::from(0)), window: None, keys: None };
        let out = op.reference(&[Some(&q), Some(&k), Some(&v)]).unwrap()[0].to_f32s();
        assert_eq!(out, [5.0, 6.0, 6.0, 7.0]);
    }
}
