//! Cast and CastLike: another element type.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Elem, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, low_bits, nd::given, sample,
        standard, truth,
    },
};

/// To a given type, or to the type of the second input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The new type; `None` for CastLike.
    pub to: Option<DType>,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        if self.to.is_some() { "Cast" } else { "CastLike" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let to = self.to.map_or_else(|| cx.input(1).map(|like| like.dtype), Ok)?;
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
        let to = self.to.map_or_else(|| given(inputs, 1).map(HostTensor::dtype), Ok)?;
        Ok(vec![given(inputs, 0)?.cast(to)])
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
        } else if wraps(from, to) {
            low_bits(cx, &input, to.bits() as u32, &out)
        } else {
            cx.copy(&input, &out)
        }
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        let same = self.to.is_some_and(|to| same_on_device(input.dtype, to, output.elem));
        (index == 0 && same && matches!(output.elem, Elem::F32 | Elem::F16) && input.dtype.is_float())
            .then(|| output.clone())
    }
}

/// Whether the device holds both types alike, so that a cast changes nothing there.
fn same_on_device(from: DType, to: DType, floats: Elem) -> bool {
    let alike = Elem::of(from, floats) == Elem::of(to, floats);
    alike && !wraps(from, to) && (to != DType::Bool || from == DType::Bool)
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
    matches!(dtype, DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::I4)
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.op_type() == "CastLike" {
        return Ok(Arc::new(Cast { to: None }));
    }
    let to = node.dtype("to")?.ok_or_else(|| invalid("attribute \"to\" is missing"))?;
    Ok(Arc::new(Cast { to: Some(to) }))
}

fn cases() -> Vec<Case> {
    let floats = || sample::of(DType::F32, &[2, 5], &[-2.7, -1.0, -0.3, 0.0, 0.3, 0.9, 1.0, 1.5, 2.0, 100.0]);
    let wide = || {
        let some =
            [-9.0, -8.9, -1.0, 7.0, 8.0, 15.9, 16.0, 128.0, 255.5, 256.0, 70_000.0, -70_000.0, f64::NAN];
        sample::of(DType::F32, &[13], &some)
    };
    let case = |name: &str, to, input| {
        Case::new(name, Cast { to: Some(to) }, vec![Some(input)]).tolerance(Tolerance::EXACT)
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
        Case::new("like a bool", Cast { to: None }, vec![Some(floats()), Some(sample::booleans(&[1], 1))]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Cast", 6..=27), standard("CastLike", 15..=27)], decode, cases };
