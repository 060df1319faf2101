//! Gated: `activation(gate) * up`, what feed-forward layers of language models do, as passes find it.

use super::unary::{QUICK, Unary};
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

/// The function of the gate (Shazeer, "GLU Variants Improve Transformer", 2020).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`: SwiGLU.
    Silu,
    /// GeGLU.
    Gelu,
    /// GeGLU by the tanh approximation.
    GeluTanh,
    /// `x * sigmoid(1.702 * x)`.
    QuickGelu,
}

use Activation::{Gelu, GeluTanh, QuickGelu, Silu};

impl Activation {
    /// All of them.
    pub const ALL: [Self; 4] = [Silu, Gelu, GeluTanh, QuickGelu];

    /// The activation that a function of one element is, if it is one.
    #[must_use]
    pub fn of(function: Unary) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.function() == function)
    }

    fn function(self) -> Unary {
        match self {
            Silu => Unary::Swish { alpha: 1.0 },
            Gelu => Unary::Gelu,
            GeluTanh => Unary::GeluTanh,
            QuickGelu => Unary::Swish { alpha: QUICK },
        }
    }

    /// What kernels of products call it.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Silu => 0,
            Gelu => 1,
            GeluTanh => 2,
            QuickGelu => 3,
        }
    }

    /// What passes it of `up`.
    #[must_use]
    pub fn of_pair(self, gate: f64, up: f64) -> f64 {
        self.function().of_float(gate) * up
    }

    fn kernel(self) -> &'static str {
        match self {
            Silu => "silu_mul",
            Gelu => "gelu_mul",
            GeluTanh => "gelu_tanh_mul",
            QuickGelu => "quick_gelu_mul",
        }
    }
}

/// `activation(gate) * up` of two tensors of one shape. The result has the type of `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gated {
    /// What is done to the first input.
    pub activation: Activation,
}

impl Op for Gated {
    fn name(&self) -> &'static str {
        "Gated"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (gate, up) = (cx.input(0)?, cx.input(1)?);
        Ok(vec![Fact::new(up.dtype, cx.broadcast(&[&gate.shape, &up.shape])?)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (gate, up) = (given(inputs, 0)?, given(inputs, 1)?);
        let pairs = gate.to_f64s().into_iter().zip(up.to_f64s());
        let all: Vec<f64> = pairs.map(|(gate, up)| self.activation.of_pair(gate, up)).collect();
        Ok(vec![floats(up.dtype(), up.shape().to_vec(), &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let operands = [cx.shaped(0)?, cx.shaped(1)?];
        let out = cx.output(0)?;
        elementwise(cx, self.activation.kernel(), &operands, &out)
    }
}

fn cases() -> Vec<Case> {
    let case = |activation, shape: &[usize]| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::floats(shape, 2))];
        Case::new(format!("{activation:?} of {shape:?}"), Gated { activation }, inputs)
    };
    let mut cases: Vec<Case> = Activation::ALL.into_iter().map(|a| case(a, &[3, 5])).collect();
    cases.extend([case(Silu, &[1, 7, 64]), case(GeluTanh, &[1, 7, 64]), case(Gelu, &[0, 4])]);
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
