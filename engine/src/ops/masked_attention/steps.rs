//! Attention in plain steps, for what the fused kernels do not take: products, masks, a softmax.

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    op::{Dim, Elem, Lowering, View, broadcast, elementwise, fill, stretched, truth},
    ops::{matmul, softmax},
};

/// The steps, with heads in groups that share their keys.
pub struct Steps {
    /// `[batch, groups, each, queries, keys]`, what the steps so far have made of them.
    pub scores: View,
    q: View,
    k: View,
    v: View,
    groups: Expr,
    each: Expr,
}

impl Steps {
    /// For `[batch, heads, queries, width]`, and keys and values with as many heads or a divisor of them.
    ///
    /// # Errors
    /// When the heads cannot be grouped.
    pub fn new(q: View, k: View, v: View) -> Result<Self, OpError> {
        let (heads, groups) = (q.dims[1].size.clone(), k.dims[1].size.clone());
        let each =
            heads.exact_div(&groups).ok_or_else(|| invalid(format!("{heads} heads share {groups}")))?;
        let [k, v] = [k, v].map(|view| shared(&view, &each));
        let q = q
            .reshape(&grouped(&q.shape(), &groups, &each))
            .ok_or_else(|| invalid("heads cannot be grouped"))?;
        Ok(Self { scores: q.clone(), q, k, v, groups, each })
    }

    fn step(
        &self,
        cx: &mut Lowering<'_>,
        function: &'static str,
        operands: &[View],
    ) -> Result<View, OpError> {
        let out = cx.temporary(function, self.scores.elem, &self.scores.shape());
        elementwise(cx, function, operands, &out).map(|()| out)
    }

    /// Scaled products of queries and keys, held below `softcap` unless that is 0.
    ///
    /// # Errors
    /// When there is no kernel for the product.
    pub fn dots(&mut self, cx: &mut Lowering<'_>, scale: f32, softcap: f32) -> Result<(), OpError> {
        let mut shape = self.q.shape();
        shape[4] = self.k.dims[3].size.clone();
        self.scores = cx.temporary("dots", self.q.elem, &shape);
        matmul::multiply(cx, &self.q, &self.k.transpose(&[0, 1, 2, 4, 3]), &self.scores)?;
        let scale = fill::scalar(cx, scale, self.q.elem);
        self.scores = self.step(cx, "mul", &[self.scores.clone(), scale])?;
        if softcap > 0.0 {
            let cap = fill::scalar(cx, softcap, self.q.elem);
            let part = self.step(cx, "div", &[self.scores.clone(), cap.clone()])?;
            let bent = self.step(cx, "tanh", &[part])?;
            self.scores = self.step(cx, "mul", &[bent, cap])?;
        }
        Ok(())
    }

    /// Positions of the keys, and of the queries behind `past` others, as a row and a column.
    fn positions(&self, cx: &mut Lowering<'_>, past: &Expr) -> Result<[View; 2], OpError> {
        let [queries, keys] = [3, 4].map(|i| self.scores.dims[i].size.clone());
        let row = cx.temporary("keys", Elem::I32, &[keys]);
        fill::range(cx, &Expr::ZERO, &Expr::ONE, &row)?;
        let column = cx.temporary("queries", Elem::I32, &[queries, Expr::ONE]);
        fill::range(cx, past, &Expr::ONE, &column)?;
        Ok([row, column])
    }

    /// Hides scores where `compare` of the operands, which broadcast to the scores, is false.
    fn keep_where(
        &mut self,
        cx: &mut Lowering<'_>,
        compare: &'static str,
        operands: &[View],
    ) -> Result<(), OpError> {
        let shapes: Vec<Vec<Expr>> = operands.iter().map(View::shape).collect();
        let seen = cx.temporary("seen", Elem::U32, &broadcast(&shapes));
        elementwise(cx, compare, operands, &seen)?;
        self.choose(cx, seen)
    }

    fn choose(&mut self, cx: &mut Lowering<'_>, seen: View) -> Result<(), OpError> {
        let hidden = fill::scalar(cx, f32::NEG_INFINITY, self.scores.elem);
        self.scores = self.step(cx, "where", &[seen, self.scores.clone(), hidden])?;
        Ok(())
    }

