//! SiluMul: `silu(a) * b`, the gate of SwiGLU, as passes find it.

use crate::{
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, Op, Operator, elementwise, made_by_passes,
        nd::{floats, given},
        sample,
    },
};

/// `a / (1 + exp(-a)) * b` of two tensors of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiluMul;

impl Op for SiluMul {
    fn name(&self) -> &'static str {
        "SiluMul"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        Ok(vec![Fact::new(a.dtype, cx.broadcast(&[&a.shape, &b.shape])?)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (a, b) = (given(inputs, 0)?, given(inputs, 1)?);
        let pairs = a.to_f64s().into_iter().zip(b.to_f64s());
        let all: Vec<f64> = pairs.map(|(a, b)| a / (1.0 + (-a).exp()) * b).collect();
        Ok(vec![floats(a.dtype(), a.shape().to_vec(), &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let operands = [cx.shaped(0)?, cx.shaped(1)?];
        let out = cx.output(0)?;
        elementwise(cx, "silu_mul", &operands, &out)
    }
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize]| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::floats(shape, 2))];
        Case::new(format!("{shape:?}"), SiluMul, inputs)
    };
    vec![case(&[3, 5]), case(&[1, 7, 64]), case(&[0, 4])]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
