//! Attention with its mask, at any number of new and of past positions.

mod mask;

use engine::{
    dtype::DType,
    graph::ValueId,
    op::sample,
    ops::{
        binary::Binary,
        expand::Expand,
        masked_attention::{MaskedAttention, Scores},
        matmul::MatMul,
        reduce::Reduction,
        reshape::Reshape,
        softmax::Softmax,
        unary::Unary,
    },
};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest},
    sample::select,
};
use symbolic::{Expr, Substitution, Symbol};

use crate::draft::{Draft, Outcome};

/// Which keys are hidden.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hidden {
    causal: bool,
    window: bool,
    padding: bool,
}

/// What is added to the scores of hidden keys.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Low {
    Infinite,
    Lowest,
    Billion,
}

/// Where the scores are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Queries,
    Keys,
    Both,
    Product,
    Quotient,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    Product,
    Weights,
}

/// What makes it mean something else than a prompt's attention. Heads that are interleaved and values that are scaled are
/// taken as they are; what is added to the scores and is no mask is taken as a table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twist {
    Nothing,
    SoftmaxOfQueries,
    FiniteBias,
    MaskScaled,
    AntiCausal,
    HeadsInterleaved,
    ValuesScaled,
    Bias,
    PaddingOfQueries,
    MaskCapped,
    GuardOfOthers,
}

#[derive(Clone, Copy, Debug)]
struct Variant {
    /// One new position.
    decode: bool,
    seq: i64,
    past: i64,
    hidden: Hidden,
    /// Which past positions are padding, one bit each.
    pads: u64,
    /// Whether the attention is one operator with any mask.
    operator: bool,
    low: Low,
    scale: Scale,
    repeated: bool,
    /// Whether heads lie one behind the other in rows.
    flat: bool,
    /// Whether scores are held below a bound by tanh.
    capped: bool,
    widened: bool,
    /// Whether NaN weights are made zeros.
    nan_guard: bool,
    /// Whether rows that see nothing are made zeros.
    row_guard: bool,
    extra: Extra,
    twist: Twist,
    swaps: u64,
}

