//! LinearAttention: a state matrix for each head, which every step decays, writes to and reads from.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, View,
        nd::{floats, given, optional},
        sample, standard,
    },
};

/// Inputs: queries, keys and values `[batch, steps, heads * width]`; past state `[batch, kv_heads, keys, values]`; decay,
/// logarithms, `[batch, steps, kv_heads]` or `[batch, steps, kv_heads * keys]`; beta `[batch, steps, kv_heads or 1]`. Outputs:
/// the result in the form of the queries, the state behind the last step. Decay and beta are used where they are given.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttention {
    heads: i64,
    kv_heads: i64,
    /// Whether what the state has for a key is taken off the value that is written.
    delta: bool,
    /// Factor of the result; 0 for 1 / sqrt(keys).
    scale: f32,
}

const PAST: usize = 3;
const DECAY: usize = 4;
const BETA: usize = 5;

/// Sizes of one call.
struct Sizes<T> {
    batch: T,
    steps: T,
    /// Rows of the state.
    keys: T,
    /// Columns of the state.
    values: T,
}

impl LinearAttention {
    /// From the shapes of queries and values.
    fn sizes<T: Clone>(
        &self,
        q: &[T],
        v: &[T],
        split: impl Fn(&T, i64) -> Option<T>,
    ) -> Result<Sizes<T>, OpError> {
        let ([batch, steps, q], [_, _, v]) = (q, v) else {
            return Err(invalid("queries and values are not [batch, steps, heads * width]"));
        };
        let wrong = |what| move || invalid(format!("the width of the {what} is no multiple of their heads"));
        let keys = split(q, self.heads).ok_or_else(wrong("queries"))?;
        let values = split(v, self.kv_heads).ok_or_else(wrong("values"))?;
        Ok(Sizes { batch: batch.clone(), steps: steps.clone(), keys, values })
    }

    fn sizes_of(&self, q: &Fact, v: &Fact) -> Result<Sizes<Expr>, OpError> {
        self.sizes(&q.shape, &v.shape, |size, heads| {
            (size.multiple_of() % heads == 0).then(|| size.floor_div(heads))
        })
    }

    fn scale(&self, keys: f64) -> f64 {
        if self.scale == 0.0 { 1.0 / keys.sqrt() } else { f64::from(self.scale) }
    }
}

