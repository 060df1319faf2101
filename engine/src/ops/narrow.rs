//! Narrow: numbers rounded to those of a float of 8 or 4 bits. Cast, CastLike and QuantizeLinear to such a type.

use onnx_import::{Minifloat, Rounding};

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, Op, Operator, Tolerance, made_by_passes, narrowed,
        nd::{floats, given},
        sample,
    },
};

/// To which type, and how. `rounding` is of powers of two (`FLOAT8E8M0`); other types take the nearest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The type.
    pub to: DType,
    /// How a number between two powers is rounded.
    pub rounding: Rounding,
    /// Whether larger numbers become the largest; else infinity or NaN, whichever the type has.
    pub saturate: bool,
}

impl Narrow {
    fn format(self) -> Result<(Minifloat, Rounding), OpError> {
        let format = self.to.minifloat().ok_or_else(|| invalid(format!("{} is no small float", self.to)))?;
        Ok((format, if self.to == DType::F8E8M0 { self.rounding } else { Rounding::Nearest }))
    }
}

impl Op for Narrow {
    fn name(&self) -> &'static str {
        "Narrow"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        self.format()?;
        Ok(vec![Fact::new(self.to, cx.input(0)?.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (input, (format, rounding)) = (given(inputs, 0)?, self.format()?);
        let round = |v: f64| format.round(v, rounding, self.saturate);
        let all: Vec<f64> = input.to_f64s().into_iter().map(round).collect();
        Ok(vec![floats(self.to, input.shape().to_vec(), &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (format, rounding) = self.format()?;
        let (input, out) = (cx.shaped(0)?, cx.output(0)?);
        narrowed(cx, &input, format, (rounding, self.saturate), &out)
    }
}

fn cases() -> Vec<Case> {
    // What lies on, between and beyond the numbers of any of the types, f16 too.
    let steps = (0..=128).map(|n| f64::from(n) / 16.0);
    let sizes = steps.flat_map(|n| [n, n * 48.0, n / 2048.0]).chain([7168.0, 57344.0, 61440.0, 65504.0]);
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let signed: Vec<f64> = sizes.clone().flat_map(|n| [n, -n]).chain(odd).collect();
    let unsigned: Vec<f64> = sizes.filter(|n| *n > 0.0).chain([f64::INFINITY, f64::NAN]).collect();
    let case = |to: DType, rounding: Rounding, saturate: bool, numbers: &[f64]| {
        let name = format!("to {to}, {rounding:?}, {}", if saturate { "saturated" } else { "beyond" });
        let input = sample::of(DType::F32, &[numbers.len()], numbers);
        Case::new(name, Narrow { to, rounding, saturate }, vec![Some(input)]).tolerance(Tolerance::EXACT)
    };
    let integers = Narrow { to: DType::F8E4M3Fn, rounding: Rounding::Nearest, saturate: true };
    let mut all = vec![
        Case::new("integers", integers, vec![Some(sample::integers_in(&[3, 7], 1, -600, 600))])
            .tolerance(Tolerance::EXACT),
    ];
    for saturate in [true, false] {
        let formats = [DType::F8E4M3Fn, DType::F8E4M3FnUz, DType::F8E5M2, DType::F8E5M2FnUz, DType::F4E2M1];
        all.extend(formats.map(|to| case(to, Rounding::Nearest, saturate, &signed)));
        let ways = [Rounding::Nearest, Rounding::Up, Rounding::Down];
        all.extend(ways.map(|way| case(DType::F8E8M0, way, saturate, &unsigned)));
    }
    all
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
