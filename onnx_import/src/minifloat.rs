//! Floats of 8 and 4 bits: what their codes mean, and which of them a number is rounded to.

use crate::DataType;

/// A format: codes are `s` (of signed ones), `e` and `m` from the top, worth `(-1)^s * 2^(least_exponent - 1 + e) * 1.m`, or
/// `(-1)^s * 2^least_exponent * 0.m` where `e` is 0. Without a mantissa there is no sign, and a code is the power
/// `2^(least_exponent + code)`.
///
/// Formats: OCP 8-bit Floating Point Specification 1.0 (E4M3, E5M2), OCP Microscaling Formats 1.0 (E2M1, E8M0), and the
/// `FNUZ` forms of arXiv 2206.02915.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minifloat {
    /// Bits of a code.
    pub bits: u32,
    /// Bits of the mantissa.
    pub mantissa: u32,
    /// The exponent of the least number that is not subnormal.
    pub least_exponent: i32,
    /// The greatest finite number.
    pub largest: f32,
    /// Which codes are no numbers.
    pub others: Others,
}

/// Codes of a [`Minifloat`] that are no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// None: NaN becomes 0, infinity the largest number.
    None,
    /// The code of all ones, but for its sign, is NaN.
    Ones,
    /// The code of negative zero is NaN.
    NegativeZero,
    /// With the highest exponent: infinity, and NaN.
    Ieee,
}

/// How a number between two of a format is brought to one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearer one, or of two the one with an even mantissa (without a mantissa, the greater one).
    #[default]
    Nearest,
    /// Away from zero.
    Up,
    /// Toward zero.
    Down,
}

impl Minifloat {
    /// `FLOAT8E4M3FN`.
    pub const E4M3FN: Self =
        Self { bits: 8, mantissa: 3, least_exponent: -6, largest: 448.0, others: Others::Ones };
    /// `FLOAT8E4M3FNUZ`.
    pub const E4M3FNUZ: Self =
        Self { bits: 8, mantissa: 3, least_exponent: -7, largest: 240.0, others: Others::NegativeZero };
    /// `FLOAT8E5M2`.
    pub const E5M2: Self =
        Self { bits: 8, mantissa: 2, least_exponent: -14, largest: 57344.0, others: Others::Ieee };
    /// `FLOAT8E5M2FNUZ`.
    pub const E5M2FNUZ: Self =
        Self { bits: 8, mantissa: 2, least_exponent: -15, largest: 57344.0, others: Others::NegativeZero };
    /// `FLOAT4E2M1`.
    pub const E2M1: Self =
        Self { bits: 4, mantissa: 1, least_exponent: 0, largest: 6.0, others: Others::None };
    /// `FLOAT8E8M0`; 2^127 is the greatest power of two that `f32` has.
    pub const E8M0: Self = Self {
        bits: 8,
        mantissa: 0,
        least_exponent: -127,
        largest: f32::from_bits(254 << 23),
        others: Others::Ones,
    };

    /// The format of an element type, if it is one.
    #[must_use]
    pub const fn of(dtype: DataType) -> Option<Self> {
        Some(match dtype {
            DataType::F8E4M3Fn => Self::E4M3FN,
            DataType::F8E4M3FnUz => Self::E4M3FNUZ,
            DataType::F8E5M2 => Self::E5M2,
            DataType::F8E5M2FnUz => Self::E5M2FNUZ,
            DataType::F4E2M1 => Self::E2M1,
            DataType::F8E8M0 => Self::E8M0,
            _ => return None,
        })
    }

    /// What numbers beyond the largest, and infinity, become. `saturate` holds them at the largest.
    #[must_use]
    pub const fn beyond(self, saturate: bool) -> f32 {
        match self.others {
            _ if saturate => self.largest,
            Others::None => self.largest,
            Others::Ieee => f32::INFINITY,
            Others::Ones | Others::NegativeZero => f32::NAN,
        }
    }

    /// What NaN becomes.
    #[must_use]
    pub const fn nan(self) -> f32 {
        if matches!(self.others, Others::None) { 0.0 } else { f32::NAN }
    }

