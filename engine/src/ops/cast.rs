//! Cast and CastLike: another element type. Those to floats of 8 and 4 bits are [`Narrow`].

use std::sync::Arc;

use onnx_import::Rounding;

use super::narrow::Narrow;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Composite, Elem, Infer, Lowering, OnnxNode, Op, Operator, Parts, Tolerance, View, composite,
        low_bits, narrowed, nd::given, sample, standard, truth,
    },
};

/// To a given type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The new type.
    pub to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let to = self.to;
        let exact = |e: &symbolic::Expr| match (to, e.constant()) {
            (DType::Bool, Some(v)) => Some(symbolic::Expr::from(i64::from(v != 0))),
            (DType::Bool, None) => {
                (e.range().min.is_some_and(|low| low > 0)).then(|| symbolic::Expr::from(1))
            }
            (DType::I64 | DType::F32 | DType::F64, _) => Some(e.clone()),
            (_, Some(v)) => {
                let there = HostTensor::from_i64(vec![], &[v]).ok()?.cast(to);
                (there.to_f64s() == [v as f64]).then(|| e.clone())
            }
            // Sizes fit 32 bits; half precision could not tell them apart.
            (DType::I32 | DType::U32 | DType::U64, None) => Some(e.clone()),
            _ => None,
        };
        let content = input.content.as_ref().and_then(|c| c.iter().map(exact).collect());
        Ok(vec![Fact { dtype: to, shape: input.shape.clone(), content }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        Ok(vec![given(inputs, 0)?.cast(self.to)])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (from, to) = (cx.fact(0)?.dtype, cx.output_fact(0)?.dtype);
        let input = cx.input(0)?;
        if same_on_device(from, to, cx.activations()) {
            return cx.alias(0, input);
        }
        let (input, out) = (cx.shaped(0)?, cx.output(0)?);
        if to == DType::Bool {
            truth(cx, &input, &out)
        } else if let Some(format) = to.minifloat() {
            narrowed(cx, &input, format, (Rounding::Nearest, false), &out)
        } else if wraps(from, to) {
            low_bits(cx, &input, to.bits() as u32, &out)
        } else {
            cx.copy(&input, &out)
        }
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        let same = same_on_device(input.dtype, self.to, output.elem);
        (index == 0 && same && matches!(output.elem, Elem::F32 | Elem::F16) && input.dtype.is_float())
            .then(|| output.clone())
    }
}

/// Whether the device holds both types alike, so that a cast changes nothing there.
fn same_on_device(from: DType, to: DType, floats: Elem) -> bool {
    let alike = Elem::of(from, floats) == Elem::of(to, floats);
    alike && !wraps(from, to) && (from == to || (to != DType::Bool && to.minifloat().is_none()))
}

/// Whether `to` is an integer type of fewer bits than the device has for it, and not all of `from` fits.
fn wraps(from: DType, to: DType) -> bool {
    let fits = match (signed(from), signed(to)) {
        _ if from == DType::Bool => true,
        _ if from.is_float() => false,
        (false, true) => from.bits() < to.bits(),
        (true, false) => false,
        _ => from.bits() <= to.bits(),
    };
    to.is_int() && to.bits() < 32 && !fits
}

fn signed(dtype: DType) -> bool {
    matches!(dtype, DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::I4 | DType::I2)
}

/// Cast to the type of the second input, whichever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CastLike {
    rounding: Rounding,
    saturate: bool,
}

impl Composite for CastLike {
    fn name(&self) -> &'static str {
        "CastLike"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, Self { rounding, saturate }) = (parts.input(0)?, *self);
        let to = parts.fact(parts.input(1)?)?.dtype;
        let op = any(to, rounding, saturate);
        parts.add_op(op.name(), op, &[Some(x)], 1)
    }
}

