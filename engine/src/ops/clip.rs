//! Clip: elements held between a least and a greatest value.

use std::sync::Arc;

use super::binary::Binary;
use crate::{
    dtype::DType,
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, elementwise,
        nd::{given, optional},
        sample, standard, with_constants,
    },
};

/// Bounds are inputs 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip;

const BOUNDS: [(usize, Binary); 2] = [(1, Binary::Max), (2, Binary::Min)];

impl Op for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let mut fact = cx.input(0)?.clone();
        for (index, function) in BOUNDS {
            if let Some(bound) = cx.optional(index) {
                fact = function.fact(cx, &fact, bound)?;
            }
        }
        Ok(vec![fact])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let mut all = given(inputs, 0)?.clone();
        for (index, function) in BOUNDS {
            if let Some(bound) = optional(inputs, index) {
                all = function.of_tensors(&all, bound)?;
            }
        }
        Ok(vec![all])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let out = cx.output(0)?;
        match (cx.has_input(1), cx.has_input(2)) {
            (true, true) => {
                let operands = [input, cx.shaped(1)?, cx.shaped(2)?];
                elementwise(cx, "clip", &operands, &out)
            }
            (true, false) => {
                let operands = [input, cx.shaped(1)?];
                elementwise(cx, "max", &operands, &out)
            }
            (false, true) => {
                let operands = [input, cx.shaped(2)?];
                elementwise(cx, "min", &operands, &out)
            }
            (false, false) => cx.copy(&input, &out),
        }
    }
}

/// Before opset 11 the bounds are attributes.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let mut constants = Vec::new();
    if node.version() < 11 {
        for (at, name) in [(1, "min"), (2, "max")] {
            if let Some(bound) = node.float(name)? {
                constants.push((at, HostTensor::from_f32(vec![], &[bound])?));
            }
        }
    }
    Ok(with_constants(Arc::new(Clip), constants))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, low: Option<f64>, high: Option<f64>| {
        let bound = |v: Option<f64>| v.map(|v| sample::scalar(DType::F32, v));
        Case::new(name, Clip, vec![Some(sample::floats(&[3, 7], 1)), bound(low), bound(high)])
    };
    let integers = vec![Some(sample::integers_in(&[9], 1, -9, 9)), Some(sample::scalar(DType::I64, -2.0))];
    vec![
        case("both bounds", Some(-0.5), Some(1.0)),
        case("low bound", Some(-0.5), None),
        case("high bound", None, Some(0.5)),
        case("no bound", None, None),
        case("crossed bounds", Some(1.0), Some(-1.0)),
        Case::new("int64", Clip, integers).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Clip", 1..=27)], decode, cases };
