//! Inference: types and symbolic shapes of every value, in one walk; what is constant is computed on the way, and
//! operators that stand for several others are replaced by these.

use std::sync::Arc;

use symbolic::{Equalities, Equality, Expr, Substitution};

use crate::{
    dtype::DType,
    error::EngineError,
    graph::{Fact, Graph, ValueId},
    op::Typing,
};

/// Finds type, shape and known content of every value, replaces nodes whose results are constants by these, and
/// returns nothing that could be forgotten: all facts are in the graph, sizes found equal are already one or, where no
/// symbol could be solved for, in [`Graph::pending`].
///
/// # Errors
/// When an operator refuses its inputs, with the node's name.
pub fn infer(graph: &mut Graph) -> Result<(), EngineError> {
    let mut equalities = Equalities::new();
    for known in std::mem::take(&mut graph.pending) {
        let fit = equalities.unify(&known.a, &known.a_place, &known.b, &known.b_place);
        fit.map_err(|e| EngineError::model("infer", e.to_string()))?;
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let mut typing = Typing::new(graph, &mut equalities);
    for node in nodes {
        let (name, op) = (node.name.clone(), node.op.name());
        typing.add(node).map_err(|source| EngineError::at("infer", &name, op, source))?;
    }
    if equalities.solved().iter().next().is_some() {
        for value in &mut graph.values {
            if let Some(fact) = &mut value.fact {
                rewrite(fact, &|e| equalities.resolve(e));
            }
        }
    }
    graph.pending = equalities.pending().collect();
    Ok(())
}

/// Puts expressions in for symbols in the facts of inputs, and forgets what was inferred from them.
pub fn specialise(graph: &mut Graph, substitution: &Substitution) {
    for Equality { a, b, .. } in &mut graph.pending {
        (*a, *b) = (a.substitute(substitution), b.substitute(substitution));
    }
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

/// A value known before the run and computed by no node, such as the start of a slice.
pub fn known_value(graph: &mut Graph, name: &str, content: Vec<Expr>) -> ValueId {
    let shape = vec![Expr::from(content.len() as i64)];
    let content: Arc<[Expr]> = content.into();
    graph.add_value(name, Some(Fact { dtype: DType::I64, shape, content: Some(content) }))
}