fn any(to: DType, rounding: Rounding, saturate: bool) -> Arc<dyn Op> {
    match to.minifloat() {
        Some(_) => Arc::new(Narrow { to, rounding, saturate }),
        None => Arc::new(Cast { to }),
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let saturate = node.int_or("saturate", 1)? != 0;
    let rounding = match node.string("round_mode")?.unwrap_or("up") {
        "up" => Rounding::Up,
        "down" => Rounding::Down,
        "nearest" => Rounding::Nearest,
        other => return Err(invalid(format!("round_mode = {other:?} is not known"))),
    };
    if node.op_type() == "CastLike" {
        return Ok(composite(CastLike { rounding, saturate }));
    }
    let to = node.dtype("to")?.ok_or_else(|| invalid("attribute \"to\" is missing"))?;
    Ok(any(to, rounding, saturate))
}

fn cases() -> Vec<Case> {
    let floats = || sample::of(DType::F32, &[2, 5], &[-2.7, -1.0, -0.3, 0.0, 0.3, 0.9, 1.0, 1.5, 2.0, 100.0]);
    let wide = || {
        let some =
            [-9.0, -8.9, -1.0, 7.0, 8.0, 15.9, 16.0, 128.0, 255.5, 256.0, 70_000.0, -70_000.0, f64::NAN];
        sample::of(DType::F32, &[13], &some)
    };
    let case =
        |name: &str, to, input| Case::new(name, Cast { to }, vec![Some(input)]).tolerance(Tolerance::EXACT);
    let like = |name: &str, like| {
        let op = CastLike { rounding: Rounding::Up, saturate: true };
        let case = Case::composite(format!("like {name}"), op, vec![Some(floats()), Some(like)]);
        case.tolerance(Tolerance::EXACT)
    };
    vec![
        case("f32 to int64", DType::I64, floats()),
        case("f32 to int32", DType::I32, floats()),
        case("f32 to bool", DType::Bool, floats()),
        case("f32 to f32", DType::F32, floats()),
        case("int64 to f32", DType::F32, sample::integers_in(&[3, 3], 1, -9, 9)),
        case("int64 to bool", DType::Bool, sample::integers_in(&[3, 3], 1, -2, 2)),
        case("int64 to int32", DType::I32, sample::integers_in(&[3, 3], 1, -9, 9)),
        case("bool to f32", DType::F32, sample::booleans(&[7], 1)),
        case("bool to int64", DType::I64, sample::booleans(&[7], 1)),
        case("int64 to u8", DType::U8, sample::integers_in(&[4, 4], 1, -999, 999)),
        case("int64 to i8", DType::I8, sample::integers_in(&[3, 3], 1, -999, 999)),
        case("int64 to i16", DType::I16, sample::integers_in(&[3, 3], 1, -99999, 99999)),
        case("u8 to i8", DType::I8, sample::of(DType::U8, &[4], &[0.0, 127.0, 128.0, 255.0])),
        case("i8 to u8", DType::U8, sample::of(DType::I8, &[4], &[0.0, 127.0, -128.0, -1.0])),
        case("i8 to u16", DType::U16, sample::of(DType::I8, &[4], &[0.0, 127.0, -128.0, -1.0])),
        case("u8 to i16", DType::I16, sample::of(DType::U8, &[4], &[0.0, 127.0, 128.0, 255.0])),
        case("f32 to i4", DType::I4, wide()),
        case("f32 to u4", DType::U4, wide()),
        case("f32 to i8", DType::I8, wide()),
        case("f32 to u8", DType::U8, wide()),
        case("f32 to u16", DType::U16, wide()),
        case("f32 to int32, with what is no integer", DType::I32, wide()),
        case("f32 to bf16", DType::BF16, floats()),
        case("bf16 to f32", DType::F32, floats().cast(DType::BF16)),
        case("u4 to i4", DType::I4, sample::of(DType::U4, &[5], &[0.0, 7.0, 8.0, 14.0, 15.0])),
        case("nothing", DType::F32, sample::integers_in(&[0, 3], 1, -9, 9)),
        case("f32 to i2", DType::I2, wide()),
        case("f32 to u2", DType::U2, wide()),
        case("f32 to f8e5m2, with what is no number", DType::F8E5M2, wide()),
        case("i2 to f32", DType::F32, wide().cast(DType::I2)),
        case("f4e2m1 to f16", DType::F16, floats().cast(DType::F4E2M1)),
        like("a bool", sample::booleans(&[1], 1)),
        like("f8e4m3fn", sample::floats(&[1], 1).cast(DType::F8E4M3Fn)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Cast", 6..=27), standard("CastLike", 15..=27)], decode, cases };
