//! NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.

use std::sync::Arc;

use super::{
    binary::Binary,
    cast::Cast,
    identity::Identity,
    one_hot::facing,
    range,
    reduce::{Reduce, Reduction},
    select::Where,
    softmax::Softmax,
    squeeze::Squeeze,
    unary::Unary,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// What becomes of the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Each one.
    Each,
    /// Their sum over the sum of their weights.
    Mean,
    /// Their sum.
    Sum,
}

/// Inputs: scores `[batch, classes, ..]`, classes `[batch, ..]`, optionally a weight for each class. Outputs: the loss, and
/// for SoftmaxCrossEntropyLoss the logarithms of the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NllLoss {
    /// Whether the scores are logarithms of probabilities only after a LogSoftmax: the operator SoftmaxCrossEntropyLoss.
    pub softmax: bool,
    /// What becomes of the losses.
    pub of: Of,
    /// A class that counts for nothing.
    pub ignored: Option<i64>,
}

fn total(parts: &mut Parts<'_, '_>, x: ValueId, axes: Option<Vec<i64>>) -> Result<ValueId, OpError> {
    parts.add(Reduce { reduction: Reduction::Sum, keep: false, noop_without_axes: false, axes }, &[x])
}

impl NllLoss {
    /// The weight of each class's loss; `None` where all are 1.
    fn weights(
        self,
        parts: &mut Parts<'_, '_>,
        classes: ValueId,
        hot: ValueId,
        behind: usize,
        dtype: DType,
    ) -> Result<Option<ValueId>, OpError> {
        let (zero, one) = (parts.number(0.0, dtype)?, parts.number(1.0, dtype)?);
        let weight = match parts.optional(2) {
            Some(weight) => {
                let weight = facing(parts, weight, behind)?;
                let there = parts.add(Where, &[hot, weight, zero])?;
                Some(total(parts, there, Some(vec![1]))?)
            }
            None => None,
        };
        let Some(ignored) = self.ignored else { return Ok(weight) };
        let ignored = parts.number(ignored as f64, DType::I64)?;
        let without = parts.add(Binary::Equal, &[classes, ignored])?;
        Ok(Some(parts.add(Where, &[without, zero, weight.unwrap_or(one)])?))
    }
}

impl Composite for NllLoss {
    fn name(&self) -> &'static str {
        if self.softmax { "SoftmaxCrossEntropyLoss" } else { "NegativeLogLikelihoodLoss" }
    }

    /// Scores are chosen by comparison with all classes, which takes any number of dimensions.
    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (scores, classes) = (parts.input(0)?, parts.input(1)?);
        let fact = parts.fact(scores)?;
        let (dtype, rank) = (fact.dtype, fact.rank());
        let behind = rank.checked_sub(2).ok_or_else(|| invalid(format!("scores {fact} have no classes")))?;
        let log = if self.softmax {
            parts.add(Softmax { axis: 1, flatten: false, log: true }, &[scores])?
        } else {
            scores
        };
        let classes = parts.add(Cast { to: DType::I64 }, &[classes])?;
        let axis = parts.integers(&[1])?;
        let column = parts.add(Squeeze { insert: true, axes: None }, &[classes, axis])?;
        let all = range::along(parts, scores, 1)?;
        let all = facing(parts, all, behind)?;
        let hot = parts.add(Binary::Equal, &[column, all])?;
        let zero = parts.number(0.0, dtype)?;
        let chosen = parts.add(Where, &[hot, log, zero])?;
        let chosen = total(parts, chosen, Some(vec![1]))?;
        let mut loss = parts.add(Unary::Neg, &[chosen])?;
        let weights = self.weights(parts, classes, hot, behind, dtype)?;
        if let Some(weights) = weights {
            loss = parts.add(Binary::Mul, &[loss, weights])?;
        }
        let loss = match (self.of, weights) {
            (Of::Each, _) => loss,
            (Of::Sum, _) => total(parts, loss, None)?,
            (Of::Mean, None) => {
                let op =
                    Reduce { reduction: Reduction::Mean, keep: false, noop_without_axes: false, axes: None };
                parts.add(op, &[loss])?
            }
            (Of::Mean, Some(weights)) => {
                let (sum, count) = (total(parts, loss, None)?, total(parts, weights, None)?);
                parts.add(Binary::Div, &[sum, count])?
            }
        };
        let log = if self.softmax { log } else { parts.add(Identity, &[log])? };
        Ok(vec![loss, log])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let of = match node.string("reduction")?.unwrap_or("mean") {
        "none" => Of::Each,
        "mean" => Of::Mean,
        "sum" => Of::Sum,
        other => return Err(invalid(format!("reduction = {other:?} is not known"))),
    };
    let softmax = node.op_type() == "SoftmaxCrossEntropyLoss";
    Ok(composite(NllLoss { softmax, of, ignored: node.int("ignore_index")? }))
}

fn cases() -> Vec<Case> {
    let case = |op: NllLoss, shape: &[usize], weighted: bool| {
        let classes = [&shape[..1], &shape[2..]].concat();
        let inputs: Vec<Option<HostTensor>> = vec![
            Some(sample::floats(shape, 1)),
            Some(sample::integers_in(&classes, 2, 0, shape[1] as i64)),
            weighted.then(|| sample::floats_in(&shape[1..2], 3, 0.5, 1.5)),
        ];
        Case::composite(format!("{op:?} of {shape:?}, weighted: {weighted}"), op, inputs)
    };
    let mut cases = Vec::new();
    for of in [Of::Each, Of::Mean, Of::Sum] {
        cases.push(case(NllLoss { softmax: false, of, ignored: None }, &[3, 5], false));
        cases.push(case(NllLoss { softmax: true, of, ignored: Some(2) }, &[3, 5, 2], true));
    }
    cases.push(case(NllLoss { softmax: true, of: Of::Mean, ignored: None }, &[2, 3, 2, 2, 2, 2], false));
    cases.push(case(NllLoss { softmax: false, of: Of::Mean, ignored: Some(-1) }, &[4, 3], false));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[standard("NegativeLogLikelihoodLoss", 12..=27), standard("SoftmaxCrossEntropyLoss", 12..=27)],
    decode,
    cases,
};