    /// The number of the format that a number is rounded to. A power of two has no sign: negative numbers are none.
    #[must_use]
    pub fn round(self, value: f64, rounding: Rounding, saturate: bool) -> f64 {
        let power = self.mantissa == 0;
        if value.is_nan() || (power && value < 0.0) {
            return self.nan().into();
        }
        let size = value.abs();
        let beyond = f64::from(self.beyond(saturate));
        let step = self.step(size);
        let whole = match rounding {
            _ if power && rounding == Rounding::Nearest => (size / step).round(),
            Rounding::Nearest => (size / step).round_ties_even(),
            Rounding::Up => (size / step).ceil(),
            Rounding::Down => (size / step).floor(),
        };
        let near = if power { whole.max(1.0) * step } else { whole * step };
        let size = if near > f64::from(self.largest) { beyond } else { near };
        if size == 0.0 && self.others == Others::NegativeZero { 0.0 } else { size.copysign(value) }
    }

    /// The distance of neighbours around a number that is not negative.
    fn step(self, size: f64) -> f64 {
        power(self.exponent(size) - self.mantissa as i32)
    }

    /// The exponent that a number, not negative, is written with.
    fn exponent(self, size: f64) -> i32 {
        let exponent = (size.to_bits() >> 52) as i32 - 1023;
        exponent.max(self.least_exponent)
    }

    /// The code of the nearest number; beyond the largest infinity, or NaN, where there is such a code.
    #[must_use]
    pub fn encode(self, value: f64) -> u8 {
        let (sign, ones) = (1 << (self.bits - 1), ((1u16 << self.bits) - 1) as u8);
        let value = self.round(value, Rounding::Nearest, false);
        let negative = value.is_sign_negative();
        let size = match self.others {
            Others::NegativeZero if value.is_nan() => return sign,
            Others::Ones if value.is_nan() && self.mantissa == 0 => return ones,
            Others::Ones if value.is_nan() => ones & !sign,
            Others::Ieee if value.is_nan() => ones & !sign,
            Others::Ieee if value.is_infinite() => ones & !sign & !((1 << self.mantissa) - 1),
            // The leading one of the mantissa is the first step of the exponent.
            _ => {
                let steps = (value.abs() / self.step(value.abs())) as u8;
                let above = (self.exponent(value.abs()) - self.least_exponent) as u8;
                if self.mantissa == 0 { above } else { (above << self.mantissa) + steps }
            }
        };
        if negative && self.mantissa > 0 { size | sign } else { size }
    }

    /// The value of a code, of which the low bits count.
    #[must_use]
    pub fn decode(self, code: u8) -> f32 {
        let ones = ((1u16 << self.bits) - 1) as u8;
        let (code, sign) = (code & ones, 1 << (self.bits - 1));
        if self.mantissa == 0 {
            return if code == ones { f32::NAN } else { power(self.least_exponent + i32::from(code)) as f32 };
        }
        let size = code & !sign;
        let exponent = i32::from(size >> self.mantissa);
        let mantissa = size & ((1 << self.mantissa) - 1);
        let top = size >> self.mantissa == (ones & !sign) >> self.mantissa;
        let magnitude = match self.others {
            Others::Ones if size == ones & !sign => f32::NAN,
            Others::NegativeZero if code == sign => f32::NAN,
            Others::Ieee if top && mantissa > 0 => f32::NAN,
            Others::Ieee if top => f32::INFINITY,
            _ => {
                let leading = if exponent == 0 { 0 } else { 1 << self.mantissa };
                let step = self.least_exponent + (exponent - 1).max(0) - self.mantissa as i32;
                f32::from(leading + mantissa) * power(step) as f32
            }
        };
        if code & sign == 0 { magnitude } else { -magnitude }
    }
}