    /// Hides key `j` from query `i` unless `j <= i + past`.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn hide_future(&mut self, cx: &mut Lowering<'_>, past: &Expr) -> Result<(), OpError> {
        let operands = self.positions(cx, past)?;
        self.keep_where(cx, "less_equal", &operands)
    }

    /// Hides key `j` from query `i` unless `j > i + past - window`.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn hide_before(&mut self, cx: &mut Lowering<'_>, past: &Expr, window: &Expr) -> Result<(), OpError> {
        let operands = self.positions(cx, &(past - window))?;
        self.keep_where(cx, "greater", &operands)
    }

    /// Hides keys that `padding [batch, keys]` has 0 for.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn hide_padding(&mut self, cx: &mut Lowering<'_>, padding: &View) -> Result<(), OpError> {
        let mut padding = padding.clone();
        let one = Dim { size: Expr::ONE, stride: Expr::ZERO };
        padding.dims.splice(1..1, [one.clone(), one.clone(), one]);
        let seen = cx.temporary("seen", Elem::U32, &padding.shape());
        truth(cx, &padding, &seen)?;
        self.choose(cx, seen)
    }

    /// Hides keys behind the number in use, `[batch]`.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn hide_behind(&mut self, cx: &mut Lowering<'_>, mut used: View) -> Result<(), OpError> {
        let one = Dim { size: Expr::ONE, stride: Expr::ZERO };
        used.dims.extend([one.clone(), one.clone(), one.clone(), one]);
        let [keys, _] = self.positions(cx, &Expr::ZERO)?;
        self.keep_where(cx, "less", &[keys, used])
    }

    /// Applies a mask that broadcasts to `[batch, heads, queries, keys]`; keys behind its end are hidden.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn mask(&mut self, cx: &mut Lowering<'_>, mut mask: View, boolean: bool) -> Result<(), OpError> {
        let one = || Dim { size: Expr::ONE, stride: Expr::ZERO };
        while mask.dims.len() < 4 {
            mask.dims.insert(0, one());
        }
        let heads = mask.dims.remove(1);
        let dims = if heads.size.constant() == Some(1) {
            [one(), one()]
        } else {
            let stride = &heads.stride * &self.each;
            [Dim { size: self.groups.clone(), stride }, Dim { size: self.each.clone(), stride: heads.stride }]
        };
        mask.dims.splice(1..1, dims);
        let out = cx.temporary("masked", self.scores.elem, &self.scores.shape());
        let hidden = fill::scalar(cx, f32::NEG_INFINITY, out.elem);
        let (keys, own) = (self.scores.dims[4].size.clone(), mask.dims[4].size.clone());
        let narrow = own != keys && own.constant() != Some(1);
        if narrow {
            let rest = out.slice(4, &own, &(&keys - &own), 1);
            cx.copy(&stretched(&hidden, &rest.shape()), &rest)?;
        }
        let width = if narrow { own } else { keys };
        let [from, to] = [&self.scores, &out].map(|view| view.slice(4, &Expr::ZERO, &width, 1));
        if boolean {
            elementwise(cx, "where", &[mask, from, hidden], &to)?;
        } else {
            elementwise(cx, "add", &[from, mask], &to)?;
        }
        self.scores = out;
        Ok(())
    }

    /// The softmax of the scores. A query that sees no key, such as one of padding, has zeros: NaN would reach every
    /// later position through the cache.
    ///
    /// # Errors
    /// When there is no kernel for it.
    pub fn weights(&self, cx: &mut Lowering<'_>) -> Result<View, OpError> {
        let weights = cx.temporary("weights", self.scores.elem, &self.scores.shape());
        softmax::along(cx, false, self.scores.clone(), &weights, 4)?;
        let nothing = cx.temporary("nothing", Elem::U32, &weights.shape());
        elementwise(cx, "isnan", std::slice::from_ref(&weights), &nothing)?;
        let zero = fill::scalar(cx, 0.0, weights.elem);
        self.step(cx, "where", &[nothing, zero, weights])
    }

    /// The sum of values by weights, to `[batch, heads, queries, width]`.
    ///
    /// # Errors
    /// When there is no kernel for the product.
    pub fn sum(&self, cx: &mut Lowering<'_>, weights: &View, out: &View) -> Result<(), OpError> {
        let shape = grouped(&out.shape(), &self.groups, &self.each);
        let out = out.reshape(&shape).ok_or_else(|| invalid("heads cannot be grouped"))?;
        matmul::multiply(cx, weights, &self.v, &out)
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
