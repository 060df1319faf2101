//! Attention of ONNX 23 and 24, in all its forms, by plain steps. Passes make the fused operator of it where it fits.

use std::sync::Arc;

use symbolic::Expr;

use super::softmax;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, View,
        nd::{Positions, floats, given, optional, pick},
        sample, standard,
    },
};

#[path = "onnx_attention/steps.rs"]
mod steps;

pub use steps::Steps;

/// Inputs: queries, keys and values, `[batch, heads, positions, width]` or `[batch, positions, heads * width]`; mask,
/// boolean or added, that broadcasts to `[batch, heads, queries, keys]`; past keys and values; keys in use per batch.
/// Outputs: the result, present keys and values, scores. A query that sees no key gets zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxAttention {
    /// Whether key `j` is visible to query `i` only if `j <= i + past`.
    pub is_causal: bool,
    /// Factor of the scores; 1 / sqrt(width) when left out.
    pub scale: Option<f32>,
    /// Scores become `softcap * tanh(score / softcap)` before the mask; 0 for none.
    pub softcap: f32,
    /// Heads of 3-dimensional queries.
    pub heads: usize,
    /// Heads of 3-dimensional keys and values.
    pub kv_heads: usize,
    /// What the scores of output 3 are.
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
const PAST_KEY: usize = 4;
const PAST_VALUE: usize = 5;
const IN_USE: usize = 6;

impl OnnxAttention {
    fn heads_of(&self, index: usize) -> usize {
        if index == Q { self.heads } else { self.kv_heads }
    }

    /// `[batch, heads, positions, width]` of an input of either form.
    fn headed(&self, shape: &[Expr], index: usize) -> Result<[Expr; 4], OpError> {
        match shape {
            [b, h, s, d] => Ok([b, h, s, d].map(Clone::clone)),
            [b, s, hidden] if self.heads_of(index) > 0 => {
                let heads = Expr::from(self.heads_of(index));
                let width =
                    hidden.exact_div(&heads).ok_or_else(|| invalid(format!("{hidden} in {heads} heads")))?;
                Ok([b.clone(), heads, s.clone(), width])
            }
            _ => Err(invalid(format!("input {index} needs 4 dimensions, or 3 and a number of heads"))),
        }
    }

    fn scale(&self, width: &Expr) -> Result<f32, OpError> {
        let known = width.constant().map(|w| 1.0 / (w as f64).sqrt());
        self.scale
            .map_or_else(|| known.map(|s| s as f32).ok_or_else(|| invalid("the width must be known")), Ok)
    }
}

