//! The values of floats of 8 and 4 bits.

use crate::DataType;

/// The value of a small float's code; `None` for other types.
///
/// Formats: OCP 8-bit Floating Point Specification 1.0 (E4M3, E5M2), OCP Microscaling Formats 1.0 (E2M1, E8M0), and the
/// `FNUZ` forms of arXiv 2206.02915, in which the code of negative zero is the only NaN.
pub(crate) fn minifloat(dtype: DataType, code: u8) -> Option<f32> {
    let nan = f32::NAN;
    Some(match dtype {
        DataType::F8E4M3Fn if code & 0x7F == 0x7F => nan,
        DataType::F8E4M3FnUz | DataType::F8E5M2FnUz if code == 0x80 => nan,
        DataType::F8E5M2 if code & 0x7F > 0x7C => nan,
        DataType::F8E5M2 if code & 0x7F == 0x7C => {
            if code >> 7 == 0 {
                f32::INFINITY
            } else {
                f32::NEG_INFINITY
            }
        }
        DataType::F8E4M3Fn => finite(code, 8, 3, 7),
        DataType::F8E4M3FnUz => finite(code, 8, 3, 8),
        DataType::F8E5M2 => finite(code, 8, 2, 15),
        DataType::F8E5M2FnUz => finite(code, 8, 2, 16),
        DataType::F4E2M1 => finite(code & 0xF, 4, 1, 1),
        DataType::F8E8M0 if code == 0xFF => nan,
        DataType::F8E8M0 => 2f32.powi(i32::from(code) - 127),
        _ => return None,
    })
}

/// `(-1)^s * 2^(e - bias) * 1.m`, or `(-1)^s * 2^(1 - bias) * 0.m` where `e` is 0; bits from the top: `s`, `e`, `m`.
fn finite(code: u8, bits: u32, mantissa_bits: u32, bias: i32) -> f32 {
    let negative = code >> (bits - 1) & 1 == 1;
    let mantissa = f32::from(code & ((1 << mantissa_bits) - 1));
    let exponent = i32::from(code >> mantissa_bits & ((1 << (bits - 1 - mantissa_bits)) - 1));
    let one = (1u32 << mantissa_bits) as f32;
    let magnitude = match exponent {
        0 => mantissa / one * 2f32.powi(1 - bias),
        _ => (1.0 + mantissa / one) * 2f32.powi(exponent - bias),
    };
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_specifications() {
        let cases = [
            (DataType::F8E4M3Fn, 0x7E, 448.0),
            (DataType::F8E4M3Fn, 0x01, 2f32.powi(-9)),
            (DataType::F8E4M3FnUz, 0x7F, 240.0),
            (DataType::F8E4M3FnUz, 0x01, 2f32.powi(-10)),
            (DataType::F8E5M2, 0x7B, 57344.0),
            (DataType::F8E5M2, 0x84, -(2f32.powi(-14))),
            (DataType::F8E5M2, 0x01, 2f32.powi(-16)),
            (DataType::F8E5M2FnUz, 0x7F, 57344.0),
            (DataType::F8E5M2FnUz, 0x01, 2f32.powi(-17)),
            (DataType::F4E2M1, 0x7, 6.0),
            (DataType::F4E2M1, 0x9, -0.5),
            (DataType::F8E8M0, 0x00, 2f32.powi(-127)),
            (DataType::F8E8M0, 0x80, 2.0),
        ];
        for (dtype, code, value) in cases {
            assert_eq!(minifloat(dtype, code), Some(value), "{dtype} {code:#x}");
        }
    }

    #[test]
    fn codes_that_are_no_numbers() {
        let nans = [
            (DataType::F8E4M3Fn, 0xFF),
            (DataType::F8E4M3FnUz, 0x80),
            (DataType::F8E5M2, 0x7D),
            (DataType::F8E5M2FnUz, 0x80),
            (DataType::F8E8M0, 0xFF),
        ];
        for (dtype, code) in nans {
            assert!(minifloat(dtype, code).is_some_and(f32::is_nan), "{dtype} {code:#x}");
        }
        assert_eq!(minifloat(DataType::F8E5M2, 0xFC), Some(f32::NEG_INFINITY));
        assert_eq!(minifloat(DataType::F32, 0), None);
    }
}
