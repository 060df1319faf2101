//! What patterns are made of: questions about a value's producer, and the rewriting of what matched.

use std::{collections::HashMap, sync::Arc};

use super::Report;
use crate::{
    error::EngineError,
    graph::{Constant, Fact, Graph, Links, Node, ValueId},
    op::Op,
    ops::transpose::Transpose,
};

/// Why a pattern did not apply to a node that looked like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The pattern.
    pub pattern: &'static str,
    /// The telling node.
    pub node: String,
    /// Which part did not fit.
    pub reason: String,
    /// The line of the graph where it did not.
    pub line: String,
}

/// Which part of a pattern did not fit, and the value that is computed there, where it is not the telling node's.
#[derive(Debug)]
pub(super) struct Misfit {
    reason: String,
    at: Option<ValueId>,
}

impl Misfit {
    /// Says where, to whatever does not say so itself.
    pub fn at<T: Into<Self>>(value: ValueId) -> impl FnOnce(T) -> Self {
        move |misfit| {
            let Self { reason, at } = misfit.into();
            Self { reason, at: at.or(Some(value)) }
        }
    }

    pub fn into_refusal(self, pattern: &'static str, graph: &Graph, node: &Node) -> Refusal {
        let line = self.at.or_else(|| node.outputs.first().copied()).map(|v| graph.line(v));
        Refusal { pattern, node: node.name.clone(), reason: self.reason, line: line.unwrap_or_default() }
    }
}

impl<T: Into<String>> From<T> for Misfit {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), at: None }
    }
}

/// A new node that computes what old values were.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The values whose readers read the new node's outputs instead.
    pub replaces: Vec<ValueId>,
    pub op: Arc<dyn Op>,
    pub inputs: Vec<Option<ValueId>>,
    /// Inputs that are not there yet.
    pub new_inputs: Vec<(usize, NewInput)>,
    /// Inputs that are transposed before, each with its order.
    pub transposed: Vec<(usize, Vec<usize>)>,
}

impl Rewrite {
    pub fn new(replaces: ValueId, op: Arc<dyn Op>, inputs: Vec<Option<ValueId>>) -> Self {
        Self::of_several(vec![replaces], op, inputs)
    }

    pub fn of_several(replaces: Vec<ValueId>, op: Arc<dyn Op>, inputs: Vec<Option<ValueId>>) -> Self {
        Self { replaces, op, inputs, new_inputs: Vec::new(), transposed: Vec::new() }
    }
}

/// A value that a rewritten node reads.
#[derive(Debug)]
pub(super) struct NewInput {
    pub name: String,
    pub fact: Fact,
    pub source: Source,
}

/// Where a new value is from.
#[derive(Debug)]
pub(super) enum Source {
    Constant(Constant),
    Node(Arc<dyn Op>, Vec<Option<ValueId>>),
}

/// One recognisable piece of graph.
pub(super) trait Pattern {
    fn name(&self) -> &'static str;

    /// Whether this node makes one expect the pattern.
    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool;

    /// The rewrite, or what did not fit.
    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit>;
}

/// A graph with its links, to ask questions of.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub graph: &'a Graph,
    pub links: Links,
}

impl<'a> Cx<'a> {
    pub fn new(graph: &'a Graph) -> Self {
        Self { graph, links: graph.links() }
    }

