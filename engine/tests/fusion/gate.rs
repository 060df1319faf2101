//! Activations and gated products.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use engine::{
    dtype::DType,
    graph::ValueId,
    op::sample,
    ops::{binary::Binary, unary::Unary},
};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest},
    sample::select,
};

use crate::draft::{Draft, Outcome, sizes};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Silu,
    Quick,
    Gelu,
    GeluTanh,
}

use Kind::{Gelu, GeluTanh, Quick, Silu};

/// How types go: one throughout, or halves that are widened for the activation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Types {
    Single,
    Half,
    Widened,
}

/// What else is an output of the graph.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    Inner,
    Function,
    Activation,
    Up,
}

/// What makes it mean something else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twist {
    Nothing,
    InnerFactor,
    OuterFactor,
    One,
    OtherInput,
    Power,
}

#[derive(Clone, Copy, Debug)]
struct Variant {
    kind: Kind,
    /// Whether the activation is one operator.
    operator: bool,
    inner: usize,
    outer: usize,
    types: Types,
    extra: Extra,
    twist: Twist,
    swaps: u64,
}

fn variants() -> impl Strategy<Value = Variant> {
    let extras =
        [Extra::Nothing, Extra::Nothing, Extra::Inner, Extra::Function, Extra::Activation, Extra::Up];
    let twists = [
        Twist::Nothing,
        Twist::Nothing,
        Twist::Nothing,
        Twist::InnerFactor,
        Twist::OuterFactor,
        Twist::One,
        Twist::OtherInput,
        Twist::Power,
    ];
    let what = (select(&[Silu, Quick, Gelu, GeluTanh]), proptest::bool::weighted(0.2), 0..4usize, 0..4usize);
    let how = (
        select(&[Types::Single, Types::Half, Types::Widened]),
        select(extras.to_vec()),
        select(twists.to_vec()),
        any::<u64>(),
    );
    (what, how).prop_map(|((kind, operator, inner, outer), (types, extra, twist, swaps))| {
        Variant { kind, operator, inner, outer, types, extra, twist, swaps }.consistent()
    })
}

impl Variant {
    /// The same without twists that change nothing.
    fn consistent(mut self) -> Self {
        let gelu = matches!(self.kind, Gelu | GeluTanh);
        let cubed = self.kind == GeluTanh && matches!(self.inner, 0 | 3);
        self.twist = match self.twist {
            _ if self.operator => Twist::Nothing,
            Twist::Power if !cubed => Twist::InnerFactor,
            Twist::OuterFactor | Twist::One if !gelu => Twist::OtherInput,
            twist => twist,
        };
        if self.operator && self.extra == Extra::Function {
            self.extra = Extra::Nothing;
        }
        self
    }

    /// What goes into the function.
    fn inner(&self, d: &mut Draft, x: ValueId) -> ValueId {
        let wrong = if self.twist == Twist::InnerFactor { 1.01 } else { 1.0 };
        let cube = if self.twist == Twist::Power { 2.0 } else { 3.0 };
        let (slope, cubic) = ((2.0 / std::f64::consts::PI).sqrt() * wrong, 0.044_715);
        match (self.kind, self.inner) {
            (Silu, _) if self.twist == Twist::InnerFactor => d.times(x, wrong),
            (Silu, _) => x,
            (Quick, _) => d.times(x, 1.702 * wrong),
            (Gelu, 0) => {
                let root = d.number(SQRT_2 * wrong, x);
                d.binary(Binary::Div, x, root)
            }
            (Gelu, 1) => d.times(x, FRAC_1_SQRT_2 * wrong),
            (Gelu, 2) => {
                let negative = d.unary(Unary::Neg, x);
                d.times(negative, -FRAC_1_SQRT_2 * wrong)
            }
            (Gelu, _) => {
                let double = d.add(x, x);
                d.times(double, 0.5 * FRAC_1_SQRT_2 * wrong)
            }
            (GeluTanh, 0) => {
                let cubed = d.power(x, cube);
                let scaled = d.times(cubed, cubic);
                let sum = d.add(x, scaled);
                d.times(sum, slope)
            }
            (GeluTanh, 1) => {
                let squared = d.mul(x, x);
                let cubed = d.mul(x, squared);
                let scaled = d.times(cubed, cubic);
                let sum = d.add(x, scaled);
                d.times(sum, slope)
            }
            (GeluTanh, 2) => {
                let (left, scaled) = (d.times(x, slope), d.times(x, cubic));
                let squared = d.mul(scaled, x);
                let right = d.plus(squared, 1.0);
                d.mul(left, right)
            }
            (GeluTanh, _) => {
                let cubed = d.power(x, cube);
                let (left, right) = (d.times(x, slope), d.times(cubed, slope * cubic));
                d.add(left, right)
            }
        }
    }