impl Op for LinearAttention {
    fn name(&self) -> &'static str {
        "LinearAttention"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (q, v) = (cx.input(0)?, cx.input(2)?);
        let Sizes { batch, steps, keys, values } = self.sizes_of(q, v)?;
        let flat = |width: Expr| vec![batch.clone(), steps.clone(), width];
        let state = vec![batch.clone(), self.kv_heads.into(), keys.clone(), values.clone()];
        cx.expect(1, "key", &flat(&keys * self.kv_heads))?;
        cx.expect(2, "value", &flat(&values * self.kv_heads))?;
        cx.expect(PAST, "past state", &state)?;
        let wide = cx.optional(DECAY).and_then(|f| f.shape.last()) != Some(&self.kv_heads.into());
        let width = if wide { &keys * self.kv_heads } else { self.kv_heads.into() };
        cx.expect(DECAY, "decay", &flat(width))?;
        let wide = cx.optional(BETA).and_then(|f| f.shape.last()) != Some(&Expr::ONE);
        cx.expect(BETA, "beta", &flat(if wide { self.kv_heads.into() } else { Expr::ONE }))?;
        let held = cx.optional(PAST).map_or(q.dtype, |past| past.dtype);
        Ok(vec![Fact::new(q.dtype, flat(&values * self.heads)), Fact::new(held, state)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (q, k, v) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let split = |size: &usize, heads: i64| {
            let heads = heads as usize;
            size.is_multiple_of(heads).then(|| size / heads)
        };
        let Sizes { batch, steps, keys, values } = self.sizes(q.shape(), v.shape(), split)?;
        let (heads, kv_heads) = (self.heads as usize, self.kv_heads as usize);
        let group = heads / kv_heads;
        let past = optional(inputs, PAST);
        let mut state = past.map_or_else(|| vec![0.0; batch * kv_heads * keys * values], HostTensor::to_f64s);
        let (queries, all_keys, all_values) = (q.to_f64s(), k.to_f64s(), v.to_f64s());
        let decay = optional(inputs, DECAY).map(|d| (d.to_f64s(), d.shape()[2]));
        let beta = optional(inputs, BETA).map(|b| (b.to_f64s(), b.shape()[2]));
        let mut out = vec![0.0; batch * steps * heads * values];
        for (b, t, h) in triples(batch, steps, kv_heads) {
            let step = b * steps + t;
            let row = step * kv_heads + h;
            let s = &mut state[(b * kv_heads + h) * keys * values..][..keys * values];
            if let Some((decay, width)) = &decay {
                for (n, x) in s.iter_mut().enumerate() {
                    let at = if *width == kv_heads { row } else { row * keys + n / values };
                    *x *= decay[at].exp();
                }
            }
            let key = &all_keys[row * keys..][..keys];
            for m in 0..values {
                let mut written = all_values[row * values + m];
                if self.delta {
                    let recalled: f64 = (0..keys).map(|n| s[n * values + m] * key[n]).sum();
                    let rate = beta.as_ref().map_or(1.0, |(list, width)| list[step * width + h % width]);
                    written = rate * (written - recalled);
                }
                for n in 0..keys {
                    s[n * values + m] += key[n] * written;
                }
                for g in 0..group {
                    let at = row * group + g;
                    let query = &queries[at * keys..][..keys];
                    let read: f64 = (0..keys).map(|n| query[n] * s[n * values + m]).sum();
                    out[at * values + m] = self.scale(keys as f64) * read;
                }
            }
        }
        let held = past.map_or(q.dtype(), HostTensor::dtype);
        Ok(vec![
            floats(q.dtype(), vec![batch, steps, heads * values], &out)?,
            floats(held, vec![batch, kv_heads, keys, values], &state)?,
        ])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let Sizes { batch, steps, keys, values } = self.sizes_of(cx.fact(0)?, cx.fact(2)?)?;
        let (q, k, v) = (cx.row_major(0)?, cx.row_major(1)?, cx.row_major(2)?);
        let number = |width: &Expr| Param::Int(width.clone());
        let beta_heads = if cx.has_input(BETA) { cx.fact(BETA)?.shape[2].clone() } else { Expr::ONE };
        let by = match cx.has_input(DECAY).then(|| cx.fact(DECAY)).transpose()? {
            None => "none",
            Some(fact) if fact.shape[2] == self.kv_heads.into() => "heads",
            Some(_) => "channels",
        };
        let out = Destination::contiguous(cx, 0)?;
        let present = Destination::of(cx, 1, |view| view.is_contiguous() && view.elem == Elem::F32)?;
        let state = if present.view.elem == Elem::F32 {
            present.view.clone()
        } else {
            cx.temporary("state", Elem::F32, &present.view.shape())
        };
        if cx.has_input(PAST) {
            let past = cx.shaped(PAST)?;
            cx.copy(&past, &state)?;
        }
        let scale = match keys.constant() {
            Some(keys) => self.scale(keys as f64) as f32,
            None if self.scale != 0.0 => self.scale,
            None => return Err(OpError::Unsupported("keys of a width that is not known".into())),
        };
        let columns = &(&batch * self.kv_heads) * &values;
        let spec = KernelSpec::new("linear_attention")
            .with("ELEM", out.view.elem.wgsl())
            .with("DECAY", by)
            .flag("DELTA", self.delta)
            .flag("PAST", cx.has_input(PAST));
        let slot = |view: &View| Slot::View(view.clone());
        let mut slots = vec![
            ("q", slot(&q)),
            ("k", slot(&k)),
            ("v", slot(&v)),
            ("state", slot(&state)),
            ("out", slot(&out.view)),
        ];
        for (name, index) in [("decay", DECAY), ("beta", BETA)] {
            if cx.has_input(index) {
                slots.push((name, Slot::View(cx.row_major(index)?)));
            }
        }
        let params = vec![
            ("columns", number(&columns)),
            ("steps", number(&steps)),
            ("heads", Param::Int(self.kv_heads.into())),
            ("group", Param::Int((self.heads / self.kv_heads).into())),
            ("keys", number(&keys)),
            ("values", number(&values)),
            ("beta_heads", number(&beta_heads)),
            ("scale", Param::Float(scale)),
        ];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(columns.ceil_div(64)) });
        if !state.is_same(&present.view) {
            cx.copy(&state, &present.view)?;
        }
        out.finish(cx)?;
        present.finish(cx)
    }
}

