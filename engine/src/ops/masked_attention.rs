//! Attention with any mask, by plain steps. Passes make the fused operator of it where the mask is a rule.

use symbolic::Expr;

use super::softmax;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, Op, Operator, made_by_passes,
        nd::{Positions, floats, given, optional},
        sample,
    },
};

#[path = "masked_attention/sizes.rs"]
mod sizes;
#[path = "masked_attention/steps.rs"]
mod steps;

pub use sizes::Sizes;
pub use steps::Steps;

/// Inputs: queries `[batch, heads, queries, width]`; keys and values `[batch, kv_heads, keys, width]`, each shared by
/// `heads / kv_heads` heads; on demand a mask, boolean or added, that broadcasts to `[batch, heads, queries, keys]`,
/// the number of keys in use, `[batch]`, and the position of the first query among the keys, `[1]`, known before the
/// run and 0 when left out. Outputs: the result `[batch, heads, queries, value width]`; the scores
/// `[batch, heads, queries, keys]`. A query that sees no key gets zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedAttention {
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// How many keys, its own included, a causal query sees backwards.
    pub window: Option<i64>,
    /// Factor of the scores; 1 / sqrt(width) when left out.
    pub scale: Option<f32>,
    /// Scores become `softcap * tanh(score / softcap)` before the mask; 0 for none.
    pub softcap: f32,
    /// What the scores of output 1 are.
    pub scores: Scores,
}

/// A stage of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// Before the mask.
    Bare,
    /// With the mask.
    Masked,
    /// Weights that sum to 1.
    Normal,
}

const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const MASK: usize = 3;
/// Number of keys in use.
pub const IN_USE: usize = 4;
/// Position of the first query.
pub const FIRST: usize = 5;

impl MaskedAttention {
    /// Factor of the scores for heads of this width.
    ///
    /// # Errors
    /// When it follows from the width, and that is not known.
    pub fn scale(&self, width: &Expr) -> Result<f32, OpError> {
        let known = width.constant().map(|w| 1.0 / (w as f64).sqrt());
        self.scale
            .map_or_else(|| known.map(|s| s as f32).ok_or_else(|| invalid("the width must be known")), Ok)
    }
}

