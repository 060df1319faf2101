//! Cast and CastLike: another element type.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Elem, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, nd::given, sample, standard,
        truth,
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
        // Integers of a narrower type keep their low bits, which no kernel does.
        if from.is_int() && to.is_int() && to.bits() < from.bits() && to.bits() < 32 {
            return Err(OpError::Unsupported(format!("a cast from {from} to {to}")));
        }
        let (input, out) = (cx.shaped(0)?, cx.output(0)?);
        if to == DType::Bool {
            return truth(cx, &input, &out);
        }
        cx.copy(&input, &out)
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        let same = self.to.is_some_and(|to| same_on_device(input.dtype, to, output.elem));
        (index == 0 && same && matches!(output.elem, Elem::F32 | Elem::F16) && input.dtype.is_float())
            .then(|| output.clone())
    }
}

/// Whether the device holds both types alike, so that a cast changes nothing there.
fn same_on_device(from: DType, to: DType, floats: Elem) -> bool {
    let narrows = to.bits() < from.bits() && to.bits() < 32 && !to.is_float();
    Elem::of(from, floats) == Elem::of(to, floats) && !narrows && (to == DType::Bool) == (from == DType::Bool)
        || from == DType::Bool && matches!(to, DType::U8 | DType::U16 | DType::U32 | DType::U64)
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
        case("nothing", DType::F32, sample::integers_in(&[0, 3], 1, -9, 9)),
        Case::new("like a bool", Cast { to: None }, vec![Some(floats()), Some(sample::booleans(&[1], 1))]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Cast", 6..=27), standard("CastLike", 15..=27)], decode, cases };