fn variants() -> impl Strategy<Value = Variant> {
    use Twist::{
        AntiCausal, Bias, FiniteBias, GuardOfOthers, HeadsInterleaved, MaskCapped, MaskScaled, Nothing,
        PaddingOfQueries, SoftmaxOfQueries, ValuesScaled,
    };
    let twists = [
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        SoftmaxOfQueries,
        FiniteBias,
        MaskScaled,
        AntiCausal,
        HeadsInterleaved,
        ValuesScaled,
        Bias,
        PaddingOfQueries,
        MaskCapped,
        GuardOfOthers,
    ];
    let sizes = (any::<bool>(), 1..5i64, 0..6i64, any::<u64>(), any::<u64>());
    let mask =
        (any::<bool>(), any::<bool>(), any::<bool>(), select(&[Low::Infinite, Low::Lowest, Low::Billion]));
    let flags = (proptest::bool::weighted(0.2), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let more = (any::<bool>(), any::<bool>());
    let how = (
        select(&[Scale::Queries, Scale::Keys, Scale::Both, Scale::Product, Scale::Quotient]),
        select(&[Extra::Nothing, Extra::Nothing, Extra::Product, Extra::Weights]),
        select(twists.to_vec()),
    );
    (sizes, mask, flags, more, how).prop_map(|(sizes, mask, flags, (flat, capped), (scale, extra, twist))| {
        let (decode, seq, past, pads, swaps) = sizes;
        let (causal, window, padding, low) = mask;
        let (operator, repeated, widened, nan_guard, row_guard) = flags;
        let hidden = Hidden { causal: causal || window, window, padding };
        Variant {
            decode,
            seq: if decode { 1 } else { seq },
            past,
            hidden,
            pads,
            operator,
            low,
            scale,
            repeated,
            flat,
            capped,
            widened,
            nan_guard,
            row_guard,
            extra,
            twist,
            swaps,
        }
        .consistent()
    })
}

const HEADS: i64 = 4;
const KV_HEADS: i64 = 2;
const WIDTH: i64 = 6;
const WINDOW: i64 = 3;
const CAP: f64 = 2.0;

impl Variant {
    /// The same without what is not there, or changes nothing.
    fn consistent(mut self) -> Self {
        let Hidden { causal, window, padding } = self.hidden;
        let masked = causal || padding;
        self.row_guard &= masked;
        if self.operator {
            (self.nan_guard, self.extra, self.repeated, self.widened) = (false, Extra::Nothing, false, false);
        }
        let fits = match self.twist {
            Twist::Nothing | Twist::Bias => true,
            // One query at the end hides nothing by causality.
            Twist::FiniteBias => padding || window || causal && !self.decode,
            Twist::MaskScaled => masked && !self.operator && self.low != Low::Infinite,
            Twist::AntiCausal => window && !self.decode,
            Twist::PaddingOfQueries => padding && !self.decode,
            Twist::MaskCapped => {
                !self.operator && self.capped && (padding || window || causal && !self.decode)
            }
            Twist::GuardOfOthers => self.row_guard,
            Twist::HeadsInterleaved => self.repeated,
            Twist::SoftmaxOfQueries | Twist::ValuesScaled => !self.operator,
        };
        if !fits {
            self.twist = Twist::Nothing;
        }
        // A row that sees nothing has weights of NaN, or all the same, where nothing guards it.
        let guarded = self.row_guard || (self.nan_guard || self.operator) && self.low == Low::Infinite;
        if !guarded {
            self.pads |= u64::MAX << self.past;
        }
        self
    }

    /// Whether the operator's mask says which keys are seen, where nothing else is added.
    fn boolean(&self) -> bool {
        self.twist != Twist::FiniteBias && self.swaps >> 62 & 1 == 1
    }

    fn heads_of(&self) -> i64 {
        if self.repeated || self.operator { KV_HEADS } else { HEADS }
    }

    fn repeat(&self, d: &mut Draft, value: ValueId, total: &Expr) -> ValueId {
        if !self.repeated {
            return value;
        }
        let [heads, own, width] = [HEADS, KV_HEADS, WIDTH].map(Expr::from);
        let times = Expr::from(HEADS / KV_HEADS);
        let (axis, pair) = match self.twist {
            Twist::HeadsInterleaved => (1, [times, own]),
            _ => (2, [own, times]),
        };
        let [first, second] = pair;
        let wide = d.unsqueeze(value, &[axis]);
        let shape = d.known(vec![Expr::ONE, first, second, total.clone(), width.clone()]);
        let wide = d.node(Expand, &[wide, shape]);
        let shape = d.known(vec![Expr::ONE, heads, total.clone(), width]);
        d.node(Reshape { allow_zero: false }, &[wide, shape])
    }

    fn spelled(
        &self,
        d: &mut Draft,
        [q, k, v]: [ValueId; 3],
        masks: [Option<ValueId>; 2],
        total: &Expr,
    ) -> Built {
        let scale = 1.0 / (WIDTH as f64).sqrt();
        let (of_queries, of_keys) = match self.scale {
            Scale::Queries => (scale, 1.0),
            Scale::Keys => (1.0, scale),
            Scale::Both => (scale.sqrt(), scale.sqrt()),
            Scale::Product | Scale::Quotient => (1.0, 1.0),
        };
        let (k, mut v) = (self.repeat(d, k, total), self.repeat(d, v, total));
        let mut k = d.transpose(k, &[0, 1, 3, 2]);
        let q = if of_queries == 1.0 { q } else { d.times(q, of_queries) };
        if of_keys != 1.0 {
            k = d.times(k, of_keys);
        }
        let product = d.node(MatMul, &[q, k]);
        let mut scores = product;
        if self.scale == Scale::Product {
            scores = d.times(scores, scale);
        } else if self.scale == Scale::Quotient {
            let divisor = d.number(1.0 / scale, scores);
            scores = d.binary(Binary::Div, scores, divisor);
        }
        let stored = if self.widened { DType::F16 } else { DType::F32 };
        if self.widened {
            scores = d.cast(scores, DType::F32);
        }
        if self.twist == Twist::MaskCapped {
            scores = self.masked(d, scores, masks[0], masks[1]);
        }
        if self.capped {
            let divided = d.times(scores, 1.0 / CAP);
            let bounded = d.unary(Unary::Tanh, divided);
            scores = d.times(bounded, CAP);
        }
        if self.twist != Twist::MaskCapped {
            scores = self.masked(d, scores, masks[0], masks[1]);
        }
        if self.twist == Twist::MaskScaled {
            scores = d.times(scores, 0.5);
        }
        let axis = if self.twist == Twist::SoftmaxOfQueries { 2 } else { -1 };
        let mut weights = d.node(Softmax { axis, flatten: false, log: false }, &[scores]);
        if self.nan_guard {
            let (nan, zero) = (d.unary(Unary::IsNaN, weights), d.number(0.0, weights));
            weights = d.select(nan, zero, weights);
        }
        if self.widened {
            weights = d.cast(weights, stored);
        }
        if self.twist == Twist::ValuesScaled {
            v = d.times(v, 2.0);
        }
        Built { product, weights, out: d.node(MatMul, &[weights, v]) }
    }

    fn operator(&self, d: &mut Draft, [q, k, v]: [ValueId; 3], masks: [Option<ValueId>; 2]) -> ValueId {
        let op =
            MaskedAttention { causal: false, window: None, scale: None, softcap: 0.0, scores: Scores::Bare };
        let boolean = self.boolean();
        let mask = match masks {
            [Some(seen), None] if boolean => Some(seen),
            [Some(seen), None] => Some(self.additive(d, seen, q)),
            [Some(seen), Some(bias)] => {
                let hidden = self.additive(d, seen, q);
                Some(d.add(hidden, bias))
            }
            [None, bias] => bias,
        };
        let inputs: Vec<ValueId> = [q, k, v].into_iter().chain(mask).collect();
        d.nodes(op, &inputs, 2)[0]
    }

    fn fuse(&self) -> Outcome {
        let (seq, past) = (Symbol::new("seq").with_range(1, 8), Symbol::new("past").with_range(0, 16));
        let sizes = Substitution::new().with(&seq, self.seq).with(&past, self.past);
        let mut d = Draft::new(self.swaps).sized(sizes);
        let (seq, past) = (if self.decode { Expr::ONE } else { Expr::from(&seq) }, Expr::from(&past));
        let total = &past + &seq;
        let stored = if self.widened { DType::F16 } else { DType::F32 };
        let mut input = |heads: i64, length: &Expr| {
            let [heads, width] = [heads, WIDTH].map(Expr::from);
            if !self.flat {
                return d.input(&[Expr::ONE, heads, length.clone(), width], stored);
            }
            let rows = d.input(&[Expr::ONE, length.clone(), &heads * &width], stored);
            let shape = d.known(vec![Expr::ONE, length.clone(), heads, width]);
            let split = d.node(Reshape { allow_zero: false }, &[rows, shape]);
            d.transpose(split, &[0, 2, 1, 3])
        };
        let all = [input(HEADS, &seq), input(self.heads_of(), &total), input(self.heads_of(), &total)];
        let bias = (self.twist == Twist::Bias)
            .then(|| d.input(&[Expr::ONE, Expr::from(HEADS), seq.clone(), total.clone()], DType::F32));
        let seen = self.seen(&mut d, &seq, &past);
        let (out, extra) = if self.operator {
            (self.operator(&mut d, all, [seen, bias]), None)
        } else {
            let Built { product, weights, out } = self.spelled(&mut d, all, [seen, bias], &total);
            let extra = match self.extra {
                Extra::Nothing => None,
                Extra::Product => Some(product),
                Extra::Weights => Some(weights),
            };
            (out, extra)
        };
        let out = match seen.filter(|_| self.row_guard) {
            Some(mut seen) => {
                if self.twist == Twist::GuardOfOthers {
                    let none = sample::of(DType::I64, &[1, d.size(&total)], &[]);
                    let none = d.given(vec![Expr::ONE, total.clone()], none);
                    let hidden = d.cast(none, DType::Bool);
                    let hidden = d.unsqueeze(hidden, &[1, 2]);
                    seen = d.and(seen, hidden);
                }
                let numbers = d.cast(seen, DType::F32);
                let count = d.reduce(Reduction::Sum, numbers, &[-1]);
                let one = d.number(1.0, count);
                let none = d.binary(Binary::Less, count, one);
                let zero = d.number(0.0, out);
                d.select(none, zero, out)
            }
            None => out,
        };
        let outputs: Vec<ValueId> = std::iter::once(out).chain(extra).collect();
        d.fuse(&outputs)
    }
}

struct Built {
    product: ValueId,
    weights: ValueId,
    out: ValueId,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn attention_means_what_it_meant(v in variants()) {
        let outcome = v.fuse();
        let tolerance = if v.widened { 4e-3 } else { 1e-5 };
        prop_assert!(outcome.difference < tolerance, "{} apart", outcome.difference);
        let same = match v.twist {
            Twist::Nothing | Twist::HeadsInterleaved | Twist::GuardOfOthers => true,
            Twist::FiniteBias | Twist::Bias => true,
            Twist::AntiCausal | Twist::PaddingOfQueries => !(v.operator && v.boolean()),
            // Behind a factor they are repeated, and the keys are not.
            Twist::ValuesScaled => !v.repeated,
            _ => false,
        };
        let applied = same && v.extra != Extra::Weights;
        prop_assert_eq!(outcome.applied("Attention"), usize::from(applied), "{:?}", outcome.report);
        let others = [Twist::GuardOfOthers, Twist::FiniteBias, Twist::AntiCausal, Twist::PaddingOfQueries];
        let rows = applied && v.row_guard && !others.contains(&v.twist);
        prop_assert_eq!(outcome.applied("Unseen rows"), usize::from(rows), "{:?}", outcome.report);
    }
}