impl Op for OnnxAttention {
    fn name(&self) -> &'static str {
        "OnnxAttention"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let fact = cx.input(Q)?;
        let [batch, heads, queries, width] = self.headed(&fact.shape, Q)?;
        let key = self.headed(&cx.input(K)?.shape, K)?;
        let mut present = [key.clone(), self.headed(&cx.input(V)?.shape, V)?];
        cx.unify(&width, "width of the queries", &key[3], "width of the keys")?;
        for (at, past) in [PAST_KEY, PAST_VALUE].into_iter().enumerate() {
            if let Some(past) = cx.optional(past) {
                present[at][2] = past.shape.get(2).ok_or_else(|| invalid("past keys need 4 dimensions"))?
                    + &present[at][2];
            }
        }
        let value_width = present[1][3].clone();
        let mut shape = vec![batch.clone(), heads.clone(), queries.clone(), value_width.clone()];
        if fact.rank() == 3 {
            shape = vec![batch.clone(), queries.clone(), &heads * &value_width];
        }
        let scores = vec![batch, heads, queries, present[0][2].clone()];
        let [key, value] = present.map(|p| p.to_vec());
        Ok([shape, key, value, scores].map(|s| Fact::new(fact.dtype, s)).to_vec())
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let three = given(inputs, Q)?.shape().len() == 3;
        let q = self.split(given(inputs, Q)?, Q)?;
        let k = behind(optional(inputs, PAST_KEY), self.split(given(inputs, K)?, K)?)?;
        let v = behind(optional(inputs, PAST_VALUE), self.split(given(inputs, V)?, V)?)?;
        let past = optional(inputs, PAST_KEY).map_or(0, |t| t.shape()[2]);
        let (&[batch, heads, queries, d], &[_, groups, keys, dv]) = (q.shape(), v.shape()) else {
            return Err(invalid("an input has not 4 dimensions"));
        };
        if k.shape() != [batch, groups, keys, d] || groups == 0 || heads % groups != 0 {
            return Err(invalid(format!(
                "shapes {:?}, {:?}, {:?} do not fit",
                q.shape(),
                k.shape(),
                v.shape()
            )));
        }
        let bias = added(inputs, [batch, heads, queries, keys], self.is_causal.then_some(past))?;
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
        let dtype = q.dtype();
        let mut out = floats(dtype, vec![batch, heads, queries, dv], &all)?;
        if three {
            out = swapped(&out)?.reshape(vec![batch, queries, heads * dv])?;
        }
        Ok(vec![out, k, v, floats(dtype, vec![batch, heads, queries, keys], &scores)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let q = self.split_view(cx, Q)?;
        let k = self.present(cx, K, PAST_KEY, 1)?;
        let v = self.present(cx, V, PAST_VALUE, 2)?;
        let scale = self.scale(&q.dims[3].size)?;
        let mut steps = Steps::new(q, k, v)?;
        steps.dots(cx, scale, self.softcap)?;
        let bare = steps.scores.clone();
        if cx.has_input(MASK) {
            let (mask, boolean) = (cx.shaped(MASK)?, cx.fact(MASK)?.dtype == DType::Bool);
            steps.mask(cx, mask, boolean)?;
        }
        if self.is_causal {
            let past = if cx.has_input(PAST_KEY) { cx.fact(PAST_KEY)?.shape[2].clone() } else { Expr::ZERO };
            steps.hide_future(cx, &past)?;
        }
        if cx.has_input(IN_USE) {
            let used = cx.shaped(IN_USE)?;
            steps.hide_behind(cx, used)?;
        }
        let masked = steps.scores.clone();
        let normal = steps.weights(cx)?;
        if let Ok(whole) = cx.output_fact(3).map(|f| f.shape.clone()) {
            let kept = match self.scores {
                Scores::Bare => bare,
                Scores::Masked => masked,
                Scores::Normal => normal.clone(),
            };
            let kept = cx.reshaped(kept, &whole)?;
            cx.alias(3, kept)?;
        }
        let out = Destination::strided(cx, 0)?;
        let mut to = out.view.clone();
        if let [batch, seq, hidden] = to.shape().as_slice() {
            let heads = Expr::from(self.heads);
            let width =
                hidden.exact_div(&heads).ok_or_else(|| invalid(format!("{hidden} in {heads} heads")))?;
            let split = to.reshape(&[batch.clone(), seq.clone(), heads, width]);
            to = split
                .ok_or_else(|| invalid("the output cannot be split into heads"))?
                .transpose(&[0, 2, 1, 3]);
        }
        steps.sum(cx, &normal, &to)?;
        out.finish(cx)
    }
}

/// `[a, b, c, d]` as `[a, c, b, d]`.
fn swapped(t: &HostTensor) -> Result<HostTensor, OpError> {
    let all = Positions::all(t.shape());
    let dims: Vec<_> = [0, 2, 1, 3].iter().map(|a| all.dims[*a]).collect();
    let shape = dims.iter().map(|d| d.0).collect();
    pick(t, shape, &Positions { offset: 0, dims }.list())
}

/// Past positions, then new ones.
fn behind(past: Option<&HostTensor>, new: HostTensor) -> Result<HostTensor, OpError> {
    let Some(past) = past else { return Ok(new) };
    Ok(super::concat::Concat { axis: 2 }.reference(&[Some(past), Some(&new)])?.swap_remove(0))
}

/// What is added to the scores: mask, causal rule with this past, and keys in use.
fn added(
    inputs: &[Option<&HostTensor>],
    shape: [usize; 4],
    causal: Option<usize>,
) -> Result<Vec<f64>, OpError> {
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
    let in_use = optional(inputs, IN_USE).map(HostTensor::to_i64s);
    for (n, value) in bias.iter_mut().enumerate() {
        let (batch, query, key) = (n / (heads * queries * keys), n / keys % queries, n % keys);
        let future = causal.is_some_and(|past| key > query + past);
        let unused =
            in_use.as_ref().is_some_and(|list| list.get(batch).is_none_or(|used| key as i64 >= *used));
        if future || unused {
            *value = f64::NEG_INFINITY;
        }
    }
    Ok(bias)
}

impl OnnxAttention {
    fn split(&self, t: &HostTensor, index: usize) -> Result<HostTensor, OpError> {
        match *t.shape() {
            [_, _, _, _] => Ok(t.clone()),
            [b, s, hidden] if self.heads_of(index) > 0 && hidden % self.heads_of(index) == 0 => {
                let heads = self.heads_of(index);
                swapped(&t.clone().reshape(vec![b, s, heads, hidden / heads])?)
            }
            _ => Err(invalid(format!("input {index} needs 4 dimensions, or 3 and a number of heads"))),
        }
    }

