//! If: one of two subgraphs. The one that runs is put in its place where the condition is known before the run; else both run
//! and their results are chosen from, which takes results of one type and shape.

use std::sync::Arc;

use super::{identity::Identity, reshape::Reshape, select::Where};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Graph, Node, ValueId},
    op::{
        Body, Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, fact_of, sample, standard,
    },
};

/// The input is the condition.
#[derive(Debug)]
pub struct If {
    then_branch: Body,
    else_branch: Body,
}

/// Values as outputs of a composite: each computed by a part of its own.
///
/// # Errors
/// When there are too many parts.
pub fn outputs(parts: &mut Parts<'_, '_>, values: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    values.iter().map(|id| parts.add(Identity, &[*id])).collect()
}

/// The only element of a value, as a tensor without dimensions.
///
/// # Errors
/// When it has more elements.
pub fn scalar(parts: &mut Parts<'_, '_>, value: ValueId) -> Result<ValueId, OpError> {
    let shape = parts.integers(&[])?;
    parts.add(Reshape { allow_zero: false }, &[value, shape])
}

impl If {
    fn both(&self, parts: &mut Parts<'_, '_>, condition: ValueId) -> Result<Vec<ValueId>, OpError> {
        let before = parts.equalities();
        let mut run = |body| {
            let placed = parts.place(body)?;
            parts.run(&placed, &[])
        };
        let results = run(&self.then_branch).and_then(|a| Ok((a, run(&self.else_branch)?)));
        let (yes, no) = match results {
            Ok(results) => results,
            Err(e @ OpError::Inside { .. }) => return Err(undecided(&format!("a branch cannot run: {e}"))),
            Err(e) => return Err(e),
        };
        if parts.equalities() != before {
            return Err(undecided("a branch fixes sizes"));
        }
        let condition = scalar(parts, condition)?;
        let mut chosen = Vec::with_capacity(yes.len());
        for (a, b) in yes.into_iter().zip(no) {
            let (then, other) = (parts.fact(a)?, parts.fact(b)?);
            if (then.dtype, &then.shape) != (other.dtype, &other.shape) {
                return Err(undecided(&format!("its branches give {then} and {other}")));
            }
            chosen.push(parts.add(Where, &[condition, a, b])?);
        }
        Ok(chosen)
    }
}

fn undecided(why: &str) -> OpError {
    OpError::DependsOnData(format!("the condition must be known before the model runs, since {why}"))
}

impl Composite for If {
    fn name(&self) -> &'static str {
        "If"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let condition = parts.input(0)?;
        if parts.fact(condition)?.len().constant() != Some(1) {
            return Err(invalid("the condition is not one element"));
        }
        let Some(truth) = parts.known(condition)? else { return self.both(parts, condition) };
        let placed = parts.place(if truth == 0 { &self.else_branch } else { &self.then_branch })?;
        let results = parts.run(&placed, &[])?;
        outputs(parts, &results)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let body = |name: &str| {
        let missing = || invalid(format!("attribute {name:?} is missing"));
        node.body(name)?.ok_or_else(missing)
    };
    let (then_branch, else_branch) = (body("then_branch")?, body("else_branch")?);
    then_branch.expect(0, else_branch.output_count())?;
    else_branch.expect(0, then_branch.output_count())?;
    if node.output_count() > then_branch.output_count() {
        return Err(invalid("it has more outputs than its branches"));
    }
    Ok(composite(If { then_branch, else_branch }))
}

fn cases() -> Vec<Case> {
    // Both branches read `x`, the second input; one returns it as it is.
    let branch = |op: Option<super::unary::Unary>| {
        let mut graph = Graph::default();
        let x = graph.add_value("x", None);
        let result = match op {
            None => x,
            Some(op) => {
                let out = graph.add_value("out", None);
                let (name, inputs) = ("part".to_owned(), vec![Some(x)]);
                graph.nodes.push(Node { name, op: Arc::new(op), inputs, outputs: vec![out] });
                out
            }
        };
        graph.outputs.push(result);
        Body::new(graph, vec![(x, 1)])
    };
    let constant = || {
        let mut graph = Graph::default();
        let x = sample::floats(&[2], 9);
        let fact = fact_of(&x);
        let id = graph.add_constant("x", x);
        graph.value_mut(id).fact = Some(fact);
        graph.outputs.push(id);
        Body::new(graph, Vec::new())
    };
    let case = |name: &str, truth: f64, else_branch: Body| {
        let op = If { then_branch: branch(Some(super::unary::Unary::Neg)), else_branch };
        let inputs = vec![Some(sample::of(DType::Bool, &[1], &[truth])), Some(sample::floats(&[3, 5], 1))];
        Case::composite(name, op, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        case("known to be true", 1.0, constant()).constants(&[0]),
        case("known to be false", 0.0, constant()).constants(&[0]),
        case("true", 1.0, branch(None)),
        case("false", 0.0, branch(None)),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("If", 1..=27)], decode, cases };
