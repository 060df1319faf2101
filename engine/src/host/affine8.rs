//! 8-bit affine codes: a group's `w = S*q + B`, `q` in 0..=255.

use super::{
    Affine, GroupSize, HostError,
    affine::Moments,
    range::{Range, check_finite},
};

/// Quantises the weights of one row: `codes` gets a code for each, `scales` an entry for each group.
///
/// Weights on a symmetric 8-bit grid (`w = d*q`, the largest `|q|` 127, as in Q8_0, or 128) get `q + 128`, `S = d` and
/// `B = -128 d`, exactly. Otherwise the grid spans the least and the greatest weight.
///
/// # Errors
/// If a weight is infinite or NaN, or a group needs a scale or bias beyond what a half holds; `row` is for the message.
pub fn quantise_row(
    row: usize,
    weights: &[f32],
    group: GroupSize,
    codes: &mut [u8],
    scales: &mut [Affine],
) -> Result<(), HostError> {
    check_finite(row, weights)?;
    let groups = weights.chunks(group.weights()).zip(codes.chunks_mut(group.weights())).zip(scales);
    for (index, ((weights, codes), scale)) in groups.enumerate() {
        let range = Range::of(weights);
        *scale = quantise_group(weights, range, codes).ok_or_else(|| HostError::ScaleRange {
            row,
            column: index * group.weights(),
            least: range.least.to_string(),
            greatest: range.greatest.to_string(),
        })?;
    }
    Ok(())
}

fn quantise_group(weights: &[f32], range: Range, codes: &mut [u8]) -> Option<Affine> {
    if range.width() == 0.0 {
        codes.fill(1);
        return Affine::constant(range.least);
    }
    if let Some(step) = symmetric_step(weights, range) {
        encode(weights, step, -128.0 * step, codes);
        let step = solved(weights, codes);
        return from_grid(codes, step, -128.0 * step);
    }
    let step = range.width() / 255.0;
    encode(weights, step, range.least, codes);
    let scale = from_grid(codes, step, range.least)?;
    encode(weights, scale.scale.into(), scale.bias.into(), codes);
    Some(scale)
}

/// The step of a grid through zero, if its largest code is 127 or 128 and every weight is within 1/8 step of it: the largest
/// weight of a Q8_0 file that went through halves, and with it the step found here, is off by up to 1/16.
fn symmetric_step(weights: &[f32], range: Range) -> Option<f64> {
    let largest = range.greatest.max(-range.least);
    [127.0, 128.0].into_iter().map(|code| largest / code).find(|&step| {
        let below_128 = range.greatest < 127.5 * step;
        let on_grid = |&w: &f32| {
            let position = f64::from(w) / step;
            (position - position.round_ties_even()).abs() <= 0.125
        };
        below_128 && weights.iter().all(on_grid)
    })
}

/// The least-squares step through zero, which is code 128.
fn solved(weights: &[f32], codes: &[u8]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for (&weight, &code) in weights.iter().zip(codes) {
        let code = f64::from(code) - 128.0;
        products += f64::from(weight) * code;
        squares += code * code;
    }
    products / squares
}

fn encode(weights: &[f32], step: f64, least: f64, codes: &mut [u8]) {
    for (code, &weight) in codes.iter_mut().zip(weights) {
        *code = ((f64::from(weight) - least) / step).round_ties_even() as u8;
    }
}

/// Scale and bias for codes of another 8-bit affine format, `w = step*q + least`; `None` beyond what halves hold.
#[must_use]
pub fn from_grid(codes: &[u8], step: f64, least: f64) -> Option<Affine> {
    if codes.is_empty() {
        return None;
    }
    Affine::nearest(step, least, Moments::of(codes.iter().map(|&code| f64::from(code))))
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Affine, GroupSize, HostError, quantise_row};

    fn quantise(weights: &[f32], group: GroupSize) -> Result<(Vec<u8>, Vec<Affine>), HostError> {
        let mut codes = vec![0; weights.len()];
        let mut scales = vec![Affine::default(); group.count(weights.len())];
        quantise_row(3, weights, group, &mut codes, &mut scales)?;
        Ok((codes, scales))
    }

    proptest! {
        #[test]
        fn q8_0_is_exact(
            d in 1f32..2.0,
            exponent in -14i32..8,
            codes in proptest::collection::vec(-127i8..=127, 31),
            end in any::<bool>(),
        ) {
            let d = f16::from_f32(d * 2f32.powi(exponent)).to_f32();
            let codes: Vec<i8> = codes.into_iter().chain([if end { 127 } else { -127 }]).collect();
            let weights: Vec<f32> = codes.iter().map(|q| d * f32::from(*q)).collect();
            let (found, scales) = quantise(&weights, GroupSize::G32).unwrap();
            prop_assert_eq!(scales[0].scale.to_f32(), d);
            let through_halves: Vec<f32> = weights.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
            prop_assert_eq!(&quantise(&through_halves, GroupSize::G32).unwrap().0, &found);
            for ((code, found), weight) in codes.iter().zip(found).zip(weights) {
                prop_assert_eq!(i16::from(*code) + 128, i16::from(found));
                prop_assert_eq!(scales[0].at(found.into()), weight);
            }
        }

        #[test]
        fn the_error_is_about_half_a_step(
            weights in proptest::collection::vec(-1f32..1.0, 4..200),
            group in proptest::sample::select(&GroupSize::ALL[..]),
        ) {
            let (codes, scales) = quantise(&weights, group).unwrap();
            for (i, (weight, code)) in weights.iter().zip(codes).enumerate() {
                let scale = scales[i / group.weights()];
                let rounding = 256.0 * f16::MIN_POSITIVE_SUBNORMAL.to_f32() + weight.abs() / 1024.0;
                let bound = 0.8 * scale.scale.to_f32().abs() + rounding;
                prop_assert!((scale.at(code.into()) - weight).abs() <= bound, "{} {} {:?}", weight, code, scale);
            }
        }
    }

    #[test]
    fn edge_cases() {
        for value in [0.0, 0.1, -7.3, 1e-9] {
            let (codes, scales) = quantise(&[value; 12], GroupSize::G64).unwrap();
            assert!((scales[0].at(codes[0].into()) - value).abs() <= value.abs() * 1e-6 + 3e-8, "{value}");
        }
        assert!(matches!(
            quantise(&[0.0, f32::NAN], GroupSize::G32),
            Err(HostError::NotFinite { row: 3, column: 1, .. })
        ));
        assert!(matches!(
            quantise(&[1e6, -1e8], GroupSize::G32),
            Err(HostError::ScaleRange { row: 3, column: 0, .. })
        ));
    }
}
