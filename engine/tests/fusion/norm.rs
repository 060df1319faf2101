//! RMSNorm and LayerNorm.

use engine::{
    dtype::DType,
    graph::ValueId,
    op::sample,
    ops::{binary::Binary, reduce::Reduction, unary::Unary},
};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest},
    sample::select,
};

use crate::draft::{Draft, Outcome, sizes};

/// How a value is divided by the root of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Division {
    Div,
    OneOver,
    Reciprocal,
    Power,
}

/// Where the weight comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weight {
    Constant,
    /// Gemma's: 1 is added to what is stored.
    PlusOne,
    /// Computed in the run.
    Input,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    Nothing,
    Square,
    Mean,
    Normal,
    Weighted,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Twist {
    Nothing,
    Axis,
    BothAxes,
    Cube,
    OtherInput,
    OtherMean,
    Upside,
    WeightOfRows,
    Epsilons,
    WideEpsilon,
}

#[derive(Clone, Copy, Debug)]
struct Variant {
    /// Whether the mean is subtracted first.
    centred: bool,
    product: bool,
    division: Division,
    weight: Weight,
    bias: bool,
    /// Whether halves are widened for the normalisation.
    widened: bool,
    extra: Extra,
    twist: Twist,
    swaps: u64,
}

fn variants() -> impl Strategy<Value = Variant> {
    use Twist::{
        Axis, BothAxes, Cube, Epsilons, Nothing, OtherInput, OtherMean, Upside, WeightOfRows, WideEpsilon,
    };
    let twists = [
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Nothing,
        Axis,
        BothAxes,
        Cube,
        OtherInput,
        OtherMean,
        Upside,
        WeightOfRows,
        Epsilons,
        WideEpsilon,
    ];
    let extras = [Extra::Nothing, Extra::Nothing, Extra::Square, Extra::Mean, Extra::Normal, Extra::Weighted];
    let how = (
        select(&[Division::Div, Division::OneOver, Division::Reciprocal, Division::Power]),
        select(&[Weight::Constant, Weight::PlusOne, Weight::Input]),
        select(extras.to_vec()),
        select(twists.to_vec()),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    (how, flags).prop_map(|((division, weight, extra, twist), (centred, product, bias, widened, swaps))| {
        let twist = match twist {
            Cube if product => OtherInput,
            OtherMean if !centred => OtherInput,
            Upside if matches!(division, Division::Reciprocal | Division::Power) => OtherInput,
            twist => twist,
        };
        Variant { centred, product, division, weight, bias, widened, extra, twist, swaps }
    })
}

const ROWS: i64 = 4;
const WIDTH: i64 = 6;

impl Variant {
    fn vector(&self, d: &mut Draft, dtype: DType) -> ValueId {
        let shape =
            if self.twist == Twist::WeightOfRows { vec![ROWS as usize, 1] } else { vec![WIDTH as usize] };
        let numbers = sample::floats_in(&shape, 9, 0.5, 1.5).cast(dtype);
        match self.weight {
            Weight::Constant => d.constant(numbers),
            Weight::Input => {
                let shape: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
                d.given(sizes(&shape), numbers)
            }
            Weight::PlusOne => {
                let stored = d.constant(numbers);
                d.plus(stored, 1.0)
            }
        }
    }

    fn divided(&self, d: &mut Draft, x: ValueId, sum: ValueId) -> ValueId {
        if self.division == Division::Power {
            let factor = d.power(sum, -0.5);
            return d.mul(x, factor);
        }
        let root = d.unary(Unary::Sqrt, sum);
        let upside = self.twist == Twist::Upside;
        match self.division {
            Division::Div if upside => d.binary(Binary::Div, root, x),
            Division::Div => d.binary(Binary::Div, x, root),
            Division::OneOver => {
                let one = d.number(1.0, root);
                let factor =
                    if upside { d.binary(Binary::Div, root, one) } else { d.binary(Binary::Div, one, root) };
                d.mul(x, factor)
            }
            _ => {
                let factor = d.unary(Unary::Reciprocal, root);
                d.mul(x, factor)
            }
        }
    }

    fn epsilon(&self, d: &mut Draft, mean: ValueId) -> ValueId {
        match self.twist {
            Twist::Epsilons => {
                let two = d.constant(sample::of(DType::F32, &[2, 1, 1], &[1e-3, 1e-1]));
                d.add(mean, two)
            }
            Twist::WideEpsilon => {
                let wide = d.constant(sample::of(DType::F32, &[1, 1, 1, 1], &[1e-3]));
                d.add(mean, wide)
            }
            _ => d.plus(mean, 1e-3),
        }
    }

    fn fuse(&self) -> Outcome {
        let mut d = Draft::new(self.swaps);
        let stored = if self.widened { DType::F16 } else { DType::F32 };
        let shape = sizes(&[2, ROWS, WIDTH]);
        let [mut x, mut other] = [0; 2].map(|_| d.input(&shape, stored));
        if self.widened {
            [x, other] = [x, other].map(|v| d.cast(v, DType::F32));
        }
        if self.centred {
            let averaged = if self.twist == Twist::OtherMean { other } else { x };
            let mean = d.reduce(Reduction::Mean, averaged, &[-1]);
            x = d.binary(Binary::Sub, x, mean);
        }
        let square = match (self.product, self.twist) {
            (true, _) => d.mul(x, x),
            (false, Twist::Cube) => d.power(x, 3.0),
            (false, _) => d.power(x, 2.0),
        };
        let axes: &[i64] = match self.twist {
            Twist::Axis => &[-2],
            Twist::BothAxes => &[-2, -1],
            _ => &[-1],
        };
        let mean = d.reduce(Reduction::Mean, square, axes);
        let sum = self.epsilon(&mut d, mean);
        let divided = if self.twist == Twist::OtherInput { other } else { x };
        let normal = self.divided(&mut d, divided, sum);
        let narrow = self.widened && self.weight != Weight::PlusOne;
        let normal = if narrow { d.cast(normal, DType::F16) } else { normal };
        let weight = self.vector(&mut d, if narrow { DType::F16 } else { DType::F32 });
        let weighted = d.mul(normal, weight);
        let mut outputs = vec![weighted];
        if self.bias {
            let bias = d.constant(sample::floats(&[WIDTH as usize], 11).cast(if narrow {
                DType::F16
            } else {
                DType::F32
            }));
            outputs[0] = d.add(weighted, bias);
        }
        match self.extra {
            Extra::Nothing => {}
            Extra::Square => outputs.push(square),
            Extra::Mean => outputs.push(mean),
            Extra::Normal => outputs.push(normal),
            Extra::Weighted => outputs.push(weighted),
        }
        d.fuse(&outputs)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn normalisations_mean_what_they_meant(v in variants()) {
        let outcome = v.fuse();
        let tolerance = if v.widened { 3e-3 } else { 1e-5 };
        prop_assert!(outcome.difference < tolerance, "{} apart", outcome.difference);
        let fits = v.twist == Twist::Nothing && !matches!(v.extra, Extra::Mean | Extra::Normal);
        // What is centred by the mean of something else is a normalisation of that difference.
        let of_difference = v.twist == Twist::OtherMean && !matches!(v.extra, Extra::Mean | Extra::Normal);
        let expected = [
            ("LayerNorm", fits && v.centred),
            ("RMSNorm", fits && !v.centred || of_difference),
        ];
        for (pattern, applied) in expected {
            prop_assert_eq!(outcome.applied(pattern), usize::from(applied), "{} {:?}", pattern, outcome.report);
        }
    }
}

#[test]
fn a_bias_goes_into_the_layer_norm_and_a_residual_does_not() {
    for (shape, nodes) in [(vec![WIDTH], 1), (vec![ROWS, WIDTH], 2)] {
        let mut d = Draft::new(0);
        let x = d.input(&sizes(&[ROWS, WIDTH]), DType::F32);
        let mean = d.reduce(Reduction::Mean, x, &[1]);
        let centred = d.binary(Binary::Sub, x, mean);
        let square = d.mul(centred, centred);
        let variance = d.reduce(Reduction::Mean, square, &[1]);
        let sum = d.plus(variance, 1e-5);
        let root = d.unary(Unary::Sqrt, sum);
        let normal = d.binary(Binary::Div, centred, root);
        let weight = d.constant(sample::floats(&[WIDTH as usize], 5));
        let weighted = d.mul(normal, weight);
        let added = d.input(&sizes(&shape), DType::F32);
        let out = d.add(weighted, added);
        let outcome = d.fuse(&[out]);
        assert_eq!((outcome.applied("LayerNorm"), outcome.nodes), (1, nodes));
        assert!(outcome.difference < 1e-6);
    }
}
