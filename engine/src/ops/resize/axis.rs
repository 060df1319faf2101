//! One axis of a Resize: where each new position lies between old ones, and what share it has of which.

use crate::error::{OpError, invalid};

/// Indices and weights that a table may have.
const TABLE: f64 = (1 << 22) as f64;

/// How a position of the result becomes one of the input (`coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// The outermost positions of both lie on each other.
    AlignCorners,
    /// The first positions do.
    Asymmetric,
    /// The outer edges of both do.
    HalfPixel,
    /// The same, but of a size that is not whole the middles do.
    HalfPixelSymmetric,
    /// The edges, but for a single position, which is the first one.
    PytorchHalfPixel,
    /// The edges, a half to the right.
    TfHalfPixelForNn,
    /// As align corners, of a part of the input; there is `extrapolation_value` beyond the input.
    TfCropAndResize,
}

/// What a position between two takes (`mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One element.
    Nearest(Nearest),
    /// Of two, by their distances.
    Linear,
    /// Of four, by a cubic polynomial (Keys, "Cubic convolution interpolation for digital image processing", 1981).
    Cubic,
}

/// Which element is the nearest (`nearest_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Half way the one before.
    PreferFloor,
    /// Half way the one behind.
    PreferCeil,
    /// The one before.
    Floor,
    /// The one behind.
    Ceil,
}

/// What Resize does along every axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Method {
    /// What lies between positions.
    pub mode: Mode,
    /// Where positions lie.
    pub coordinates: Coordinates,
    /// The coefficient of the cubic polynomial.
    pub cubic: f64,
    /// Whether a smaller result takes more elements into account, so that none is passed over.
    pub antialias: bool,
    /// Whether elements beyond the input have no share; else they are the outermost ones.
    pub exclude_outside: bool,
}

/// An axis that changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    /// Its size.
    pub from: usize,
    /// Its size in the result.
    pub to: usize,
    /// The ratio of these as it is given, when `to` is not whole before it is cut.
    pub scale: f64,
    /// The part of the input that is taken for all of it, `[0, 1]` of which is all.
    pub part: [f64; 2],
}

/// For each new position the same number of old ones and their weights. An index below 0 is beyond the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Number of old positions for each new one.
    pub terms: usize,
    /// Old positions.
    pub indices: Vec<i64>,
    /// Their weights.
    pub weights: Vec<f64>,
}

impl Method {
    /// The table of an axis.
    ///
    /// # Errors
    /// When there is nothing to take from, or too much.
    pub fn table(self, axis: Axis) -> Result<Table, OpError> {
        if axis.to == 0 {
            return Ok(Table { terms: 1, indices: Vec::new(), weights: Vec::new() });
        }
        if axis.from == 0 {
            return Err(invalid(format!("a size of 0 resized to {}", axis.to)));
        }
        // Terms on each side.
        let shrink = if self.antialias { axis.scale.min(1.0) } else { 1.0 };
        let reach = match self.mode {
            Mode::Nearest(_) => 0.5,
            Mode::Linear => (1.0 / shrink).ceil(),
            Mode::Cubic => (2.0 / shrink).ceil(),
        };
        if !(axis.scale > 0.0 && 2.0 * reach * axis.to as f64 <= TABLE) {
            return Err(OpError::Unsupported(format!("resizing {} by {}", axis.from, axis.scale)));
        }
        let terms = (2.0 * reach) as usize;
        let (mut indices, mut weights) = (Vec::new(), Vec::new());
        for at in 0..axis.to {
            let x = self.coordinates.source(at as f64, axis);
            let last = axis.from as f64 - 1.0;
            if self.coordinates == Coordinates::TfCropAndResize && !(0.0..=last).contains(&x) {
                indices.extend(std::iter::repeat_n(-1, terms));
                weights.extend((0..terms).map(|term| f64::from(u8::from(term == 0))));
                continue;
            }
            // Not on the position itself: there the one before it has no share.
            let before = x.ceil() - 1.0;
            let ratio = x - before;
            let start = match self.mode {
                Mode::Nearest(nearest) => before + f64::from(u8::from(nearest.is_behind(ratio))),
                Mode::Linear | Mode::Cubic => before - reach + 1.0,
            };
            let places = (0..terms).map(|term| start + term as f64);
            let share = |place: f64| match self.mode {
                _ if self.exclude_outside && !(0.0..=last).contains(&place) => 0.0,
                Mode::Nearest(_) => 1.0,
                Mode::Linear => (1.0 - ((place - x) * shrink).abs()).max(0.0),
                Mode::Cubic => cubic((place - x) * shrink, self.cubic),
            };
            let shares: Vec<f64> = places.clone().map(share).collect();
            let sum: f64 = shares.iter().sum();
            weights.extend(shares.into_iter().map(|share| if sum == 0.0 { share } else { share / sum }));
            indices.extend(places.map(|place| place.clamp(0.0, last) as i64));
        }
        Ok(Table { terms, indices, weights })
    }
}