    /// What is made of the function.
    fn outer(&self, d: &mut Draft, x: ValueId, f: ValueId) -> ValueId {
        let half = if self.twist == Twist::OuterFactor { 0.51 } else { 0.5 };
        let one = if self.twist == Twist::One { 1.01 } else { 1.0 };
        match (self.kind, self.outer) {
            (Silu | Quick, _) => d.mul(x, f),
            (_, 0) => {
                let (left, right) = (d.times(x, half), d.plus(f, one));
                d.mul(left, right)
            }
            (_, 1) => {
                let sum = d.plus(f, one);
                let product = d.mul(x, sum);
                d.times(product, half)
            }
            (_, 2) => {
                let sum = d.plus(f, one);
                let halved = d.times(sum, half);
                d.mul(x, halved)
            }
            (_, _) => {
                let product = d.mul(x, f);
                let (left, right) = (d.times(x, half * one), d.times(product, half));
                d.add(left, right)
            }
        }
    }

    fn operator(&self) -> Unary {
        match self.kind {
            Silu => Unary::Swish { alpha: 1.0 },
            Quick => Unary::Swish { alpha: 1.702 },
            Gelu => Unary::Gelu,
            GeluTanh => Unary::GeluTanh,
        }
    }

    fn fuse(&self) -> Outcome {
        let mut d = Draft::new(self.swaps);
        let shape = sizes(&[2, 3, 8]);
        let stored = if self.types == Types::Single { DType::F32 } else { DType::F16 };
        let [gate, up, other] = [0; 3].map(|_| d.input(&shape, stored));
        let widened = self.types == Types::Widened;
        let x = if widened { d.cast(gate, DType::F32) } else { gate };
        let (mut inner, mut f) = (x, x);
        let activation = if self.operator {
            d.unary(self.operator(), x)
        } else {
            inner = self.inner(&mut d, x);
            f = d.unary(
                match self.kind {
                    Silu | Quick => Unary::Sigmoid,
                    Gelu => Unary::Erf,
                    GeluTanh => Unary::Tanh,
                },
                inner,
            );
            let mut factor = x;
            if self.twist == Twist::OtherInput {
                factor = if widened { d.cast(other, DType::F32) } else { other };
            }
            self.outer(&mut d, factor, f)
        };
        let activated = if widened { d.cast(activation, DType::F16) } else { activation };
        let mut outputs = vec![d.mul(activated, up)];
        match self.extra {
            Extra::Nothing => {}
            Extra::Inner => outputs.push(inner),
            Extra::Function => outputs.push(f),
            Extra::Activation => outputs.push(activation),
            Extra::Up => outputs.push(up),
        }
        d.fuse(&outputs)
    }

    fn tolerance(&self) -> f64 {
        match self.types {
            Types::Single => 1e-6,
            Types::Half => 4e-3,
            Types::Widened => 1e-3,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn activations_and_gates_mean_what_they_meant(v in variants()) {
        let outcome = v.fuse();
        prop_assert!(outcome.difference < v.tolerance(), "{} apart", outcome.difference);
        let spelled = !v.operator && v.twist == Twist::Nothing && v.extra != Extra::Function;
        let gated = (spelled || v.operator) && v.extra != Extra::Activation;
        prop_assert_eq!(outcome.applied("Activation"), usize::from(spelled), "{:?}", outcome.report);
        prop_assert_eq!(outcome.applied("Gate"), usize::from(gated), "{:?}", outcome.report);
    }
}

#[test]
fn a_gate_that_is_repeated_over_rows_is_not_fused() {
    let mut d = Draft::new(0);
    let (gate, up) = (d.input(&sizes(&[2, 3, 8]), DType::F32), d.input(&sizes(&[8]), DType::F32));
    let activation = d.unary(Unary::Gelu, gate);
    let out = d.mul(activation, up);
    let outcome = d.fuse(&[out]);
    assert_eq!((outcome.applied("Gate"), outcome.difference), (0, 0.0));
    assert_eq!(outcome.report.refused[0].reason, "gate and up have different shapes");
}

#[test]
fn an_activation_times_itself_is_not_a_gate() {
    let mut d = Draft::new(0);
    let gate = d.input(&sizes(&[2, 8]), DType::F32);
    let activation = d.unary(Unary::Gelu, gate);
    let out = d.mul(activation, activation);
    let outcome = d.fuse(&[out]);
    assert_eq!((outcome.applied("Gate"), outcome.difference), (0, 0.0));
}

#[test]
fn constants_that_add_dimensions_keep_an_activation_as_it_is() {
    let mut d = Draft::new(0);
    let x = d.input(&sizes(&[2, 8]), DType::F32);
    let f = d.unary(Unary::Sigmoid, x);
    let wide = d.constant(sample::of(DType::F32, &[1, 1, 1], &[1.0]));
    let scaled = d.mul(f, wide);
    let out = d.mul(scaled, x);
    let outcome = d.fuse(&[out]);
    assert_eq!((outcome.applied("Activation"), outcome.difference), (0, 0.0));
}

#[test]
fn a_softcap_and_a_router_look_like_no_activation() {
    let mut d = Draft::new(0);
    let x = d.input(&sizes(&[2, 8]), DType::F32);
    let scaled = d.times(x, 1.0 / 30.0);
    let tanh = d.unary(Unary::Tanh, scaled);
    let capped = d.times(tanh, 30.0);
    let erf = d.unary(Unary::Erf, x);
    let outcome = d.fuse(&[capped, erf]);
    assert_eq!((outcome.applied("Activation"), outcome.difference), (0, 0.0));
    assert!(outcome.report.refused.is_empty(), "{:?}", outcome.report.refused);
}
