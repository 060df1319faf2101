//! BitCast: the bits of elements taken as another type of the same size.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Elem, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, converted, elementwise, fill,
        nd::given, sample, standard,
    },
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitCast {
    /// The new type.
    pub to: DType,
}

impl Op for BitCast {
    fn name(&self) -> &'static str {
        "BitCast"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        if input.dtype.bits() != self.to.bits() {
            return Err(invalid(format!("{} and {} differ in size", input.dtype, self.to)));
        }
        Ok(vec![Fact::new(self.to, input.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        Ok(vec![HostTensor::new(self.to, input.shape().to_vec(), input.data().clone())?])
    }

    /// Types of 32 bits lie on the device as they are, floats at times in 16; of shorter integers the low bits are kept, or the sign repeated.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let from = cx.fact(0)?.dtype;
        let view = cx.shaped(0)?;
        let elem = Elem::of(self.to, cx.activations());
        if from == self.to {
            return cx.alias(0, view);
        }
        if from.bits() == 32 {
            let single = |elem| if elem == Elem::F16 { Elem::F32 } else { elem };
            let wide = single(view.elem);
            let view = View { elem: single(elem), ..converted(cx, view, wide)? };
            let out = converted(cx, view, elem)?;
            return cx.alias(0, out);
        }
        let short = from.bits() < 32 && !from.is_float() && !self.to.is_float();
        if !short {
            return Err(OpError::Unsupported(format!("BitCast from {from} to {}", self.to)));
        }
        let view = View { elem, ..view };
        if self.to == DType::Bool || from == DType::Bool {
            return cx.alias(0, view);
        }
        let out = cx.output(0)?;
        let missing = 32 - from.bits() as u32;
        if elem == Elem::U32 {
            let mask = fill::scalar(cx, (u32::MAX >> missing) as f32, elem);
            return elementwise(cx, "bit_and", &[view, mask], &out);
        }
        let count = fill::scalar(cx, missing as f32, elem);
        let high = cx.temporary("high", elem, &view.shape());
        elementwise(cx, "shift_left", &[view, count.clone()], &high)?;
        elementwise(cx, "shift_right", &[high, count], &out)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let to = node.dtype("to")?.ok_or_else(|| invalid("attribute \"to\" is missing"))?;
    Ok(Arc::new(BitCast { to }))
}

fn cases() -> Vec<Case> {
    let case = |input: HostTensor, to| {
        let name = format!("{} to {to}", input.dtype());
        Case::new(name, BitCast { to }, vec![Some(input)]).tolerance(Tolerance::EXACT)
    };
    let integers = |dtype| sample::integers_in(&[2, 7], 1, -120, 120).cast(dtype);
    vec![
        case(sample::floats(&[3, 5], 1), DType::I32),
        case(sample::floats(&[3, 5], 1), DType::U32),
        case(sample::integers_in(&[4], 1, 0, 1 << 30).cast(DType::I32), DType::F32),
        case(integers(DType::I32), DType::U32),
        case(integers(DType::I8), DType::U8),
        case(integers(DType::U8), DType::I8),
        case(integers(DType::I16), DType::U16),
        case(integers(DType::U16), DType::I16),
        case(sample::booleans(&[9], 1), DType::U8),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("BitCast", 26..=27)], decode, cases };
