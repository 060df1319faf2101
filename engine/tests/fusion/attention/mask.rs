//! The mask of a variant.

use engine::{
    dtype::DType,
    graph::ValueId,
    op::sample,
    ops::{binary::Binary, range::Range, unary::Unary},
};
use symbolic::Expr;

use super::{Low, Twist, Variant, WINDOW};
use crate::draft::Draft;

impl Variant {
    /// `[1, 1, queries, keys]`, true where a key is seen.
    pub(super) fn seen(&self, d: &mut Draft, seq: &Expr, past: &Expr) -> Option<ValueId> {
        let total = past + seq;
        let range = |d: &mut Draft, from: &Expr, axes: &[i64]| {
            let (start, step) = (d.known_scalar(from.clone()), d.known_scalar(Expr::ONE));
            let end = d.known_scalar(total.clone());
            let range = d.node(Range, &[start, end, step]);
            d.unsqueeze(range, axes)
        };
        let mut all = Vec::new();
        if self.hidden.causal {
            let (keys, queries) = (range(d, &Expr::ZERO, &[0, 1, 2]), range(d, past, &[0, 1, 3]));
            let flip = self.swaps >> 60 & 1 == 1;
            all.push(match (self.twist, flip) {
                (Twist::AntiCausal, _) => d.binary(Binary::GreaterOrEqual, keys, queries),
                (_, false) => d.binary(Binary::LessOrEqual, keys, queries),
                (_, true) => d.binary(Binary::GreaterOrEqual, queries, keys),
            });
            if self.hidden.window {
                let behind = d.plus(queries, -WINDOW as f64);
                all.push(d.binary(Binary::Greater, keys, behind));
            }
        }
        if self.hidden.padding {
            let of_queries = self.twist == Twist::PaddingOfQueries;
            let shape = if of_queries { vec![seq.clone(), total] } else { vec![Expr::ONE, total] };
            let sizes: Vec<usize> = shape.iter().map(|e| d.size(e)).collect();
            let keys = sizes[1];
            let bit = |i: usize| (self.pads >> (i % keys) & 1) as f64;
            let bits: Vec<f64> = (0..sizes[0] * keys).map(bit).collect();
            let mask = d.given(shape, sample::of(DType::I64, &sizes, &bits));
            let mask = d.cast(mask, DType::Bool);
            all.push(d.unsqueeze(mask, if of_queries { &[0, 1] } else { &[1, 2] }));
        }
        all.into_iter().reduce(|a, b| d.and(a, b))
    }

    /// Adds what hides keys.
    pub(super) fn masked(
        &self,
        d: &mut Draft,
        scores: ValueId,
        seen: Option<ValueId>,
        bias: Option<ValueId>,
    ) -> ValueId {
        let mut scores = scores;
        if let Some(seen) = seen {
            let added = self.additive(d, seen, scores);
            scores = d.add(scores, added);
        }
        bias.map_or(scores, |bias| d.add(scores, bias))
    }

    pub(super) fn additive(&self, d: &mut Draft, seen: ValueId, like: ValueId) -> ValueId {
        let low = match self.low {
            _ if self.twist == Twist::FiniteBias => -1.0,
            Low::Infinite => f64::NEG_INFINITY,
            Low::Lowest => f64::from(f32::MIN),
            Low::Billion => -1e9,
        };
        let (zero, low) = (d.number(0.0, like), d.number(low, like));
        if self.swaps >> 61 & 1 == 1 {
            let hidden = d.unary(Unary::Not, seen);
            return d.select(hidden, low, zero);
        }
        d.select(seen, zero, low)
    }
}