    /// An input as `[batch, heads, positions, width]`.
    fn split_view(&self, cx: &mut Lowering<'_>, index: usize) -> Result<View, OpError> {
        let view = cx.shaped(index)?;
        let [b, h, s, d] = self.headed(&cx.fact(index)?.shape, index)?;
        if view.dims.len() == 4 {
            return Ok(view);
        }
        Ok(cx.reshaped(view, &[b, s, h, d])?.transpose(&[0, 2, 1, 3]))
    }

    /// Past and new positions as one view, which is output `output` too.
    fn present(
        &self,
        cx: &mut Lowering<'_>,
        new: usize,
        past: usize,
        output: usize,
    ) -> Result<View, OpError> {
        let new = self.split_view(cx, new)?;
        if !cx.has_input(past) {
            cx.alias(output, new.clone())?;
            return Ok(new);
        }
        let past = cx.shaped(past)?;
        let kept = past.dims[2].size.clone();
        let out = match cx.output_fact(output) {
            Ok(_) => Destination::strided(cx, output)?,
            Err(_) => {
                let mut shape = new.shape();
                shape[2] = &kept + &shape[2];
                Destination::beside(cx.temporary("present", new.elem, &shape))
            }
        };
        cx.copy(&past, &out.view.slice(2, &Expr::ZERO, &kept, 1))?;
        cx.copy(&new, &out.view.slice(2, &kept, &new.dims[2].size, 1))?;
        let view = out.view.clone();
        out.finish(cx)?;
        Ok(view)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let heads = |name: &str| {
        let value = usize::try_from(node.int_or(name, 0)?);
        value.map_err(|_| invalid(format!("attribute {name:?} is negative")))
    };
    for name in ["left_window_size", "right_window_size"] {
        if node.int(name)?.is_some_and(|n| n >= 0) {
            return Err(OpError::Unsupported(format!("attribute {name:?} of Attention")));
        }
    }
    let softcap = node.float_or("softcap", 0.0)?;
    let scores = match node.int_or("qk_matmul_output_mode", 0)? {
        0 | 1 => Scores::Bare,
        2 => Scores::Masked,
        3 => Scores::Normal,
        other => return Err(invalid(format!("qk_matmul_output_mode = {other} is not known"))),
    };
    Ok(Arc::new(OnnxAttention {
        is_causal: node.int_or("is_causal", 0)? != 0,
        scale: node.float("scale")?,
        softcap,
        heads: heads("q_num_heads")?,
        kv_heads: heads("kv_num_heads")?,
        scores,
    }))
}

fn case(
    name: &str,
    op: OnnxAttention,
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
    let plain = OnnxAttention {
        is_causal: false,
        scale: None,
        softcap: 0.0,
        heads: 0,
        kv_heads: 0,
        scores: Scores::Bare,
    };
    let causal = OnnxAttention { is_causal: true, ..plain.clone() };
    let flat = OnnxAttention { heads: 4, kv_heads: 2, ..causal.clone() };
    let four: [&[usize]; 3] = [&[2, 4, 3, 8], &[2, 4, 5, 8], &[2, 4, 5, 6]];
    let shared: [&[usize]; 3] = [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 8]];
    let past = |seed| Some(sample::floats(&[1, 2, 4, 8], seed));
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
            OnnxAttention { softcap: 2.0, scale: Some(0.3), ..plain.clone() },
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
        case("past positions", causal, &shared, None, vec![past(7), past(8)]),
        case("flat inputs", flat, &[&[2, 3, 32], &[2, 5, 16], &[2, 5, 16]], None, vec![]),
        case("no key for a query", plain.clone(), &shared, Some(nothing), vec![]),
        case("keys in use", plain, &four, None, vec![None, None, Some(used)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Attention", 23..=24)], decode, cases };
