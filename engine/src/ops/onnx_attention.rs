//! Attention of ONNX 23 and 24, in all its forms, by plain steps. Passes make the fused operator of it where it fits.

use std::sync::Arc;

use symbolic::Expr;

use super::{matmul, softmax};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Elem, Infer, Lowering, OnnxNode, Op, Operator, View, elementwise, fill,
        nd::{Positions, floats, given, optional, pick},
        sample, standard, stretched,
    },
};

/// Inputs: queries, keys and values, `[batch, heads, positions, width]` or `[batch, positions, heads * width]`; mask,
/// boolean or added, that broadcasts to `[batch, heads, queries, keys]`; past keys and values; keys in use per batch.
/// Outputs: the result, present keys and values, scores.
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
                let width = hidden.exact_div(&heads).ok_or_else(|| invalid(format!("{hidden} in {heads} heads")))?;
                Ok([b.clone(), heads, s.clone(), width])
            }
            _ => Err(invalid(format!("input {index} needs 4 dimensions, or 3 and a number of heads"))),
        }
    }

    fn scale(&self, width: &Expr) -> Result<f32, OpError> {
        let known = width.constant().map(|w| 1.0 / (w as f64).sqrt());
        self.scale.map_or_else(|| known.map(|s| s as f32).ok_or_else(|| invalid("the width must be known")), Ok)
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
                present[at][2] = past.shape.get(2).ok_or_else(|| invalid("past keys need 4 dimensions"))? + &present[at][2];
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
            return Err(invalid(format!("shapes {:?}, {:?}, {:?} do not fit", q.shape(), k.shape(), v.shape())));
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
            let normal = softmax::softmax(&masked, false);
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
        let (heads, groups) = (q.dims[1].size.clone(), k.dims[1].size.clone());
        let each = heads.exact_div(&groups).ok_or_else(|| invalid(format!("{heads} heads share {groups}")))?;
        let [k, v] = [k, v].map(|view| shared(&view, &each));
        let q = q.reshape(&grouped(&q.shape(), &groups, &each)).ok_or_else(|| invalid("heads cannot be grouped"))?;
        let mut shape = q.shape();
        shape[4] = k.dims[3].size.clone();
        let scores = self.bare(cx, &q, &k, &shape)?;
        let masked = self.mask(cx, scores.clone(), &groups, &each)?;
        let normal = cx.temporary("weights", q.elem, &shape);
        softmax::along(cx, false, masked.clone(), &normal, 4)?;
        let kept = match self.scores {
            Scores::Bare => &scores,
            Scores::Masked => &masked,
            Scores::Normal => &normal,
        };
        let whole = cx.output_fact(3).map(|f| f.shape.clone()).unwrap_or_default();
        if !whole.is_empty() {
            let kept = cx.reshaped(kept.clone(), &whole)?;
            cx.alias(3, kept)?;
        }
        let out = Destination::strided(cx, 0)?;
        let mut to = out.view.clone();
        if to.dims.len() == 3 {
            let [b, s, _] = [0, 1, 2].map(|i| to.dims[i].size.clone());
            let split = to.reshape(&[b, s, heads.clone(), v.dims[4].size.clone()]);
            to = split.ok_or_else(|| invalid("the output cannot be split into heads"))?.transpose(&[0, 2, 1, 3]);
        }
        let to = to.reshape(&grouped(&to.shape(), &groups, &each)).ok_or_else(|| invalid("heads cannot be grouped"))?;
        matmul::multiply(cx, &normal, &v, &to)?;
        out.finish(cx)
    }
}

/// `[batch, heads, ..]` as `[batch, groups, each, ..]`.
fn grouped(shape: &[Expr], groups: &Expr, each: &Expr) -> Vec<Expr> {
    [&shape[..1], &[groups.clone(), each.clone()], &shape[2..]].concat()
}