impl Op for MaskedAttention {
    fn name(&self) -> &'static str {
        "MaskedAttention"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (q, k, v) = (cx.input(Q)?, cx.input(K)?, cx.input(V)?);
        let ([batch, heads, queries, width], [kb, kv_heads, keys, kd], [vb, vh, vk, vd]) =
            (q.shape.as_slice(), k.shape.as_slice(), v.shape.as_slice())
        else {
            return Err(invalid(format!("queries {q}, keys {k} and values {v} need 4 dimensions")));
        };
        cx.unify(width, "width of the queries", kd, "width of the keys")?;
        for (a, b) in [(kb, vb), (kv_heads, vh), (keys, vk)] {
            cx.unify(a, "keys", b, "values")?;
        }
        cx.unify(batch, "batch of the queries", kb, "batch of the keys")?;
        let out = [batch, heads, queries, vd].map(Clone::clone).to_vec();
        let scores = [batch, heads, queries, keys].map(Clone::clone).to_vec();
        Ok([out, scores].map(|s| Fact::new(q.dtype, s)).to_vec())
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (q, k, v) = (given(inputs, Q)?, given(inputs, K)?, given(inputs, V)?);
        let Sizes { batch, heads, groups, queries, keys, d, dv } = Sizes::of(q, k, v)?;
        let bias = self.added(inputs, [batch, heads, queries, keys])?;
        let scale = f64::from(self.scale(&Expr::from(d))?);
        let (x, y, z) = (q.to_f64s(), k.to_f64s(), v.to_f64s());
        let (mut all, mut scores) = (Vec::new(), Vec::new());
        for row in 0..batch * heads * queries {
            let (b, h) = (row / (heads * queries), row / queries % heads);
            let first = (b * groups + h / (heads / groups)) * keys;
            let dot = |j: usize| (0..d).map(|c| x[row * d + c] * y[(first + j) * d + c]).sum::<f64>() * scale;
            let cap = f64::from(self.softcap);
            let bare = |j: usize| if cap > 0.0 { cap * (dot(j) / cap).tanh() } else { dot(j) };
            let bare: Vec<f64> = (0..keys).map(bare).collect();
            let masked: Vec<f64> = bare.iter().zip(&bias[row * keys..]).map(|(s, b)| s + b).collect();
            let mut normal = softmax::softmax(&masked, false);
            if masked.iter().all(|s| *s == f64::NEG_INFINITY) {
                normal.fill(0.0);
            }
            all.extend((0..dv).map(|c| (0..keys).map(|j| normal[j] * z[(first + j) * dv + c]).sum::<f64>()));
            scores.extend(match self.scores {
                Scores::Bare => bare,
                Scores::Masked => masked,
                Scores::Normal => normal,
            });
        }
        let out = floats(q.dtype(), vec![batch, heads, queries, dv], &all)?;
        Ok(vec![out, floats(q.dtype(), vec![batch, heads, queries, keys], &scores)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let [q, k, v] = [cx.shaped(Q)?, cx.shaped(K)?, cx.shaped(V)?];
        let scale = self.scale(&q.dims[3].size)?;
        let first = if cx.has_input(FIRST) { cx.content(FIRST)?.first().cloned() } else { None };
        let first = first.unwrap_or_default();
        let mut steps = Steps::new(q, k, v)?;
        steps.dots(cx, scale, self.softcap)?;
        let bare = steps.scores.clone();
        if cx.has_input(MASK) {
            let (mask, boolean) = (cx.shaped(MASK)?, cx.fact(MASK)?.dtype == DType::Bool);
            steps.mask(cx, mask, boolean)?;
        }
        if self.causal {
            steps.hide_future(cx, &first)?;
            if let Some(window) = self.window {
                steps.hide_before(cx, &first, &Expr::from(window))?;
            }
        }
        if cx.has_input(IN_USE) {
            let used = cx.shaped(IN_USE)?;
            steps.hide_behind(cx, used)?;
        }
        let masked = steps.scores.clone();
        let normal = steps.weights(cx)?;
        if let Ok(whole) = cx.output_fact(1).map(|f| f.shape.clone()) {
            let kept = match self.scores {
                Scores::Bare => bare,
                Scores::Masked => masked,
                Scores::Normal => normal.clone(),
            };
            let kept = cx.reshaped(kept, &whole)?;
            cx.alias(1, kept)?;
        }
        let out = Destination::strided(cx, 0)?;
        steps.sum(cx, &normal, &out.view)?;
        out.finish(cx)
    }
}

impl MaskedAttention {
    /// What is added to the scores of the given shape: mask, causal rule, and keys in use.
    fn added(&self, inputs: &[Option<&HostTensor>], shape: [usize; 4]) -> Result<Vec<f64>, OpError> {
        let [_, heads, queries, keys] = shape;
        let mut bias = vec![0.0; shape.iter().product()];
        if let Some(mask) = optional(inputs, MASK) {
            let own = mask.shape().last().copied().unwrap_or(1);
            let boolean = mask.dtype() == DType::Bool;
            let mut wide = shape;
            wide[3] = if own == 1 && keys == 1 { 1 } else { own.min(keys) };
            let at = Positions::all(mask.shape()).broadcast(&[wide[0], wide[1], wide[2], wide[3]])?.list();
            let data = mask.to_f64s();
            bias.fill(f64::NEG_INFINITY);
            for (n, at) in at.into_iter().enumerate() {
                let value =
                    if boolean { if data[at] == 0.0 { f64::NEG_INFINITY } else { 0.0 } } else { data[at] };
                bias[n / wide[3] * keys + n % wide[3]] = value;
            }
        }
        let first = optional(inputs, FIRST).and_then(|t| t.to_i64s().first().copied()).unwrap_or(0);
        let in_use = optional(inputs, IN_USE).map(HostTensor::to_i64s);
        for (n, value) in bias.iter_mut().enumerate() {
            let (batch, query, key) = (n / (heads * queries * keys), n / keys % queries, n % keys);
            let (own, at) = (query as i64 + first, key as i64);
            let seen = !self.causal || at <= own && self.window.is_none_or(|w| at > own - w);
            let unused =
                in_use.as_ref().is_some_and(|list| list.get(batch).is_none_or(|used| key as i64 >= *used));
            if !seen || unused {
                *value = f64::NEG_INFINITY;
            }
        }
        Ok(bias)
    }
}

fn case(
    name: &str,
    op: MaskedAttention,
    shapes: &[&[usize]],
    mask: Option<HostTensor>,
    rest: Vec<Option<HostTensor>>,
) -> Case {
    let mut inputs: Vec<_> = shapes.iter().zip(1..).map(|(s, seed)| Some(sample::floats(s, seed))).collect();
    inputs.push(mask);
    inputs.extend(rest);
    Case::new(name, op, inputs)
}

fn cases() -> Vec<Case> {
    let plain =
        MaskedAttention { causal: false, window: None, scale: None, softcap: 0.0, scores: Scores::Bare };
    let causal = MaskedAttention { causal: true, ..plain.clone() };
    let window = MaskedAttention { window: Some(2), ..causal.clone() };
    let first = || vec![None, Some(sample::of(DType::I64, &[1], &[2.0]))];
    let four: [&[usize]; 3] = [&[2, 4, 3, 8], &[2, 4, 5, 8], &[2, 4, 5, 6]];
    let shared: [&[usize]; 3] = [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 8]];
    let boolean =
        sample::of(DType::Bool, &[3, 5], &[1., 1., 0., 1., 0., 1., 0., 1., 1., 1., 1., 1., 1., 0., 0.]);
    let nothing =
        sample::of(DType::Bool, &[3, 5], &[0., 0., 0., 0., 0., 1., 0., 1., 1., 1., 1., 1., 1., 0., 0.]);
    let used = sample::of(DType::I64, &[2], &[3.0, 5.0]);
    vec![
        case("no mask", plain.clone(), &four, None, vec![]),
        case("causal", causal.clone(), &four, None, vec![]),
        case(
            "shared heads, capped",
            MaskedAttention { softcap: 2.0, scale: Some(0.3), ..plain.clone() },
            &shared,
            None,
            vec![],
        ),
        case("a boolean mask", plain.clone(), &shared, Some(boolean), vec![]),
        case(
            "an added mask for each head",
            plain.clone(),
            &shared,
            Some(sample::floats(&[1, 4, 3, 5], 9)),
            vec![],
        ),
        case("a narrow mask", plain.clone(), &shared, Some(sample::floats(&[3, 4], 9)), vec![]),
        case("causal, behind others", causal.clone(), &shared, None, first()).constants(&[FIRST]),
        case("a window", window, &shared, None, first()).constants(&[FIRST]),
        case("no key for a query", plain.clone(), &shared, Some(nothing), vec![]),
        case("keys in use", plain, &four, None, vec![Some(used)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
