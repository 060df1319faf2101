//! Inference: types and symbolic shapes of every value, in one walk; what is constant is computed on the way.

use std::sync::Arc;

use symbolic::{Equalities, Expr, Substitution};

use crate::{
    dtype::DType,
    error::EngineError,
    graph::{Constant, Fact, Graph, ValueId},
    host::HostTensor,
    op::Infer,
};

/// Constants of up to this many elements are computed while inferring; larger ones are weights.
const FOLDED: usize = 1 << 16;

/// Finds type, shape and known content of every value, replaces nodes whose results are constants by these, and
/// returns nothing that could be forgotten: all facts are in the graph, sizes found equal are already one.
///
/// # Errors
/// When an operator refuses its inputs, with the node's name.
pub fn infer(graph: &mut Graph) -> Result<(), EngineError> {
    let mut equalities = Equalities::new();
    for index in 0..graph.nodes.len() {
        infer_node(graph, index, &mut equalities)?;
    }
    if equalities.solved().iter().next().is_some() {
        for value in &mut graph.values {
            if let Some(fact) = &mut value.fact {
                rewrite(fact, &|e| equalities.resolve(e));
            }
        }
    }
    let constant = |id: &ValueId| graph.values[id.index()].constant.is_some();
    graph.nodes.retain(|node| !node.outputs.iter().all(constant));
    Ok(())
}

/// Puts expressions in for symbols in the facts of inputs, and forgets what was inferred from them.
pub fn specialise(graph: &mut Graph, substitution: &Substitution) {
    let inputs = graph.inputs.clone();
    for (index, value) in graph.values.iter_mut().enumerate() {
        if inputs.contains(&ValueId(index as u32)) {
            if let Some(fact) = &mut value.fact {
                rewrite(fact, &|e| e.substitute(substitution));
            }
        } else if value.constant.is_none() {
            value.fact = None;
        }
    }
}

fn rewrite(fact: &mut Fact, change: &dyn Fn(&Expr) -> Expr) {
    for dim in &mut fact.shape {
        *dim = change(dim);
    }
    if let Some(content) = &fact.content {
        fact.content = Some(content.iter().map(change).collect());
    }
}

fn infer_node(graph: &mut Graph, index: usize, equalities: &mut Equalities) -> Result<(), EngineError> {
    let node = &graph.nodes[index];
    let (name, op) = (node.name.clone(), node.op.clone());
    let mut facts = Vec::with_capacity(node.inputs.len());
    for input in &node.inputs {
        let Some(input) = input else {
            facts.push(None);
            continue;
        };
        let fact = graph.fact(*input).cloned().ok_or_else(|| {
            let text =
                format!("node {name:?} reads {:?}, of which nothing is known", graph.value(*input).name);
            EngineError::model("infer", text)
        })?;
        facts.push(Some(fact));
    }
    let outputs = node.outputs.clone();
    let hosts: Option<Vec<Option<HostTensor>>> =
        node.inputs.iter().map(|i| i.map_or(Some(None), |i| graph.host(i).cloned().map(Some))).collect();
    let fail = |source| EngineError::at("infer", &name, op.name(), source);
    let inferred = op.infer(&mut Infer::new(&name, &facts, equalities)).map_err(fail)?;
    for (output, fact) in outputs.iter().zip(&inferred) {
        graph.value_mut(*output).fact = Some(fact.clone());
    }
    let small = inferred.iter().all(|f| constant_len(f).is_some_and(|n| n <= FOLDED));
    if let (Some(hosts), true) = (hosts, small) {
        let hosts: Vec<Option<&HostTensor>> = hosts.iter().map(Option::as_ref).collect();
        let results = op.reference(&hosts).map_err(fail)?;
        for (output, tensor) in outputs.iter().zip(results) {
            settle(graph, *output, tensor);
        }
    } else {
        for (output, fact) in outputs.iter().zip(&inferred) {
            if let Some(tensor) = constant_content(fact)? {
                settle(graph, *output, tensor);
            }
        }
    }
    Ok(())
}

fn settle(graph: &mut Graph, id: ValueId, tensor: HostTensor) {
    let value = graph.value_mut(id);
    let content = value.fact.as_ref().and_then(|f| f.content.clone());
    let mut fact = crate::op::fact_of(&tensor);
    fact.content = fact.content.or(content);
    value.fact = Some(fact);
    value.constant = Some(Constant::Host(tensor));
}

fn constant_len(fact: &Fact) -> Option<usize> {
    fact.len().constant().and_then(|n| usize::try_from(n).ok())
}

/// The data of a value whose content names no symbol.
fn constant_content(fact: &Fact) -> Result<Option<HostTensor>, EngineError> {
    let Some(content) = &fact.content else { return Ok(None) };
    let numbers: Option<Vec<i64>> = content.iter().map(Expr::constant).collect();
    let shape: Option<Vec<usize>> =
        fact.shape.iter().map(|d| d.constant().and_then(|n| usize::try_from(n).ok())).collect();
    let (Some(numbers), Some(shape)) = (numbers, shape) else { return Ok(None) };
    Ok(Some(HostTensor::from_i64(shape, &numbers)?.cast(fact.dtype)))
}

/// A value known before the run and computed by no node, such as the start of a slice.
pub fn known_value(graph: &mut Graph, name: &str, content: Vec<Expr>) -> ValueId {
    let shape = vec![Expr::from(content.len() as i64)];
    let content: Arc<[Expr]> = content.into();
    graph.add_value(name, Some(Fact { dtype: DType::I64, shape, content: Some(content) }))
}
