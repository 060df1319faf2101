//! M0E4: 4-bit codes `q`, a group's `w = S*(1 + q/16) + B`.
//!
//! In terms of a step `d` and a least value `m`, as 4-bit affine formats store them, `S = 16 d` and `B = m - 16 d`.

use super::{
    Affine, GroupSize, HostError,
    affine::Moments,
    range::{Range, check_finite},
    search,
};

/// How a group's scale and bias are found when its weights are not on a 4-bit grid already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// The grid spans the group's least and greatest weight.
    MinMax,
    /// The grid of least squared error that a search around `MinMax` finds; never worse than that.
    #[default]
    Search,
}

/// The weight `1 + q/16` of a code before scale and bias.
#[must_use]
pub fn mantissa(code: u8) -> f32 {
    1.0 + f32::from(code) / 16.0
}

/// Scale and bias for codes of another 4-bit affine format, `w = step*q + least` (Q4_1: `d` and `m`; Q4_0: `d` and
/// `-8 d`; MatMulNBits: `scale` and `-zero_point*scale`). The codes stay as they are; the rounding of the two halves shifts
/// the weights by about 0.0025 step rms.
///
/// `None` where `16*step` or `least - 16*step` is beyond what a half holds, or without codes.
#[must_use]
pub fn from_grid(codes: &[u8], step: f64, least: f64) -> Option<Affine> {
    let scale = 16.0 * step;
    if codes.is_empty() {
        return None;
    }
    let x = Moments::of(codes.iter().map(|&code| f64::from(mantissa(code))));
    Affine::nearest(scale, least - scale, x)
}

/// Quantises the weights of one row: `codes` gets a code for each, `scales` an entry for each group.
///
/// Weights that lie on a 4-bit affine grid keep their codes: where a group's codes 0 and 15 are in use (every group of
/// a Q4_1 file), or where in every group of the row 0 is the code of the value of largest magnitude and 8 that of zero
/// (every row of a Q4_0 file; a row that may be either is taken for that). On other grids the values are kept and the
/// codes count from the least value.
///
/// # Errors
/// If a weight is infinite or NaN, or a group needs a scale or bias beyond what a half holds; `row` is for the message.
pub fn quantise_row(
    row: usize,
    weights: &[f32],
    group: GroupSize,
    fit: Fit,
    codes: &mut [u8],
    scales: &mut [Affine],
) -> Result<(), HostError> {
    check_finite(row, weights)?;
    let symmetric = is_symmetric(weights, group);
    let groups = weights.chunks(group.weights()).zip(codes.chunks_mut(group.weights())).zip(scales);
    for (index, ((weights, codes), scale)) in groups.enumerate() {
        let range = Range::of(weights);
        *scale =
            quantise_group(weights, range, symmetric, fit, codes).ok_or_else(|| HostError::ScaleRange {
                row,
                column: index * group.weights(),
                least: range.least.to_string(),
                greatest: range.greatest.to_string(),
            })?;
    }
    Ok(())
}

fn quantise_group(
    weights: &[f32],
    range: Range,
    symmetric: bool,
    fit: Fit,
    codes: &mut [u8],
) -> Option<Affine> {
    if range.width() == 0.0 {
        codes.fill(if symmetric && range.least == 0.0 { 8 } else { 0 });
        return Affine::constant(range.least);
    }
    if let Some(grid) = if symmetric { Grid::symmetric(weights) } else { Grid::spanning(weights, range) } {
        grid.encode(weights, codes);
        return from_grid(codes, grid.step, grid.least);
    }
    let grid = Grid { step: range.width() / 15.0, least: range.least };
    grid.encode(weights, codes);
    let scale = from_grid(codes, grid.step, grid.least);
    match fit {
        Fit::MinMax => scale,
        Fit::Search => search::improve(weights, range, scale, codes),
    }
}

/// Whether the row comes from a format without a least value, such as Q4_0. Asked of the whole row, as one group of a Q4_1
/// file in 200 looks like that by chance.
fn is_symmetric(weights: &[f32], group: GroupSize) -> bool {
    weights.iter().any(|w| *w != 0.0) && weights.chunks(group.weights()).all(|g| Grid::symmetric(g).is_some())
}

/// Values `step*q + least` for `q` in 0..=15.
#[derive(Debug, Clone, Copy)]
struct Grid {
    step: f64,
    least: f64,
}

impl Grid {
    /// The grid with code 8 for zero and 0 for the value of largest magnitude, if all weights are on it.
    fn symmetric(weights: &[f32]) -> Option<Self> {
        let extreme = weights.iter().fold(0.0f32, |a, &w| if w.abs() > a.abs() { w } else { a });
        let grid = Self { step: f64::from(extreme) / -8.0, least: f64::from(extreme) };
        grid.holds(weights, f64::from(extreme).abs() / (8.0 * 64.0)).then_some(grid)
    }

