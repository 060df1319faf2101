//! Subgraphs: branches of If, bodies of Loop and Scan. There is no control flow on the device: while types are inferred, the
//! nodes of a body are put where it runs, as often as it does.

use std::fmt;

use super::Parts;
use crate::{
    error::{OpError, invalid},
    graph::{Graph, ValueId},
};

/// A subgraph of a node.
#[derive(Clone)]
pub struct Body {
    graph: Graph,
    captures: Vec<(ValueId, usize)>,
}

/// In short: a body can be as long as a model.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} nodes)", self.graph.nodes.len())
    }
}

impl Body {
    /// A graph, and for each value of it that stands for one around it, which input of the node that is.
    #[must_use]
    pub fn new(graph: Graph, captures: Vec<(ValueId, usize)>) -> Self {
        Self { graph, captures }
    }

    /// Checks how many values the body takes and gives.
    ///
    /// # Errors
    /// When they are others.
    pub fn expect(&self, inputs: usize, outputs: usize) -> Result<(), OpError> {
        let (takes, gives) = (self.graph.inputs.len(), self.graph.outputs.len());
        if (takes, gives) == (inputs, outputs) {
            return Ok(());
        }
        Err(invalid(format!("the body takes {takes} and gives {gives} values, not {inputs} and {outputs}")))
    }

    /// Number of values that the body gives.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.graph.outputs.len()
    }
}

/// A body whose constants and captures are values of the graph around it, to be run any number of times.
#[derive(Debug)]
pub struct Placed<'a> {
    body: &'a Body,
    values: Vec<Option<ValueId>>,
}

impl Parts<'_, '_> {
    /// Adds the body's constants, once for all its runs.
    ///
    /// # Errors
    /// When a capture is missing.
    pub fn place<'a>(&mut self, body: &'a Body) -> Result<Placed<'a>, OpError> {
        let mut values = vec![None; body.graph.values.len()];
        for (value, place) in body.graph.values.iter().zip(&mut values) {
            if value.constant.is_some() {
                *place = Some(self.adopt(value)?);
            }
        }
        for (inner, index) in &body.captures {
            values[inner.index()] = Some(self.input(*index)?);
        }
        Ok(Placed { body, values })
    }

    /// Adds the body's nodes and returns its outputs, which may be arguments or captures too.
    ///
    /// # Errors
    /// When a node refuses its inputs, or too many nodes were added so.
    pub fn run(&mut self, placed: &Placed<'_>, arguments: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let (graph, mut values) = (&placed.body.graph, placed.values.clone());
        placed.body.expect(arguments.len(), graph.outputs.len())?;
        self.spend(1)?;
        for (input, argument) in graph.inputs.iter().zip(arguments) {
            values[input.index()] = Some(*argument);
        }
        let read = |values: &[Option<ValueId>], id: ValueId| {
            let unknown = || invalid(format!("{:?} is read before it is computed", graph.value(id).name));
            values[id.index()].ok_or_else(unknown)
        };
        for node in &graph.nodes {
            let inputs = node.inputs.iter().map(|id| id.map(|id| read(&values, id)).transpose());
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let added = self.add_op(&node.name, node.op.clone(), &inputs, node.outputs.len());
            let inside = |source: OpError| OpError::Inside {
                node: node.name.clone(),
                op: node.op.name(),
                source: Box::new(source),
            };
            for (output, id) in node.outputs.iter().zip(added.map_err(inside)?) {
                values[output.index()] = Some(id);
            }
        }
        graph.outputs.iter().map(|id| read(&values, *id)).collect()
    }

    /// A number that is known before the run, of a tensor with one element.
    ///
    /// # Errors
    /// When nothing is known of the value.
    pub fn known(&self, id: ValueId) -> Result<Option<i64>, OpError> {
        let content = self.fact(id)?.content.as_deref();
        Ok(content.and_then(|c| if let [one] = c { one.constant() } else { None }))
    }
}
