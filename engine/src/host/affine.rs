//! Scale and bias of one weight group as they are stored: two halves, rounded together.

use half::f16;

/// Halves on each side of the nearest scale that [`Affine::nearest`] tries. On the Q4_1 file of SmolLM2-135M (3.3 million
/// groups of 32) the rms weight error from rounding is 0.0056 of a step with the nearest halves, 0.0030 with one neighbour,
/// 0.0025 with two, and no better with more; quantising itself costs 0.29 of a step.
const NEIGHBOURS: i32 = 2;

/// A group's `w = scale*x + bias`, where `x` stands for the code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Affine {
    /// Factor of `x`.
    pub scale: f16,
    /// Added to the product.
    pub bias: f16,
}

/// Mean and variance of `x` over a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Of the values of `x`, of which there must be at least one.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for x in values {
            count += 1.0;
            sum += x;
            squares += x * x;
        }
        let mean: f64 = sum / count;
        Self { mean, variance: (squares / count - mean * mean).max(0.0) }
    }
}

impl Affine {
    /// The pair of halves whose line is nearest to `scale*x + bias` in squared error over the group's `x`. Rounding the
    /// scale by a unit or two makes up for the coarse rounding of the larger bias. `None` where halves cannot hold them.
    pub(super) fn nearest(scale: f64, bias: f64, x: Moments) -> Option<Self> {
        let limit = f64::from(f16::MAX);
        if !(scale.abs() <= limit && bias.abs() <= limit) {
            return None;
        }
        let bits = f16::from_f32(scale as f32).to_bits();
        let candidates = (-NEIGHBOURS..=NEIGHBOURS).filter_map(|step| {
            let magnitude = u16::try_from(i32::from(bits & 0x7FFF) + step).ok()?;
            let near = f16::from_bits(bits & 0x8000 | magnitude);
            let delta = f64::from(near) - scale;
            let pair = Self { scale: near, bias: f16::from_f32((bias - delta * x.mean) as f32) };
            let shift = f64::from(pair.bias) - bias + delta * x.mean;
            let error = shift * shift + delta * delta * x.variance;
            error.is_finite().then_some((error, pair))
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, pair)| pair)
    }

    /// A line whose weight at `x = 1` is `value`: the scale holds what the bias rounds off. `None` where it is too large.
    pub(super) fn constant(value: f64) -> Option<Self> {
        let bias = f16::from_f32(value as f32);
        let scale = f16::from_f32((value - f64::from(bias)) as f32);
        bias.is_finite().then_some(Self { scale, bias })
    }

    /// The weight that `x` stands for.
    #[must_use]
    pub fn at(self, x: f32) -> f32 {
        f32::from(self.scale) * x + f32::from(self.bias)
    }

    /// As packed for the kernels: scale in the low half, bias in the high half.
    #[must_use]
    pub fn to_word(self) -> u32 {
        u32::from(self.scale.to_bits()) | u32::from(self.bias.to_bits()) << 16
    }

    /// Inverse of [`Affine::to_word`].
    #[must_use]
    pub fn from_word(word: u32) -> Self {
        Self { scale: f16::from_bits(word as u16), bias: f16::from_bits((word >> 16) as u16) }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Affine, Moments};

    fn moments() -> Moments {
        Moments::of((0..16).map(|q| 1.0 + f64::from(q) / 16.0))
    }

    #[test]
    fn what_halves_hold_is_kept() {
        for (scale, bias) in [(0.0, 0.0), (1.5, -2.25), (-0.125, 3.0), (65504.0, -65504.0), (6e-8, 1.0)] {
            let pair = Affine { scale: f16::from_f64(scale), bias: f16::from_f64(bias) };
            let found = Affine::nearest(pair.scale.to_f64(), pair.bias.to_f64(), moments());
            assert_eq!(found, Some(pair));
        }
    }

    #[test]
    fn beyond_halves_is_none() {
        for (scale, bias) in [(65520.0, 0.0), (0.0, -1e6), (f64::NAN, 0.0), (1.0, f64::INFINITY)] {
            assert_eq!(Affine::nearest(scale, bias, moments()), None);
        }
    }

    proptest! {
        #[test]
        fn never_worse_than_rounding_each(scale in -100f64..100.0, bias in -100f64..100.0) {
            let error = |pair: Affine| {
                let (ds, db) = (f64::from(pair.scale) - scale, f64::from(pair.bias) - bias);
                (0..16).map(|q| (ds * (1.0 + f64::from(q) / 16.0) + db).powi(2)).sum::<f64>()
            };
            let each = Affine { scale: f16::from_f32(scale as f32), bias: f16::from_f32(bias as f32) };
            let found = Affine::nearest(scale, bias, moments()).unwrap();
            prop_assert!(error(found) <= error(each) * (1.0 + 1e-9));
        }

        #[test]
        fn words_are_read_back(word in any::<u32>()) {
            prop_assert_eq!(Affine::from_word(word).to_word(), word);
        }
    }
}