    /// The grid of 15 steps from the least to the greatest weight, or else that of fewest steps, if all weights are on it.
    /// Positions on grids of 15 steps or fewer that differ do so by 1/210 of the range or more, so that the tolerance (what
    /// rounding to halves does to weights) confuses none.
    fn spanning(weights: &[f32], range: Range) -> Option<Self> {
        let tolerance = range.width() / (15.0 * 64.0);
        std::iter::once(15)
            .chain(1..15)
            .map(|steps| Self { step: range.width() / f64::from(steps), least: range.least })
            .find(|grid| grid.holds(weights, tolerance))
    }

    fn holds(self, weights: &[f32], tolerance: f64) -> bool {
        weights.iter().all(|&w| {
            let code = f64::from(self.code(w));
            (self.least + self.step * code - f64::from(w)).abs() <= tolerance
        })
    }

    fn code(self, weight: f32) -> u8 {
        ((f64::from(weight) - self.least) / self.step).round_ties_even().clamp(0.0, 15.0) as u8
    }

    fn encode(self, weights: &[f32], codes: &mut [u8]) {
        for (code, &weight) in codes.iter_mut().zip(weights) {
            *code = self.code(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest};

    use super::{Affine, Fit, GroupSize, HostError, mantissa, quantise_row};

    struct Row {
        codes: Vec<u8>,
        scales: Vec<Affine>,
        weights: Vec<f32>,
    }

    fn quantise(weights: &[f32], group: GroupSize, fit: Fit) -> Result<Row, HostError> {
        let mut codes = vec![0; weights.len()];
        let mut scales = vec![Affine::default(); group.count(weights.len())];
        quantise_row(7, weights, group, fit, &mut codes, &mut scales)?;
        let at = |(k, &code): (usize, &u8)| scales[k / group.weights()].at(mantissa(code));
        let decoded = codes.iter().enumerate().map(at).collect();
        Ok(Row { codes, scales, weights: decoded })
    }

    fn squared_error(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }

    /// Largest distance between weights of halves `S` and `B` one unit apart.
    fn unit(scale: Affine) -> f32 {
        let unit = |h: f16| f16::from_bits((h.to_bits() & 0x7FFF) + 1).to_f32() - h.to_f32().abs();
        2.0 * unit(scale.scale) + unit(scale.bias)
    }

    fn fits() -> impl Strategy<Value = Fit> {
        prop_oneof![proptest::prelude::Just(Fit::MinMax), proptest::prelude::Just(Fit::Search)]
    }

    fn any_weights() -> impl Strategy<Value = Vec<f32>> {
        let weight = prop_oneof![8 => -1f32..1.0, 1 => -50f32..50.0, 1 => proptest::prelude::Just(0.0)];
        (proptest::collection::vec(weight, 8..300), -20i32..8).prop_map(|(w, e)| {
            let whole = w.len() / 8 * 8;
            w[..whole].iter().map(|w| w * 2f32.powi(e)).collect()
        })
    }

    /// `(d, m/d, codes)` of groups of 32, with codes 0 and 15 in use.
    fn q4_1() -> impl Strategy<Value = Vec<(f16, f32, Vec<u8>)>> {
        let group = (1f32..2.0, -13i32..9, -30f32..20.0, proptest::collection::vec(0u8..16, 32), 0usize..31)
            .prop_map(|(d, e, m, mut codes, at)| {
                (codes[at], codes[at + 1]) = (0, 15);
                (f16::from_f32(d * 2f32.powi(e)), m, codes)
            });
        proptest::collection::vec(group, 1..6)
    }

    proptest! {
        #[test]
        fn codes_of_q4_1_are_kept(groups in q4_1(), fit in fits()) {
            let decode = |(d, m, codes): &(f16, f32, Vec<u8>)| -> Vec<f32> {
                let (d, m) = (d.to_f32(), f16::from_f32(m * d.to_f32()).to_f32());
                codes.iter().map(|q| d * f32::from(*q) + m).collect()
            };
            let weights: Vec<f32> = groups.iter().flat_map(decode).collect();
            let codes: Vec<u8> = groups.iter().flat_map(|g| g.2.clone()).collect();
            let through_halves: Vec<f32> = weights.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
            prop_assume!(![&weights, &through_halves].into_iter().any(|w| super::is_symmetric(w, GroupSize::G32)));
            let row = quantise(&weights, GroupSize::G32, fit).unwrap();
            prop_assert_eq!(quantise(&through_halves, GroupSize::G32, fit).unwrap().codes, codes.clone());
            prop_assert_eq!(row.codes, codes);
            for (i, (a, b)) in weights.iter().zip(&row.weights).enumerate() {
                let step = groups[i / 32].0.to_f32();
                prop_assert!((a - b).abs() <= 0.06 * step, "{} {} step {}", a, b, step);
            }
        }

        #[test]
        fn codes_of_q4_0_are_kept(
            groups in proptest::collection::vec((1f32..2.0, any::<bool>(), proptest::collection::vec(0u8..16, 31)), 2..6),
            fit in fits(),
        ) {
            let step = |(d, negative, _): &(f32, bool, Vec<u8>)| f16::from_f32(if *negative { -d } else { *d }).to_f32();
            let codes: Vec<u8> = groups.iter().flat_map(|g| std::iter::once(0).chain(g.2.clone())).collect();
            let weight = |(i, q): (usize, &u8)| step(&groups[i / 32]) * (f32::from(*q) - 8.0);
            let weights: Vec<f32> = codes.iter().enumerate().map(weight).collect();
            let row = quantise(&weights, GroupSize::G32, fit).unwrap();
            prop_assert_eq!(row.codes, codes);
        }

        #[test]
        fn its_own_grid_gives_the_same_codes(weights in any_weights(), fit in fits()) {
            let once = quantise(&weights, GroupSize::G32, Fit::MinMax).unwrap();
            prop_assume!(!super::is_symmetric(&once.weights, GroupSize::G32));
            let twice = quantise(&once.weights, GroupSize::G32, fit).unwrap();
            for (g, codes) in once.codes.chunks(32).enumerate() {
                let coarse = once.scales[g].scale.to_f32() / 16.0 <= 64.0 * f32::EPSILON * once.weights[g * 32].abs();
                if codes.contains(&15) && !coarse {
                    prop_assert_eq!(codes, &twice.codes[g * 32..][..codes.len()]);
                }
            }
        }

        #[test]
        fn the_error_is_half_a_step(weights in any_weights(), group in proptest::sample::select(&GroupSize::ALL[..])) {
            let row = quantise(&weights, group, Fit::MinMax).unwrap();
            for (i, (a, b)) in weights.iter().zip(&row.weights).enumerate() {
                let scale = row.scales[i / group.weights()];
                let bound = scale.scale.to_f32().abs() / 32.0 * 1.0001 + 2.0 * unit(scale);
                prop_assert!((a - b).abs() <= bound, "{} {} {:?}", a, b, scale);
            }
        }

        #[test]
        fn the_search_is_never_worse(weights in any_weights(), group in proptest::sample::select(&GroupSize::ALL[..])) {
            let error = |fit| squared_error(&weights, &quantise(&weights, group, fit).unwrap().weights);
            prop_assert!(error(Fit::Search) <= error(Fit::MinMax));
        }
    }

    #[test]
    fn the_search_pays_on_bell_shaped_weights() {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let weights: Vec<f32> = (0..32 * 256).map(|_| (0..12).map(|_| uniform()).sum()).collect();
        for (group, gain) in [(GroupSize::G32, 0.80), (GroupSize::G64, 0.83), (GroupSize::G128, 0.85)] {
            let error = |fit| squared_error(&weights, &quantise(&weights, group, fit).unwrap().weights);
            let ratio = error(Fit::Search) / error(Fit::MinMax);
            assert!(ratio < gain, "{group:?}: {ratio}");
        }
    }

    #[test]
    fn edge_cases() {
        let ramp = |scale: f32| (0..32).map(|i| (i * i) as f32 * scale).collect::<Vec<_>>();
        let cases: &[(&str, Vec<f32>, f32)] = &[
            ("zeros", vec![0.0; 40], 0.0),
            ("a constant that a half does not hold", vec![0.1; 16], 1e-7),
            ("a large constant", vec![-65000.3; 8], 0.01),
            ("two values", [1.0, -3.0].repeat(16), 0.002),
            ("three values", [1.0, -1.0, 0.0, 0.0].repeat(8), 0.0),
            ("huge", ramp(60.0), 2000.0),
            ("subnormal scales", ramp(1e-10), 1e-7),
            ("below every half", vec![1e-12, -1e-12, 0.0, 1e-30, 1e-12, 0.0, 0.0, 0.0], 1e-11),
        ];
        for fit in [Fit::MinMax, Fit::Search] {
            for (name, weights, bound) in cases {
                let row = quantise(weights, GroupSize::G32, fit).unwrap();
                let worst = weights.iter().zip(&row.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= *bound, "{name}, {fit:?}: {worst}");
            }
        }
    }

    #[test]
    fn what_cannot_be_quantised_is_named() {
        let with = |value: f32| {
            let mut weights = vec![0.5; 64];
            weights[40] = value;
            weights[41] = -value;
            quantise(&weights, GroupSize::G32, Fit::Search).err().unwrap().to_string()
        };
        assert!(with(f32::NAN).contains("row 7, column 40: the weight is NaN"), "{}", with(f32::NAN));
        assert!(with(f32::INFINITY).contains("row 7, column 40"), "{}", with(f32::INFINITY));
        assert!(with(1e30).contains("row 7, columns from 32 on"), "{}", with(1e30));
        assert!(with(f32::MAX).contains("f32"), "{}", with(f32::MAX));
    }

    #[test]
    fn grids_of_other_formats_convert() {
        let codes: Vec<u8> = (0..16).chain(0..16).collect();
        for (step, least) in [(0.01, -0.08), (0.003, -0.02), (-0.5, 4.0), (0.0, 0.25)] {
            let scale = super::from_grid(&codes, step, least).unwrap();
            for &code in &codes {
                let weight = step * f64::from(code) + least;
                assert!(
                    (f64::from(scale.at(mantissa(code))) - weight).abs() <= 0.03 * step.abs(),
                    "{step} {code}"
                );
            }
        }
        assert_eq!(super::from_grid(&codes, 5000.0, 0.0), None);
        assert_eq!(super::from_grid(&[], 1.0, 0.0), None);
    }
}
