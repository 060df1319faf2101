//! MelWeightMatrix: how much each frequency of a spectrum adds to each band of the mel scale.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    host::HostTensor,
    op::{
        Case, OnConstants, OnnxNode, Op, Operator,
        nd::{floats, given},
        on_constants, sample, standard,
    },
};

/// Inputs, all constants: number of bands, length of the transform, samples a second, lowest and highest frequency.
/// Gives `[length / 2 + 1, bands]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MelWeightMatrix {
    /// The result's type.
    pub to: DType,
}

/// A frequency on the mel scale, as ONNX has it.
fn mel(hertz: f64) -> f64 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

fn hertz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

impl OnConstants for MelWeightMatrix {
    fn name(&self) -> &'static str {
        "MelWeightMatrix"
    }

    fn compute(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let number = |index: usize| match given(inputs, index)?.to_f64s()[..] {
            [one] if one.is_finite() => Ok(one),
            _ => Err(invalid(format!("input {index} is not one number"))),
        };
        let [bands, length, rate] = [number(0)?, number(1)?, number(2)?];
        let (low, high) = (mel(number(3)?), mel(number(4)?));
        let (rows, columns) = ((length / 2.0).floor() + 1.0, bands);
        if !(bands >= 0.0 && length >= 0.0 && rate > 0.0 && rows * columns <= (1 << 24) as f64) {
            return Err(invalid(format!(
                "{bands} bands of a transform of {length}, {rate} samples a second"
            )));
        }
        let (rows, columns) = (rows as usize, columns as usize);
        let step = (high - low) / (bands + 2.0);
        let bin = |band: usize| ((length + 1.0) * hertz(low + band as f64 * step) / rate).floor();
        let mut all = vec![0.0; rows * columns];
        for band in 0..columns {
            let [left, middle, right] = [bin(band), bin(band + 1), bin(band + 2)];
            if !(left >= 0.0 && left <= middle && middle <= right && right <= rows as f64) {
                return Err(invalid(format!("band {band} lies beyond the frequencies of {length}")));
            }
            for row in left as usize..=(right as usize).min(rows - 1) {
                let at = row as f64;
                all[row * columns + band] = if at < middle {
                    (at - left) / (middle - left)
                } else if right > middle {
                    (right - at) / (right - middle)
                } else {
                    f64::from(u8::from(at == middle))
                };
            }
        }
        Ok(vec![floats(self.to, vec![rows, columns], &all)?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(on_constants(MelWeightMatrix { to: node.dtype("output_datatype")?.unwrap_or(DType::F32) }))
}

fn cases() -> Vec<Case> {
    let case = |[bands, length, rate]: [f64; 3], low, high| {
        let whole = |n| Some(sample::scalar(DType::I64, n));
        let float = |n| Some(sample::scalar(DType::F32, n));
        Case {
            name: format!("{bands} bands of {length}"),
            op: on_constants(MelWeightMatrix { to: DType::F32 }),
            inputs: vec![whole(bands), whole(length), whole(rate), float(low), float(high)],
            constants: (0..5).collect(),
            tolerance: crate::op::Tolerance::F32,
        }
    };
    vec![case([8.0, 16.0, 8192.0], 0.0, 4096.0), case([20.0, 400.0, 16000.0], 20.0, 7600.0)]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("MelWeightMatrix", 17..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{DType, HostTensor, MelWeightMatrix, OnConstants};

    fn of(numbers: [f64; 5]) -> Option<Vec<f64>> {
        let all = numbers.map(|n| HostTensor::from_f64s(DType::F64, vec![], &[n]).unwrap());
        let op = MelWeightMatrix { to: DType::F64 };
        op.compute(&all.each_ref().map(Some)).ok().map(|found| found[0].to_f64s())
    }

    /// Bands of one frequency have all of it, wider ones rise and fall.
    #[test]
    fn the_example_of_the_definition() {
        let got = of([8.0, 16.0, 8192.0, 0.0, 4096.0]).unwrap();
        let rows: Vec<&[f64]> = got.chunks(8).collect();
        assert_eq!(rows[0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(rows[1], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(rows[8], [0.0; 8]);
    }

    #[test]
    fn what_has_no_bands_is_refused() {
        assert!(of([8.0, 16.0, 0.0, 0.0, 4096.0]).is_none());
        assert!(of([8.0, 16.0, 8192.0, 4096.0, 0.0]).is_none());
        assert!(of([1e12, 1e12, 8192.0, 0.0, 4096.0]).is_none());
        assert!(of([8.0, 16.0, 8192.0, 0.0, 1e9]).is_none());
    }
}
