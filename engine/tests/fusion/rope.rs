//! Rotary embedding.

use engine::{
    dtype::DType,
    graph::ValueId,
    ops::{binary::Binary, concat::Concat, reshape::Reshape, slice::Slice, split::Split, unary::Unary},
};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest},
    sample::select,
};

use crate::draft::{Draft, Outcome, sizes};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    Input,
    Straight,
    Turned,
    BySin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Twist {
    Nothing,
    NegatedLow,
    HalvesSwapped,
    HalvesUneven,
    HalfTwice,
    /// Pairs of the first and of the second to the fifth element, where neighbours are a pair.
    Shifted,
    OtherInput,
    Subtracted,
    TableOfHeads,
    TableOfMore,
    TableOfOne,
}

#[derive(Clone, Copy, Debug)]
struct Variant {
    /// Whether the halves are made by one Split.
    split: bool,
    /// Whether neighbours are a pair.
    interleaved: bool,
    /// Whether tables get their dimension by a Reshape.
    reshaped: bool,
    /// Batch of the tables.
    batch: i64,
    /// Whether tables are narrowed to the halves that the input consists of.
    narrowed: bool,
    extra: Extra,
    twist: Twist,
    swaps: u64,
}

fn variants() -> impl Strategy<Value = Variant> {
    use Twist::{
        HalfTwice, HalvesSwapped, HalvesUneven, NegatedLow, Nothing, OtherInput, Shifted, Subtracted,
        TableOfHeads, TableOfMore, TableOfOne,
    };
    let twists = [
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        NegatedLow,
        HalvesSwapped,
        HalvesUneven,
        HalfTwice,
        Shifted,
        OtherInput,
        Subtracted,
        TableOfHeads,
        TableOfMore,
        TableOfOne,
    ];
    let extras = [Extra::Nothing, Extra::Nothing, Extra::Input, Extra::Straight, Extra::Turned, Extra::BySin];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    let how = (select(&[1, 2]), select(extras.to_vec()), select(twists.to_vec()));
    (flags, how).prop_map(|((split, interleaved, reshaped, narrowed, swaps), (batch, extra, twist))| {
        Variant { split: split && !interleaved, interleaved, reshaped, batch, narrowed, extra, twist, swaps }
    })
}

const BATCH: i64 = 2;
const HEADS: i64 = 3;
const SEQ: i64 = 5;
const WIDTH: i64 = 8;

impl Variant {
    /// The second and the first half.
    fn halves(&self, d: &mut Draft, x: ValueId) -> (ValueId, ValueId) {
        let at = if self.twist == Twist::HalvesUneven { 3 } else { WIDTH / 2 };
        if self.interleaved {
            // Uneven pairs begin with the second element.
            let first = i64::from(self.twist == Twist::HalvesUneven);
            let mut every_other = |start: i64| {
                let (end, step) = match self.twist {
                    Twist::Shifted => (start + WIDTH / 2, 1),
                    _ => (i64::MAX, 2),
                };
                let bounds = [start, end, -1, step].map(|n| d.list(&[n]));
                d.node(Slice, &[x, bounds[0], bounds[1], bounds[2], bounds[3]])
            };
            return (every_other(1 - first), every_other(first));
        }
        if self.split {
            let halves = d.nodes(Split { axis: -1, parts: 2, sizes: Some(vec![at, WIDTH - at]) }, &[x], 2);
            return (halves[1], halves[0]);
        }
        let mut slice = |start: i64, end: i64| {
            let bounds = [vec![start], vec![end], vec![-1]].map(|l| d.list(&l));
            d.node(Slice, &[x, bounds[0], bounds[1], bounds[2]])
        };
        (slice(at, i64::MAX), slice(0, at))
    }

    fn turned(&self, d: &mut Draft, x: ValueId) -> ValueId {
        let (high, low) = self.halves(d, x);
        let parts = match self.twist {
            Twist::HalfTwice => [d.unary(Unary::Neg, low), low],
            Twist::NegatedLow => [high, d.unary(Unary::Neg, low)],
            Twist::HalvesSwapped => [d.unary(Unary::Neg, low), high],
            _ => [d.unary(Unary::Neg, high), low],
        };
        if !self.interleaved {
            return d.node(Concat { axis: -1 }, &parts);
        }
        let parts = parts.map(|part| d.unsqueeze(part, &[4]));
        let pairs = d.node(Concat { axis: -1 }, &parts);
        let shape = d.list(&[0, 0, 0, WIDTH]);
        d.node(Reshape { allow_zero: false }, &[pairs, shape])
    }

    fn table(&self, d: &mut Draft, stored: DType) -> ValueId {
        let of_heads = self.twist == Twist::TableOfHeads;
        let rows = match self.twist {
            Twist::TableOfHeads => HEADS,
            Twist::TableOfOne => 1,
            _ => SEQ,
        };
        let batch = if self.twist == Twist::TableOfMore { BATCH } else { self.batch };
        let mut table = d.input(&sizes(&[batch, rows, WIDTH]), DType::F32);
        if stored != DType::F32 {
            table = d.cast(table, stored);
        }
        let axis = if of_heads { 2 } else { 1 };
        if !self.reshaped {
            return d.unsqueeze(table, &[axis]);
        }
        let mut shape = vec![batch, rows, WIDTH];
        shape.insert(axis as usize, 1);
        let shape = d.list(&shape);
        d.node(Reshape { allow_zero: false }, &[table, shape])
    }

    fn fuse(&self) -> Outcome {
        let mut d = Draft::new(self.swaps);
        let stored = if self.narrowed { DType::F16 } else { DType::F32 };
        let batch = if self.twist == Twist::TableOfMore { 1 } else { BATCH };
        let [x, other] = [0; 2].map(|_| d.input(&sizes(&[batch, HEADS, SEQ, WIDTH]), stored));
        let [cos, sin] = [0; 2].map(|_| self.table(&mut d, stored));
        let straight = d.mul(if self.twist == Twist::OtherInput { other } else { x }, cos);
        let turned = self.turned(&mut d, x);
        let by_sin = d.mul(turned, sin);
        let sum = match self.twist {
            Twist::Subtracted => d.binary(Binary::Sub, straight, by_sin),
            _ => d.add(straight, by_sin),
        };
        let mut outputs = vec![sum];
        match self.extra {
            Extra::Nothing => {}
            Extra::Input => outputs.push(x),
            Extra::Straight => outputs.push(straight),
            Extra::Turned => outputs.push(turned),
            Extra::BySin => outputs.push(by_sin),
        }
        d.fuse(&outputs)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn rotary_embeddings_mean_what_they_meant(v in variants()) {
        let outcome = v.fuse();
        let tolerance = if v.narrowed { 2e-3 } else { 1e-6 };
        prop_assert!(outcome.difference < tolerance, "{} apart", outcome.difference);
        let same = v.twist == Twist::Nothing || v.twist == Twist::Shifted && !v.interleaved;
        let applied = same && !matches!(v.extra, Extra::Turned | Extra::BySin);
        prop_assert_eq!(outcome.applied("RoPE"), usize::from(applied), "{:?}", outcome.report);
    }
}