/// Every batch, step and head, steps in their order.
fn triples(batch: usize, steps: usize, heads: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch * steps * heads).map(move |n| (n / heads / steps, n / heads % steps, n % heads))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let heads = |name: &str| {
        let count = node.int(name)?.filter(|n| (1..1 << 16).contains(n));
        count.ok_or_else(|| invalid(format!("attribute {name:?} is missing, or no number of heads")))
    };
    let (heads, kv_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    if heads % kv_heads != 0 {
        return Err(invalid(format!("{heads} heads of queries do not share {kv_heads} of keys evenly")));
    }
    let rule = node.string("update_rule")?.unwrap_or("gated_delta");
    let (gated, delta) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(invalid(format!("update_rule {other:?} is not known"))),
    };
    if node.has_input(DECAY) != gated || node.has_input(BETA) != delta {
        return Err(invalid(format!("decay and beta are not the inputs that update_rule {rule:?} takes")));
    }
    Ok(Arc::new(LinearAttention { heads, kv_heads, delta, scale: node.float_or("scale", 0.0)? }))
}

fn cases() -> Vec<Case> {
    let (batch, steps, keys, values) = (2, 3, 4, 6);
    let case =
        |name: &str, [heads, kv_heads]: [usize; 2], past: bool, decay: Option<usize>, beta: Option<usize>| {
            let unit = |shape: &[usize], seed| sample::floats_in(shape, seed, -0.5, 0.5);
            let inputs = vec![
                Some(unit(&[batch, steps, heads * keys], 1)),
                Some(unit(&[batch, steps, kv_heads * keys], 2)),
                Some(unit(&[batch, steps, kv_heads * values], 3)),
                past.then(|| unit(&[batch, kv_heads, keys, values], 4)),
                decay.map(|width| sample::floats_in(&[batch, steps, width], 5, -1.0, 0.0)),
                beta.map(|width| sample::floats_in(&[batch, steps, width], 6, 0.0, 1.0)),
            ];
            let (delta, scale) = (beta.is_some(), if past { 0.5 } else { 0.0 });
            let op = LinearAttention { heads: heads as i64, kv_heads: kv_heads as i64, delta, scale };
            Case::new(name, op, inputs)
        };
    vec![
        case("linear", [2, 2], false, None, None),
        case("linear, past state", [2, 2], true, None, None),
        case("gated by head", [2, 2], true, Some(2), None),
        case("gated by channel, shared keys", [4, 2], false, Some(8), None),
        case("delta", [2, 2], true, None, Some(2)),
        case("gated delta, one rate", [6, 2], true, Some(2), Some(1)),
        case("gated delta by channel", [2, 2], false, Some(8), Some(2)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("LinearAttention", 27..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{LinearAttention, sample};
    use crate::{dtype::DType, op::Op};

    #[test]
    fn the_delta_rule_by_hand() {
        let op = LinearAttention { heads: 1, kv_heads: 1, delta: true, scale: 1.0 };
        let of = |shape: &[usize], values: &[f64]| sample::of(DType::F32, shape, values);
        // One key and one value: the second write only adds half of what is missing.
        let inputs = [of(&[1, 2, 1], &[1.0, 3.0]), of(&[1, 2, 1], &[1.0, 1.0]), of(&[1, 2, 1], &[2.0, 6.0])];
        let beta = of(&[1, 2, 1], &[1.0, 0.5]);
        let [q, k, v] = &inputs;
        let found = op.reference(&[Some(q), Some(k), Some(v), None, None, Some(&beta)]).unwrap();
        assert_eq!((found[0].to_f64s(), found[1].to_f64s()), (vec![2.0, 12.0], vec![4.0]));
    }
}