/// Keys or values `[batch, groups, keys, width]`, each repeated for the heads that share it.
fn shared(view: &View, each: &Expr) -> View {
    let mut out = view.clone();
    out.dims.insert(2, Dim { size: each.clone(), stride: Expr::ZERO });
    out
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
fn added(inputs: &[Option<&HostTensor>], shape: [usize; 4], causal: Option<usize>) -> Result<Vec<f64>, OpError> {
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
            let value = if boolean { if data[at] == 0.0 { f64::NEG_INFINITY } else { 0.0 } } else { data[at] };
            bias[n / wide[3] * keys + n % wide[3]] = value;
        }
    }
    let in_use = optional(inputs, IN_USE).map(HostTensor::to_i64s);
    for (n, value) in bias.iter_mut().enumerate() {
        let (batch, query, key) = (n / (heads * queries * keys), n / keys % queries, n % keys);
        let future = causal.is_some_and(|past| key > query + past);
        let unused = in_use.as_ref().is_some_and(|list| list.get(batch).is_none_or(|used| key as i64 >= *used));
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
    fn present(&self, cx: &mut Lowering<'_>, new: usize, past: usize, output: usize) -> Result<View, OpError> {
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

    /// Scaled, capped scores `[batch, groups, each, queries, keys]`.
    fn bare(&self, cx: &mut Lowering<'_>, q: &View, k: &View, shape: &[Expr]) -> Result<View, OpError> {
        let step = |cx: &mut Lowering<'_>, function, operands: &[View]| {
            let out = cx.temporary(function, q.elem, shape);
            elementwise(cx, function, operands, &out).map(|()| out)
        };
        let dots = cx.temporary("dots", q.elem, shape);
        matmul::multiply(cx, q, &k.transpose(&[0, 1, 2, 4, 3]), &dots)?;
        let scale = fill::scalar(cx, self.scale(&q.dims[4].size)?, q.elem);
        let scores = step(cx, "mul", &[dots, scale])?;
        if self.softcap <= 0.0 {
            return Ok(scores);
        }
        let cap = fill::scalar(cx, self.softcap, q.elem);
        let part = step(cx, "div", &[scores, cap.clone()])?;
        let bent = step(cx, "tanh", &[part])?;
        step(cx, "mul", &[bent, cap])
    }

    fn mask(&self, cx: &mut Lowering<'_>, scores: View, groups: &Expr, each: &Expr) -> Result<View, OpError> {
        let mut scores = scores;
        let hidden = fill::scalar(cx, f32::NEG_INFINITY, scores.elem);
        if cx.has_input(MASK) {
            scores = self.given_mask(cx, scores, &hidden, groups, each)?;
        }
        let [queries, keys] = [3, 4].map(|i| scores.dims[i].size.clone());
        if self.is_causal {
            let past = if cx.has_input(PAST_KEY) { cx.fact(PAST_KEY)?.shape[2].clone() } else { Expr::ZERO };
            let row = cx.temporary("queries", Elem::I32, &[queries.clone(), Expr::ONE]);
            fill::range(cx, &past, &Expr::ONE, &row)?;
            let column = cx.temporary("keys", Elem::I32, std::slice::from_ref(&keys));
            fill::range(cx, &Expr::ZERO, &Expr::ONE, &column)?;
            let seen = cx.temporary("seen", Elem::U32, &[queries, keys.clone()]);
            elementwise(cx, "less_equal", &[column, row], &seen)?;
            scores = chosen(cx, &seen, scores, &hidden)?;
        }
        if cx.has_input(IN_USE) {
            let used = cx.shaped(IN_USE)?;
            let batch = used.dims[0].size.clone();
            let used = cx.reshaped(used, &[batch.clone(), Expr::ONE, Expr::ONE, Expr::ONE, Expr::ONE])?;
            let column = cx.temporary("keys", Elem::I32, std::slice::from_ref(&keys));
            fill::range(cx, &Expr::ZERO, &Expr::ONE, &column)?;
            let seen = cx.temporary("seen", Elem::U32, &[batch, Expr::ONE, Expr::ONE, Expr::ONE, keys]);
            elementwise(cx, "less", &[column, used], &seen)?;
            scores = chosen(cx, &seen, scores, &hidden)?;
        }
        Ok(scores)
    }

    /// Scores with the mask input; keys behind its end are hidden.
    fn given_mask(
        &self,
        cx: &mut Lowering<'_>,
        scores: View,
        hidden: &View,
        groups: &Expr,
        each: &Expr,
    ) -> Result<View, OpError> {
        let mut mask = cx.shaped(MASK)?;
        while mask.dims.len() < 4 {
            mask.dims.insert(0, Dim { size: Expr::ONE, stride: Expr::ZERO });
        }
        let heads = mask.dims.remove(1);
        let single = heads.size.constant() == Some(1);
        let inner = Dim { size: if single { Expr::ONE } else { each.clone() }, stride: heads.stride.clone() };
        let outer = Dim {
            size: if single { Expr::ONE } else { groups.clone() },
            stride: &heads.stride * each,
        };
        mask.dims.splice(1..1, [outer, inner]);
        let out = cx.temporary("masked", scores.elem, &scores.shape());
        let (keys, own) = (scores.dims[4].size.clone(), mask.dims[4].size.clone());
        let narrow = own != keys && own.constant() != Some(1);
        if narrow {
            let rest = out.slice(4, &own, &(&keys - &own), 1);
            cx.copy(&stretched(hidden, &rest.shape()), &rest)?;
        }
        let width = if narrow { own } else { keys };
        let part = |view: &View| view.slice(4, &Expr::ZERO, &width, 1);
        let (from, to) = (part(&scores), part(&out));
        if cx.fact(MASK)?.dtype == DType::Bool {
            elementwise(cx, "where", &[mask, from, hidden.clone()], &to)?;
        } else {
            elementwise(cx, "add", &[from, mask], &to)?;
        }
        Ok(out)
    }
}

