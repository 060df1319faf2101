//! Identity: nothing happens.

use std::sync::Arc;

use crate::{
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, nd::given, sample, standard},
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity;

impl Op for Identity {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![cx.input(0)?.clone()])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        Ok(vec![given(inputs, 0)?.clone()])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        cx.alias(0, input)
    }

    fn place(&self, index: usize, _: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        (index == 0).then(|| output.clone())
    }
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Identity))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, input| Case::new(name, Identity, vec![Some(input)]).tolerance(Tolerance::EXACT);
    vec![
        case("f32", sample::floats(&[2, 3], 1)),
        case("int64", sample::integers_in(&[5], 1, -9, 9)),
        case("a scalar", sample::floats(&[], 1)),
        case("nothing", sample::floats(&[2, 0], 1)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Identity", 1..=27)], decode, cases };
