//! Attention as passes make it: `softmax(scale * q k^T + mask) v`, with shared key heads and the mask as a rule.

use symbolic::Expr;

use super::masked_attention::{Sizes, Steps};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, Op, Operator, View, converted, made_by_passes,
        nd::{Positions, floats, given, optional},
        sample,
    },
};

#[path = "attention/fused.rs"]
mod fused;
#[path = "attention/kernels.rs"]
mod kernels;

/// Inputs: q `[batch, heads, queries, head_dim]`, k and v `[batch, kv_heads, keys, head_dim]`, and, on demand, padding
/// `[batch, keys]`, 0 for keys that nobody sees, and a bias of the scores that broadcasts to `[batch, heads, queries,
/// keys]`; one of -1e30 or less hides the key. A query that sees no key gets zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Factor of the scores.
    pub scale: f32,
    /// Scores become `softcap * tanh(score / softcap)` before the bias; 0 for none.
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

/// Scores from here down have no weight.
const HIDDEN: f64 = -1e30;
/// Which keys are padding.
const PADDING: usize = 3;
/// What is added to the scores.
const BIAS: usize = 4;

/// A bias for each row of scores `[batch, heads, queries, keys]`, which may have more columns than there are keys in use.
fn added(bias: &HostTensor, mut scores: [usize; 4]) -> Result<Vec<f64>, OpError> {
    if let Some(own) = bias.shape().last().filter(|own| **own != 1) {
        scores[3] = *own;
    }
    let data = bias.to_f64s();
    let at = Positions::all(bias.shape()).broadcast(&scores)?.list();
    Ok(at.into_iter().map(|at| data[at]).collect())
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
        if let Some(padding) = cx.optional(PADDING) {
            let keys = self.keys.as_ref().unwrap_or(&k.shape[2]);
            for (a, b) in [&k.shape[0], keys].into_iter().zip(&padding.shape) {
                cx.unify(a, "keys", b, "padding")?;
            }
        }
        if let Some(bias) = cx.optional(BIAS) {
            let room = &k.shape[2];
            let own = [&q.shape[0], &q.shape[1], &q.shape[2], self.keys.as_ref().unwrap_or(room)];
            let extra = 4usize.checked_sub(bias.rank());
            let extra = extra.ok_or_else(|| invalid(format!("the bias of the scores is {bias}")))?;
            for (size, own) in bias.shape.iter().zip(&own[extra..]) {
                if size.constant() != Some(1) && size != room {
                    cx.unify(size, "bias", own, "scores")?;
                }
            }
        }
        let mut shape = q.shape.clone();
        shape[3] = v.shape[3].clone();
        Ok(vec![Fact::new(q.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (q, k, v, rule) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?, self.rule()?);
        let Sizes { batch, heads, groups, queries, keys, d, dv } = Sizes::of(q, k, v)?;
        let padding = optional(inputs, PADDING).map(HostTensor::to_i64s);
        let bias = optional(inputs, BIAS).map(|b| added(b, [batch, heads, queries, keys])).transpose()?;
        let (x, y, z) = (q.to_f64s(), k.to_f64s(), v.to_f64s());
        let in_use = self.keys.as_ref().and_then(Expr::constant).unwrap_or(i64::MAX);
        let rows = batch * heads * queries;
        let mut all = Vec::with_capacity(rows * dv);
        for row in 0..rows {
            let (b, h, i) = (row / (heads * queries), row / queries % heads, row % queries);
            let first = (b * groups + h / (heads / groups)) * keys;
            let query = &x[row * d..(row + 1) * d];
            let score = |j: usize| {
                let shown = || padding.as_ref().is_none_or(|p| p[b * (p.len() / batch) + j] != 0);
                let seen = (j as i64) < in_use && rule.sees(i, j) && shown();
                let key = &y[(first + j) * d..(first + j + 1) * d];
                let added = || bias.as_ref().map_or(0.0, |all| all[row * (all.len() / rows) + j]);
                let score = || self.score(query.iter().zip(key).map(|(a, b)| a * b).sum()) + added();
                seen.then(score).filter(|score| *score > HIDDEN)
            };
            let weights = weights(&(0..keys).map(score).collect::<Vec<_>>());
            all.extend((0..dv).map(|c| (0..keys).map(|j| weights[j] * z[(first + j) * dv + c]).sum::<f64>()));
        }
        Ok(vec![floats(q.dtype(), vec![batch, heads, queries, dv], &all)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let [q, mut k, mut v] = [cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?];
        if let Some(keys) = &self.keys {
            [k, v] = [k, v].map(|view| view.slice(2, &Expr::ZERO, keys, 1));
        }
        if fused::fits(&q, &v) {
            return fused::lower(self, cx, [q, k, v]);
        }
        let [k, v] = [converted(cx, k, q.elem)?, converted(cx, v, q.elem)?];
        self.in_steps(cx, q, k, v)
    }
}

impl Attention {
    /// For head widths that the kernels do not have.
    fn in_steps(&self, cx: &mut Lowering<'_>, q: View, k: View, v: View) -> Result<(), OpError> {
        let keys = k.dims[2].size.clone();
        let mut steps = Steps::new(q, k, v)?;
        steps.dots(cx, self.scale, self.softcap)?;
        if let Some(past) = &self.causal {
            steps.hide_future(cx, past)?;
            if let Some(window) = &self.window {
                steps.hide_before(cx, past, window)?;
            }
        }
        if cx.has_input(BIAS) {
            let mut bias = cx.shaped(BIAS)?;
            if let Some(last) = bias.dims.len().checked_sub(1).filter(|at| bias.dims[*at].size != Expr::ONE) {
                bias = bias.slice(last, &Expr::ZERO, &keys, 1);
            }
            steps.mask(cx, bias, false)?;
        }
        if cx.has_input(PADDING) {
            let padding = cx.shaped(PADDING)?;
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
    let biased = |name: &str, sizes, op: Attention, shape: &[usize], padding: Option<&[f64]>| {
        let mut case = case(name, sizes, op, padding);
        case.inputs.push(Some(sample::floats(shape, 4)));
        case
    };
    let plain = Attention { scale: 0.125, softcap: 0.0, causal: None, window: None, keys: None };
    let causal = |past: i64| Attention { causal: Some(Expr::from(past)), ..plain.clone() };
    let roomy = Attention { keys: Some(Expr::from(7)), ..causal(4) };
    let capped = Attention { softcap: 0.5, ..causal(2) };
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
        case("softcap", [1, 2, 1, 3, 5, 64], capped.clone(), None),
        case("room for more keys", [1, 4, 2, 3, 12, 64], roomy.clone(), Some(&left[..7])),
        case("one query, room for more keys", [1, 4, 2, 1, 12, 64], roomy.clone(), None),
        biased("a bias for each head and query", [1, 4, 2, 5, 7, 64], causal(2), &[4, 5, 7], None),
        biased("a bias for each key", [2, 4, 2, 3, 7, 64], plain.clone(), &[1, 4, 1, 7], None),
        biased(
            "a bias, one query, left padding",
            [2, 4, 1, 1, 5, 64],
            plain.clone(),
            &[1, 4, 1, 5],
            Some(&left),
        ),
        biased(
            "a bias, capped, left padding",
            [2, 2, 1, 5, 5, 64],
            capped.clone(),
            &[2, 1, 5, 5],
            Some(&left),
        ),
        biased("a bias for all the room", [1, 4, 2, 3, 12, 64], roomy.clone(), &[4, 1, 12], None),
        biased("a bias for the keys in use", [1, 4, 2, 3, 12, 64], roomy.clone(), &[4, 3, 7], None),
        biased(
            "a bias for all the room, a width without kernel",
            [1, 4, 2, 3, 12, 6],
            roomy.clone(),
            &[3, 12],
            None,
        ),
        biased("a bias, a width without kernel", [1, 4, 2, 3, 5, 6], capped, &[4, 3, 5], None),
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