fn chosen(cx: &mut Lowering<'_>, seen: &View, scores: View, hidden: &View) -> Result<View, OpError> {
    let out = cx.temporary("masked", scores.elem, &scores.shape());
    elementwise(cx, "where", &[seen.clone(), scores, hidden.clone()], &out)?;
    Ok(out)
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

fn case(name: &str, op: OnnxAttention, shapes: &[&[usize]], mask: Option<HostTensor>, rest: Vec<Option<HostTensor>>) -> Case {
    let mut inputs: Vec<_> = shapes.iter().zip(1..).map(|(s, seed)| Some(sample::floats(s, seed))).collect();
    inputs.push(mask);
    inputs.extend(rest);
    Case::new(name, op, inputs)
}

fn cases() -> Vec<Case> {
    let plain =
        OnnxAttention { is_causal: false, scale: None, softcap: 0.0, heads: 0, kv_heads: 0, scores: Scores::Bare };
    let causal = OnnxAttention { is_causal: true, ..plain.clone() };
    let flat = OnnxAttention { heads: 4, kv_heads: 2, ..causal.clone() };
    let four: [&[usize]; 3] = [&[2, 4, 3, 8], &[2, 4, 5, 8], &[2, 4, 5, 6]];
    let shared: [&[usize]; 3] = [&[1, 4, 3, 8], &[1, 2, 5, 8], &[1, 2, 5, 8]];
    let past = |seed| Some(sample::floats(&[1, 2, 4, 8], seed));
    let boolean = sample::of(DType::Bool, &[3, 5], &[1., 1., 0., 1., 0., 1., 0., 1., 1., 1., 1., 1., 1., 0., 0.]);
    let used = sample::of(DType::I64, &[2], &[3.0, 5.0]);
    vec![
        case("no mask", plain.clone(), &four, None, vec![]),
        case("causal", causal.clone(), &four, None, vec![]),
        case("shared heads, capped", OnnxAttention { softcap: 2.0, scale: Some(0.3), ..plain.clone() }, &shared, None, vec![]),
        case("a boolean mask", plain.clone(), &shared, Some(boolean), vec![]),
        case("an added mask for each head", plain.clone(), &shared, Some(sample::floats(&[1, 4, 3, 5], 9)), vec![]),
        case("a narrow mask", plain.clone(), &shared, Some(sample::floats(&[3, 4], 9)), vec![]),
        case("past positions", causal, &shared, None, vec![past(7), past(8)]),
        case("flat inputs", flat, &[&[2, 3, 32], &[2, 5, 16], &[2, 5, 16]], None, vec![]),
        case("keys in use", plain, &four, None, vec![None, None, Some(used)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Attention", 23..=24)], decode, cases };
