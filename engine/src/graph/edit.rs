//! Changing a graph: adding nodes, redirecting uses, and `tidy`, which restores order and drops what is unused.

use std::sync::Arc;

use super::{Constant, Fact, Graph, Node, Value, ValueId};
use crate::{error::EngineError, host::HostTensor, op::Op};

/// For each value, the node that computes it and the nodes that read it.
#[derive(Debug)]
pub struct Links {
    producer: Vec<Option<usize>>,
    consumers: Vec<Vec<usize>>,
}

impl Links {
    /// Index in [`Graph::nodes`] of the node that computes `value`.
    #[must_use]
    pub fn producer(&self, value: ValueId) -> Option<usize> {
        self.producer.get(value.index()).copied().flatten()
    }

    /// Indices of the nodes that read `value`, once for each use.
    #[must_use]
    pub fn consumers(&self, value: ValueId) -> &[usize] {
        self.consumers.get(value.index()).map_or(&[], Vec::as_slice)
    }
}

impl Graph {
    /// Adds a value that no node computes yet. Names should differ: the text form tells values apart by them.
    pub fn add_value(&mut self, name: &str, fact: Option<Fact>) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name: name.to_owned(), fact, constant: None });
        id
    }

    /// Adds a constant; its fact follows from the data.
    pub fn add_constant(&mut self, name: &str, tensor: HostTensor) -> ValueId {
        let fact = crate::op::fact_of(&tensor);
        let id = self.add_value(name, Some(fact));
        self.value_mut(id).constant = Some(Constant::Host(tensor));
        id
    }

    /// Adds a node with one output of the given name and fact, and returns that output.
    pub fn add_node(
        &mut self,
        name: &str,
        op: Arc<dyn Op>,
        inputs: Vec<Option<ValueId>>,
        fact: Option<Fact>,
    ) -> ValueId {
        let output = self.add_value(name, fact);
        self.nodes.push(Node { name: name.to_owned(), op, inputs, outputs: vec![output] });
        output
    }

    /// Makes every reader of `old`, and the graph's output list, read `new` instead.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        let reads = self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().flatten());
        for id in reads.chain(self.outputs.iter_mut()) {
            if *id == old {
                *id = new;
            }
        }
    }

    /// Who computes and who reads each value, as things stand now.
    #[must_use]
    pub fn links(&self) -> Links {
        let mut links =
            Links { producer: vec![None; self.values.len()], consumers: vec![Vec::new(); self.values.len()] };
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                links.producer[output.index()] = Some(index);
            }
            for input in node.inputs.iter().flatten() {
                links.consumers[input.index()].push(index);
            }
        }
        links
    }

    /// Drops nodes that no output needs and puts the rest into an order in which every node follows its inputs.
    ///
    /// # Errors
    /// When nodes depend on each other in a circle.
    pub fn tidy(&mut self) -> Result<(), EngineError> {
        let links = self.links();
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut state = vec![Visit::New; self.nodes.len()];
        for output in &self.outputs {
            self.visit(links.producer(*output), &links, &mut state, &mut order)?;
        }
        let mut nodes: Vec<Option<Node>> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.into_iter().filter_map(|index| nodes[index].take()).collect();
        Ok(())
    }

    /// Depth-first visit with its own stack: graphs are deeper than a thread's stack.
    fn visit(
        &self,
        root: Option<usize>,
        links: &Links,
        state: &mut [Visit],
        order: &mut Vec<usize>,
    ) -> Result<(), EngineError> {
        let mut stack: Vec<usize> = root.into_iter().collect();
        while let Some(&index) = stack.last() {
            match state[index] {
                Visit::New => {
                    state[index] = Visit::Open;
                    let inputs = self.nodes[index].inputs.iter().flatten();
                    for producer in inputs.filter_map(|v| links.producer(*v)) {
                        match state[producer] {
                            Visit::New => stack.push(producer),
                            Visit::Open => return Err(circle(&self.nodes[producer])),
                            Visit::Done => {}
                        }
                    }
                }
                Visit::Open => {
                    state[index] = Visit::Done;
                    order.push(index);
                    stack.pop();
                }
                Visit::Done => {
                    stack.pop();
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

fn circle(node: &Node) -> EngineError {
    EngineError::model("graph", format!("node {:?} ({}) depends on itself", node.name, node.op.name()))
}