impl Nearest {
    /// Whether the position behind is taken, where `ratio` in `(0, 1]` of the way to it is behind one.
    fn is_behind(self, ratio: f64) -> bool {
        match self {
            Self::PreferFloor => ratio > 0.5,
            Self::PreferCeil => ratio >= 0.5,
            Self::Floor => ratio == 1.0,
            Self::Ceil => true,
        }
    }
}

impl Coordinates {
    /// The position of the input that position `at` of the result is.
    fn source(self, at: f64, axis: Axis) -> f64 {
        let (from, width) = (axis.from as f64, axis.scale * axis.from as f64);
        let half_pixel = (at + 0.5) / axis.scale - 0.5;
        let [start, end] = axis.part;
        match self {
            Self::AlignCorners if width == 1.0 => 0.0,
            Self::AlignCorners => at * (from - 1.0) / (width - 1.0),
            Self::Asymmetric => at / axis.scale,
            Self::HalfPixel => half_pixel,
            Self::HalfPixelSymmetric => from / 2.0 * (1.0 - axis.to as f64 / width) + half_pixel,
            Self::PytorchHalfPixel if axis.to == 1 => 0.0,
            Self::PytorchHalfPixel => half_pixel,
            Self::TfHalfPixelForNn => half_pixel + 0.5,
            Self::TfCropAndResize if axis.to == 1 => (start + end) / 2.0 * (from - 1.0),
            Self::TfCropAndResize => (start + at * (end - start) / (width - 1.0)) * (from - 1.0),
        }
    }
}

fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Coordinates, Method, Mode, Nearest};

    fn method(mode: Mode, coordinates: Coordinates) -> Method {
        Method { mode, coordinates, cubic: -0.75, antialias: false, exclude_outside: false }
    }

    #[test]
    fn nearest_positions_by_hand() {
        let axis = Axis { from: 4, to: 8, scale: 2.0, part: [0.0, 1.0] };
        let of =
            |nearest, coordinates| method(Mode::Nearest(nearest), coordinates).table(axis).unwrap().indices;
        assert_eq!(of(Nearest::Floor, Coordinates::Asymmetric), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(of(Nearest::PreferCeil, Coordinates::Asymmetric), [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(of(Nearest::PreferFloor, Coordinates::Asymmetric), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(of(Nearest::Ceil, Coordinates::HalfPixel), [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(of(Nearest::Floor, Coordinates::AlignCorners), [0, 0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn weights_add_up_to_one() {
        for (from, to) in [(5, 3), (3, 7), (4, 4), (1, 6), (9, 1)] {
            let axis = Axis { from, to, scale: to as f64 / from as f64, part: [0.0, 1.0] };
            for mode in [Mode::Linear, Mode::Cubic] {
                for antialias in [false, true] {
                    let method = Method { antialias, ..method(mode, Coordinates::HalfPixel) };
                    let table = method.table(axis).unwrap();
                    assert_eq!(
                        (table.indices.len(), table.weights.len()),
                        (to * table.terms, to * table.terms)
                    );
                    for weights in table.weights.chunks(table.terms) {
                        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{from} {to} {mode:?}");
                    }
                    assert!(table.indices.iter().all(|i| (0..from as i64).contains(i)));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_resized_is_refused() {
        let linear = Method { antialias: true, ..method(Mode::Linear, Coordinates::HalfPixel) };
        let of = |from, to, scale| linear.table(Axis { from, to, scale, part: [0.0, 1.0] });
        assert!(of(0, 3, 1.0).is_err());
        assert!(of(4, 1, 1e-30).is_err());
        assert!(of(4, 1, f64::NAN).is_err());
        assert!(of(4, usize::MAX, 1e30).is_err());
    }
}