/// A power of two that `f64` has.
fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::{DataType, Minifloat, Rounding};

    /// Codes and values of `ml_dtypes`: `scripts/oracle/minifloats.py`.
    const KNOWN: &str = include_str!("minifloats.txt");

    /// What is not negative and finite among the codes' values, what lies half way between two, and the nearest to that.
    fn between(values: &[f32]) -> Vec<f32> {
        let mut sorted: Vec<f32> =
            values.iter().copied().filter(|v| v.is_finite() && !v.is_sign_negative()).collect();
        sorted.sort_by(f32::total_cmp);
        let halves = sorted.windows(2).map(|pair| f32::midpoint(pair[0], pair[1]));
        let mut all: Vec<f32> = halves.flat_map(|half| [half.next_down(), half, half.next_up()]).collect();
        let largest = sorted.last().copied().unwrap_or(0.0);
        all.extend(sorted);
        all.extend([1.03, 1.07, 1.13, 1.26, 1.6].map(|factor| largest * factor));
        all.extend([1e-30, 1e30, f32::INFINITY, f32::NAN]);
        all
    }

    fn hex<T>(line: &str, width: usize, read: impl Fn(u32) -> T) -> Vec<T> {
        let text = |at| &line[at..at + width];
        (0..line.len()).step_by(width).map(|at| read(u32::from_str_radix(text(at), 16).unwrap())).collect()
    }

    #[test]
    fn every_code_and_everything_between_two_is_as_elsewhere() {
        let mut lines = KNOWN.lines();
        let mut formats = 0;
        while let (Some(name), Some(values), Some(codes)) = (lines.next(), lines.next(), lines.next()) {
            let dtype = DataType::ALL.iter().find(|d| d.to_string() == name).unwrap();
            let format = Minifloat::of(*dtype).unwrap();
            let (values, codes) = (hex(values, 8, f32::from_bits), hex(codes, 2, |code| code as u8));
            assert_eq!(values.len(), 1 << format.bits);
            for (code, value) in values.iter().enumerate() {
                let got = format.decode(code as u8);
                assert!(got.to_bits() == value.to_bits() || got.is_nan() && value.is_nan(), "{name} {code}");
                let again = format.encode((*value).into());
                assert!(again == code as u8 || value.is_nan(), "{name} {value} as {again}");
            }
            let numbers = between(&values);
            let signed = if format.mantissa == 0 { &[1.0][..] } else { &[1.0, -1.0] };
            let inputs = signed.iter().flat_map(|sign| numbers.iter().map(move |v| sign * v));
            assert_eq!(inputs.clone().count(), codes.len());
            for (input, code) in inputs.zip(&codes) {
                let got = format.encode(input.into());
                let same = got == *code || format.decode(got).is_nan() && format.decode(*code).is_nan();
                // The format without NaN has no place for one, and `ml_dtypes` rounds up what f32 holds as subnormal.
                let odd = input.is_nan() || format.mantissa == 0 && input < f32::MIN_POSITIVE;
                assert!(same || odd, "{name} {input:e}: {got:#x} instead of {code:#x}");
            }
            formats += 1;
        }
        assert_eq!(formats, 6);
    }

    #[test]
    fn too_large_numbers_are_held_where_asked() {
        let rounded = |format: Minifloat, x: f64, saturate| format.round(x, Rounding::Nearest, saturate);
        for format in [Minifloat::E4M3FN, Minifloat::E4M3FNUZ, Minifloat::E5M2, Minifloat::E5M2FNUZ] {
            let largest = f64::from(format.largest);
            for x in [largest * 1.3, f64::INFINITY] {
                assert_eq!(rounded(format, -x, true), -largest, "{format:?}");
                assert!(!rounded(format, x, false).is_finite(), "{format:?}");
            }
            assert!(rounded(format, f64::NAN, true).is_nan());
        }
        assert_eq!(rounded(Minifloat::E2M1, 1e9, false), 6.0);
        assert_eq!(rounded(Minifloat::E8M0, f64::INFINITY, true), 2f64.powi(127));
    }

    #[test]
    fn powers_of_two_are_rounded_three_ways() {
        let rounded = |x, rounding| Minifloat::E8M0.round(x, rounding, true);
        let all = |x| [Rounding::Down, Rounding::Nearest, Rounding::Up].map(|r| rounded(x, r));
        assert_eq!(all(2.5), [2.0, 2.0, 4.0]);
        assert_eq!(all(3.0), [2.0, 4.0, 4.0]);
        assert_eq!(all(8.0), [8.0; 3]);
        assert_eq!(all(0.0), [2f64.powi(-127); 3]);
        assert!(rounded(-1.0, Rounding::Nearest).is_nan());
    }
}