    /// The node that computes `value`.
    pub fn producer(&self, value: ValueId) -> Option<&'a Node> {
        self.links.producer(value).map(|i| &self.graph.nodes[i])
    }

    /// The producer, if its operator has this name.
    pub fn made_by(&self, value: ValueId, op: &str) -> Option<&'a Node> {
        self.producer(value).filter(|n| n.op.name() == op)
    }

    /// Operands of a node of this name, in both orders.
    pub fn operands(&self, value: ValueId, op: &str) -> Vec<(ValueId, ValueId)> {
        let node = self.made_by(value, op);
        match node.and_then(|n| Some((n.input(0)?, n.input(1)?))) {
            Some((a, b)) => vec![(a, b), (b, a)],
            None => Vec::new(),
        }
    }

    /// The single node that reads `value`, if it is a node of this name and `value` is no output of the graph.
    pub fn only_reader(&self, value: ValueId, op: &str) -> Option<&'a Node> {
        self.only_reader_of_any(value).filter(|reader| reader.op.name() == op)
    }

    /// The single node that reads `value`, if it is no output of the graph. Its shape may be read by others.
    pub fn only_reader_of_any(&self, value: ValueId) -> Option<&'a Node> {
        let mut readers = self.readers(value).filter(|n| n.op.name() != "Shape");
        let reader = readers.next()?;
        (readers.next().is_none() && !self.graph.outputs.contains(&value)).then_some(reader)
    }

    /// Nodes that read `value`.
    pub fn readers(&self, value: ValueId) -> impl Iterator<Item = &'a Node> + '_ {
        self.links.consumers(value).iter().map(|i| &self.graph.nodes[*i])
    }

    /// The number, if `value` is a constant whose elements are all the same.
    pub fn scalar(&self, value: ValueId) -> Option<f64> {
        let host = self.graph.host(value)?;
        if host.shape().iter().product::<usize>() > 4096 {
            return None;
        }
        let all = host.to_f64s();
        let first = *all.first()?;
        all.iter().all(|v| *v == first || (v.is_nan() && first.is_nan())).then_some(first)
    }

    /// Whether a value's elements are floats that the device holds as it does activations.
    fn is_activation(&self, value: ValueId) -> bool {
        self.graph.fact(value).is_some_and(|f| f.dtype.is_float() && f.dtype.minifloat().is_none())
    }

    /// The value behind any casts between floats.
    pub fn through_casts(&self, mut value: ValueId) -> ValueId {
        while let Some(input) = self.made_by(value, "Cast").and_then(|n| n.input(0)) {
            if !(self.is_activation(value) && self.is_activation(input)) {
                break;
            }
            value = input;
        }
        value
    }

    /// `value`, or the first behind its float casts, that has the type of `like`.
    pub fn of_type(&self, value: ValueId, like: ValueId) -> Option<ValueId> {
        let dtype = |v: ValueId| self.graph.fact(v).map(|f| f.dtype);
        let end = self.through_casts(value);
        let behind = |v: &ValueId| if *v == end { None } else { self.made_by(*v, "Cast")?.input(0) };
        std::iter::successors(Some(value), behind).find(|v| dtype(*v) == dtype(like))
    }

    /// The last of a chain of float casts that read `value` and nothing else does.
    pub fn after_casts(&self, mut value: ValueId) -> ValueId {
        while let Some(cast) = self.only_reader(value, "Cast") {
            let out = cast.outputs[0];
            if !self.is_activation(out) {
                break;
            }
            value = out;
        }
        value
    }
}

/// Applies a pattern wherever it fits, and reports where it did not.
pub(super) fn rewrite(
    graph: &mut Graph,
    pattern: &dyn Pattern,
    report: &mut Report,
) -> Result<(), EngineError> {
    let cx = Cx::new(graph);
    let mut rewrites = Vec::new();
    for node in &cx.graph.nodes {
        if !pattern.tells(&cx, node) {
            continue;
        }
        match pattern.apply(&cx, node) {
            Ok(found) => rewrites.push(found),
            Err(misfit) => report.refused.push(misfit.into_refusal(pattern.name(), graph, node)),
        }
    }
    *report.applied.entry(pattern.name()).or_default() += rewrites.len();
    apply_all(graph, rewrites)
}

/// Adds the new nodes and redirects the readers of what they replace.
pub(super) fn apply_all(graph: &mut Graph, rewrites: Vec<Rewrite>) -> Result<(), EngineError> {
    let mut moved: HashMap<ValueId, ValueId> = HashMap::new();
    let mut order = Vec::new();
    for mut found in rewrites {
        let name = graph.value(found.replaces[0]).name.clone();
        for (index, NewInput { name, fact, source }) in found.new_inputs {
            let id = match source {
                Source::Node(op, inputs) => graph.add_node(&name, op, inputs, Some(fact)),
                Source::Constant(constant) => {
                    let id = graph.add_value(&name, Some(fact));
                    graph.value_mut(id).constant = Some(constant);
                    id
                }
            };
            found.inputs[index] = Some(id);
        }
        for (index, perm) in found.transposed {
            let Some(input) = found.inputs[index] else { continue };
            let fact = graph.fact(input).map(|f| {
                Fact::new(f.dtype, perm.iter().filter_map(|from| f.shape.get(*from).cloned()).collect())
            });
            let name = format!("{} (transposed)", graph.value(input).name);
            let op = Arc::new(Transpose { perm: Some(perm) });
            found.inputs[index] = Some(graph.add_node(&name, op, vec![Some(input)], fact));
        }
        let outputs = found.replaces.into_iter().map(|old| {
            let (name, fact) = (graph.value(old).name.clone(), graph.fact(old).cloned());
            let new = graph.add_value(&name, fact);
            moved.insert(old, new);
            order.push((old, new));
            new
        });
        let outputs = outputs.collect();
        graph.nodes.push(Node { name, op: found.op, inputs: found.inputs, outputs });
    }
    let reads = graph.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten());
    for id in reads.chain(graph.outputs.iter_mut()) {
        while let Some(new) = moved.get(id) {
            *id = *new;
        }
    }
    for (old, new) in order {
        let name = graph.value(new).name.clone();
        graph.value_mut(old).name = format!("{name} (before fusion)");
    }
    graph.tidy()
}
