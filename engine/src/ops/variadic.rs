//! Max, Min, Sum and Mean of any number of operands, with broadcasting.

use std::sync::Arc;

use super::binary::Binary;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxName, OnnxNode, Op, Operator, Tolerance, View, elementwise, fill,
        nd::{floats, given},
        sample, standard,
    },
};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are ONNX's
pub enum Variadic {
    Max,
    Mean,
    Min,
    Sum,
}

impl Variadic {
    fn pairwise(self) -> Binary {
        match self {
            Self::Max => Binary::Max,
            Self::Min => Binary::Min,
            Self::Sum | Self::Mean => Binary::Add,
        }
    }
}

impl Op for Variadic {
    fn name(&self) -> &'static str {
        match self {
            Self::Max => "Max",
            Self::Mean => "Mean",
            Self::Min => "Min",
            Self::Sum => "Sum",
        }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let mut all = cx.input(0)?.clone();
        for index in 1..cx.input_count() {
            let next = cx.input(index)?;
            if next.dtype != all.dtype {
                return Err(invalid(format!("operands are {} and {}", all.dtype, next.dtype)));
            }
            all = self.pairwise().fact(cx, &all, next)?;
        }
        if *self == Self::Mean && cx.input_count() > 1 {
            all.content = None;
        }
        Ok(vec![all])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let first = given(inputs, 0)?;
        let wide = if first.dtype().is_float() { DType::F64 } else { first.dtype() };
        let mut all = first.cast(wide);
        for index in 1..inputs.len() {
            all = self.pairwise().of_tensors(&all, &given(inputs, index)?.cast(wide))?;
        }
        if *self == Self::Mean {
            let shape = all.shape().to_vec();
            let share: Vec<f64> = all.to_f64s().into_iter().map(|v| v / inputs.len() as f64).collect();
            all = floats(DType::F64, shape, &share)?;
        }
        Ok(vec![all.cast(first.dtype())])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let mut operands = (0..cx.input_count()).map(|i| cx.shaped(i)).collect::<Result<Vec<View>, _>>()?;
        let out = cx.output(0)?;
        let count = operands.len();
        let scale = (*self == Self::Mean && count > 1).then(|| 1.0 / count as f32);
        let last = operands.pop().ok_or(OpError::MissingInput { index: 0 })?;
        let Some(mut all) = operands.pop() else { return cx.copy(&last, &out) };
        let shape = cx.output_fact(0)?.shape.clone();
        let kernel = self.pairwise().kernel();
        while let Some(next) = operands.pop() {
            let sum = cx.temporary("partial", out.elem, &shape);
            elementwise(cx, kernel, &[all, next], &sum)?;
            all = sum;
        }
        let Some(scale) = scale else { return elementwise(cx, kernel, &[all, last], &out) };
        let sum = cx.temporary("sum", out.elem, &shape);
        elementwise(cx, kernel, &[all, last], &sum)?;
        let share = fill::scalar(cx, scale, out.elem);
        elementwise(cx, "mul", &[sum, share], &out)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(match node.op_type() {
        "Max" => Variadic::Max,
        "Mean" => Variadic::Mean,
        "Min" => Variadic::Min,
        _ => Variadic::Sum,
    }))
}

const NAMES: &[OnnxName] =
    &[standard("Max", 1..=27), standard("Mean", 1..=27), standard("Min", 1..=27), standard("Sum", 1..=27)];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let input = |shape: &[usize], seed| Some(sample::floats(shape, seed));
    for f in [Variadic::Max, Variadic::Mean, Variadic::Min, Variadic::Sum] {
        cases.push(Case::new(format!("{f:?} of one"), f, vec![input(&[3, 5], 1)]));
        cases.push(Case::new(format!("{f:?} of two"), f, vec![input(&[3, 5], 1), input(&[5], 2)]));
        let many = vec![input(&[5], 1), input(&[3, 1], 2), input(&[2, 1, 1], 3), input(&[], 4)];
        cases.push(Case::new(format!("{f:?} of four, repeated"), f, many));
    }
    for f in [Variadic::Max, Variadic::Min] {
        let pair = vec![Some(sample::integers_in(&[9], 1, -9, 9)), Some(sample::integers_in(&[9], 2, -9, 9))];
        cases.push(Case::new(format!("{f:?} of int64"), f, pair).tolerance(Tolerance::EXACT));
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: NAMES, decode, cases };
