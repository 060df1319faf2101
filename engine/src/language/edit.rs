//! What generation changes in a model's graph before it is planned.

use std::sync::Arc;

use symbolic::{Expr, Substitution};

use crate::{
    dtype::DType,
    error::EngineError,
    graph::{Fact, Graph, Node, ValueId},
    host::HostTensor,
    infer,
    ops::{expand, linear::Linear, slice},
};

/// Some operators can only be typed once it is known that there is one batch.
pub(super) fn one_batch(graph: &mut Graph) {
    let mut put = Substitution::new();
    for fact in graph.inputs.iter().filter_map(|i| graph.fact(*i)) {
        if let Some(batch) = fact.shape.first().filter(|_| fact.rank() > 1).and_then(Expr::as_symbol) {
            put.set(batch, Expr::ONE);
        }
    }
    infer::specialise(graph, &put);
}

/// A decoder that has one branch for the first step and one for all others is given its cache in both. Whether there
/// was such a choice.
pub(super) fn take_the_cache_branch(graph: &mut Graph) -> Result<bool, EngineError> {
    let one =
        |i: &ValueId| graph.fact(*i).is_some_and(|f| f.dtype == DType::Bool && f.len().constant() == Some(1));
    let decides = |i: &ValueId| graph.nodes.iter().any(|n| n.op.name() == "If" && n.input(0) == Some(*i));
    let conditions: Vec<ValueId> = graph.inputs.iter().copied().filter(|i| one(i) && decides(i)).collect();
    for input in &conditions {
        let yes = HostTensor::from_i64(vec![1], &[1])?.cast(DType::Bool);
        let yes = graph.add_constant("there is a cache", yes);
        graph.replace_uses(*input, yes);
        graph.inputs.retain(|i| i != input);
    }
    Ok(!conditions.is_empty())
}

/// Outputs that are inputs or constants, and inputs that nothing reads, say nothing.
pub(super) fn forget_unchanged(graph: &mut Graph) -> Result<(), EngineError> {
    let links = graph.links();
    let named = |o: &ValueId| {
        let node = links.producer(*o).map(|at| &graph.nodes[at]).filter(|n| n.op.name() == "Identity");
        node.and_then(|n| n.input(0)).unwrap_or(*o)
    };
    let same = |o: &ValueId| graph.inputs.contains(&named(o)) || graph.is_constant(*o);
    let unchanged: Vec<ValueId> = graph.outputs.iter().copied().filter(same).collect();
    forget(graph, &unchanged)?;
    let links = graph.links();
    graph.inputs.retain(|i| !links.consumers(*i).is_empty());
    Ok(())
}

/// Drops outputs, and what computes nothing else.
pub(super) fn forget(graph: &mut Graph, outputs: &[ValueId]) -> Result<(), EngineError> {
    graph.outputs.retain(|o| !outputs.contains(o));
    graph.tidy()
}

/// Says what every element of an input is. One whose number is not known yet stands for one batch.
pub(super) fn set_known(graph: &mut Graph, input: ValueId, known: &Expr) {
    if let Some(fact) = &mut graph.value_mut(input).fact {
        fact.shape.fill(Expr::ONE);
        fact.content = Some(Arc::new([known.clone()]));
    }
}

/// Replaces a mask input by ones, so that it folds away.
pub(super) fn assume_ones(graph: &mut Graph, mask: ValueId) -> Result<(), EngineError> {
    let Some(fact) = graph.fact(mask).cloned() else { return Ok(()) };
    let one = HostTensor::from_i64(vec![1; fact.rank()], &[1])?.cast(fact.dtype);
    let one = graph.add_constant("no padding", one);
    let shape = infer::known_value(graph, "mask shape", fact.shape.clone());
    let ones = graph.add_value("all visible", None);
    graph.replace_uses(mask, ones);
    graph.inputs.retain(|i| *i != mask);
    let inputs = vec![Some(one), Some(shape)];
    let node =
        Node { name: "all visible".to_owned(), op: Arc::new(expand::Expand), inputs, outputs: vec![ones] };
    graph.nodes.insert(0, node);
    Ok(())
}

/// Keeps the last position only: the output head reads one row, or, where something else computes the logits, one row
/// of them is returned.
pub(super) fn last_position_only(graph: &mut Graph, logits: usize, seq: &Expr) -> Result<(), EngineError> {
    let output = graph.outputs[logits];
    let Some(narrow) = graph.fact(output).cloned() else { return Ok(()) };
    if narrow.rank() != 3 || narrow.shape[1] != *seq || seq.constant() == Some(1) {
        return Ok(());
    }
    let name = graph.value(output).name.clone();
    let head = graph.links().producer(output).map(|at| graph.nodes[at].clone());
    let alone = |n: &Node| n.op_as::<Linear>().is_some() && n.input(Linear::RESIDUAL).is_none();
    let head = head.filter(alone);
    let wide = head.as_ref().and_then(|n| graph.fact(n.input(0)?).cloned());
    graph.outputs[logits] = match (head, wide) {
        (Some(head), Some(wide)) if wide.rank() == 3 && wide.shape[1] == *seq => {
            let row = last_row(graph, head.input(0), wide, seq);
            let narrow = Fact::new(narrow.dtype, one_row(narrow.shape));
            let inputs = std::iter::once(Some(row)).chain(head.inputs[1..].iter().copied()).collect();
            graph.add_node(&name, head.op.clone(), inputs, Some(narrow))
        }
        _ => last_row(graph, Some(output), narrow, seq),
    };
    graph.value_mut(output).name = format!("{name} of every position");
    let new = graph.outputs[logits];
    graph.value_mut(new).name = name;
    graph.tidy()
}

/// The last row of `x [batch, seq, width]`.
fn last_row(graph: &mut Graph, x: Option<ValueId>, fact: Fact, seq: &Expr) -> ValueId {
    let one = Expr::from(1);
    let mut known = |name: &str, e: Expr| Some(infer::known_value(graph, name, vec![e]));
    let (start, end) = (known("last start", seq - &one), known("last end", seq.clone()));
    let axis = known("last axis", one);
    let fact = Fact::new(fact.dtype, one_row(fact.shape));
    graph.add_node("last position", Arc::new(slice::Slice), vec![x, start, end, axis], Some(fact))
}

fn one_row(mut shape: Vec<Expr>) -> Vec<Expr> {
    shape[1] = Expr::from(1);
    shape
}
