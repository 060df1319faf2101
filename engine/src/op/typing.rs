//! Typing a node: facts of its outputs, its results where they are constants, and the parts of a composite.

use std::sync::Arc;

use symbolic::{Equalities, Expr};

use super::{Composite, Infer, Op, fact_of};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Constant, Fact, Graph, Node, Value, ValueId},
    host::{BlockMatrix, HostTensor},
};

/// Constants of up to this many elements are computed while inferring; larger ones are weights.
pub(crate) const FOLDED: usize = 1 << 16;
/// Parts that composites may have together, loops unrolled.
const PARTS: usize = 1 << 16;
/// So many elements of a computed table count as one part.
const TABLE: usize = 1 << 10;
/// A longer name counts as more parts.
const NAME: usize = 256;

/// A graph under inference: nodes are added one by one, each after those it reads from.
#[derive(Debug)]
pub struct Typing<'a> {
    graph: &'a mut Graph,
    equalities: &'a mut Equalities,
    parts: usize,
}

impl<'a> Typing<'a> {
    /// For nodes of `graph`, whose inputs and constants have facts.
    pub fn new(graph: &'a mut Graph, equalities: &'a mut Equalities) -> Self {
        Self { graph, equalities, parts: 0 }
    }

    /// Finds what is known of a node's outputs and adds the node, or, of a composite, its parts.
    ///
    /// # Errors
    /// When the operator refuses its inputs.
    pub fn add(&mut self, node: Node) -> Result<(), OpError> {
        let op = node.op.clone();
        if let Some(composite) = op.composite() {
            return self.expand(composite, &node);
        }
        let facts = node.inputs.iter().map(|i| i.map(|i| self.fact(i).cloned()).transpose());
        let facts = facts.collect::<Result<Vec<_>, _>>()?;
        let hosts: Vec<Option<HostTensor>> =
            node.inputs.iter().map(|i| i.and_then(|i| self.graph.host(i).cloned())).collect();
        let known = node.inputs.iter().zip(&hosts).all(|(input, host)| input.is_none() || host.is_some());
        let data: Vec<Option<&HostTensor>> = hosts.iter().map(Option::as_ref).collect();
        let inferred = match op.infer(&mut Infer::new(&node.name, &facts, self.equalities).with_hosts(&hosts))
        {
            // What the facts do not say of a shape, the data does.
            Err(OpError::NotConstant { .. }) if known => op.reference(&data)?.iter().map(fact_of).collect(),
            inferred => inferred?,
        };
        for (output, fact) in node.outputs.iter().zip(&inferred) {
            self.graph.value_mut(*output).fact = Some(fact.clone());
        }
        let small = inferred.iter().all(|f| constant_len(f).is_some_and(|n| n <= FOLDED));
        let told = inferred.iter().all(|fact| fact.content.is_some());
        if known && small && !told {
            for (output, tensor) in node.outputs.iter().zip(op.reference(&data)?) {
                self.settle(*output, tensor);
            }
        } else {
            for (output, fact) in node.outputs.iter().zip(&inferred) {
                if let Some(tensor) = constant_content(fact)? {
                    self.settle(*output, tensor);
                }
            }
        }
        if !node.outputs.iter().all(|o| self.graph.is_constant(*o)) {
            self.graph.nodes.push(node);
        }
        Ok(())
    }

    fn fact(&self, id: ValueId) -> Result<&Fact, OpError> {
        let unknown = || invalid(format!("nothing is known of its input {:?}", self.graph.value(id).name));
        self.graph.fact(id).ok_or_else(unknown)
    }

    fn settle(&mut self, id: ValueId, tensor: HostTensor) {
        let value = self.graph.value_mut(id);
        let content = value.fact.as_ref().and_then(|f| f.content.clone());
        let mut fact = fact_of(&tensor);
        fact.content = fact.content.or(content);
        value.fact = Some(fact);
        value.constant = Some(Constant::Host(tensor));
    }

    /// Puts a composite's parts in its place. The part that computes an output writes to the composite's own.
    fn expand(&mut self, composite: &dyn Composite, node: &Node) -> Result<(), OpError> {
        let start = self.graph.nodes.len();
        let results = self.parts_of(composite, &node.name, &node.inputs)?;
        for (output, result) in node.outputs.iter().zip(results) {
            let Value { fact, constant, .. } = self.graph.value(result).clone();
            let of_a_part = self.graph.nodes[start..].iter().any(|n| n.outputs.contains(&result));
            if constant.is_none() && (!of_a_part || node.outputs.contains(&result)) {
                return Err(invalid(format!("an output of {} is no part's own", composite.name())));
            }
            for part in &mut self.graph.nodes[start..] {
                let ids = part.inputs.iter_mut().flatten().chain(&mut part.outputs);
                ids.filter(|id| **id == result).for_each(|id| *id = *output);
            }
            let value = self.graph.value_mut(*output);
            (value.fact, value.constant) = (fact, constant);
        }
        Ok(())
    }

    /// Adds a composite's parts and returns the values that are its outputs.
    pub(super) fn parts_of(
        &mut self,
        composite: &dyn Composite,
        name: &str,
        inputs: &[Option<ValueId>],
    ) -> Result<Vec<ValueId>, OpError> {
        composite.expand(&mut Parts { typing: self, name, inputs, count: 0 })
    }
}

/// What a composite adds its parts to.
#[derive(Debug)]
pub struct Parts<'a, 'b> {
    typing: &'a mut Typing<'b>,
    name: &'a str,
    inputs: &'a [Option<ValueId>],
    count: usize,
}

impl Parts<'_, '_> {
    /// A required input.
    ///
    /// # Errors
    /// When it is left out.
    pub fn input(&self, index: usize) -> Result<ValueId, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// An optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// Type, shape and known content of a value.
    ///
    /// # Errors
    /// When nothing is known of it.
    pub fn fact(&self, id: ValueId) -> Result<&Fact, OpError> {
        self.typing.fact(id)
    }

    /// The data of a constant.
    #[must_use]
    pub fn host(&self, id: ValueId) -> Option<&HostTensor> {
        self.typing.graph.host(id)
    }

    /// Adds a constant.
    pub fn constant(&mut self, tensor: HostTensor) -> ValueId {
        let name = self.part_name("constant");
        self.typing.graph.add_constant(&name, tensor)
    }

    /// Adds a matrix of codes that decode to `fact`'s elements in their order, whose numbers are in `sources`; the one that
    /// is there already, if it is over the same bytes. Named after the last source.
    pub fn blocks(&mut self, matrix: BlockMatrix, fact: Fact, sources: &[ValueId]) -> ValueId {
        let graph = &mut *self.typing.graph;
        let mut sources: Vec<String> = sources.iter().map(|id| graph.value(*id).name.clone()).collect();
        let mut name = format!("{} (blocks)", sources.last().map_or("", String::as_str));
        if let Some(id) = graph.find(&name) {
            let value = graph.value_mut(id);
            if let Some(Constant::Blocks { matrix: there, sources: known }) = &mut value.constant
                && there.is_same(&matrix)
                && value.fact.as_ref() == Some(&fact)
            {
                sources.extend(known.iter().cloned());
                *known = sources.into();
                return id;
            }
            name = format!("{name} of {}", self.name);
        }
        let sources = sources.into();
        let id = graph.add_value(&name, Some(fact));
        graph.value_mut(id).constant = Some(Constant::Blocks { matrix: Arc::new(matrix), sources });
        id
    }

    /// The constant that a value is, under whatever shape.
    #[must_use]
    pub fn constant_behind(&self, mut id: ValueId) -> Option<ValueId> {
        while !self.typing.graph.is_constant(id) {
            let node = self.typing.graph.nodes.iter().find(|n| n.outputs.contains(&id))?;
            id = node.input(0).filter(|_| node.op.name() == "Reshape")?;
        }
        Some(id)
    }

    /// Adds a constant that is computed here, whose size no data of the file pays for.
    ///
    /// # Errors
    /// When a graph has too much of these.
    pub fn table(&mut self, tensor: HostTensor) -> Result<ValueId, OpError> {
        self.spend(tensor.len() / TABLE)?;
        Ok(self.constant(tensor))
    }

    /// Adds a list of 64-bit integers: a shape, axes.
    ///
    /// # Errors
    /// When there are more than memory holds.
    pub fn integers(&mut self, values: &[i64]) -> Result<ValueId, OpError> {
        Ok(self.constant(HostTensor::from_i64(vec![values.len()], values)?))
    }

    /// Adds one number of element type `dtype`, as a tensor without dimensions.
    ///
    /// # Errors
    /// When the type holds no numbers.
    pub fn number(&mut self, value: f64, dtype: DType) -> Result<ValueId, OpError> {
        Ok(self.constant(HostTensor::from_f64s(dtype, vec![], &[value])?))
    }

    /// Adds a part with one output, of which everything is known at once.
    ///
    /// # Errors
    /// When the operator refuses its inputs.
    pub fn add(&mut self, op: impl Op, inputs: &[ValueId]) -> Result<ValueId, OpError> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        Ok(self.add_all(op, &inputs, 1)?[0])
    }

    /// Adds a part with any number of outputs, and optional inputs.
    ///
    /// # Errors
    /// When the operator refuses its inputs.
    pub fn add_all(
        &mut self,
        op: impl Op,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>, OpError> {
        self.add_op(op.name(), Arc::new(op), inputs, outputs)
    }

    /// [`Parts::add_all`] for an operator of any type, a composite too, with a name of its own for the part.
    ///
    /// # Errors
    /// When the operator refuses its inputs.
    pub fn add_op(
        &mut self,
        name: &str,
        op: Arc<dyn Op>,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>, OpError> {
        let name = self.part_name(name);
        self.spend(1 + name.len() / NAME)?;
        let value = |i| if outputs == 1 { name.clone() } else { format!("{name}:{i}") };
        let outputs: Vec<_> = (0..outputs).map(|i| self.typing.graph.add_value(&value(i), None)).collect();
        let node = Node { name, op, inputs: inputs.to_vec(), outputs: outputs.clone() };
        self.typing.add(node)?;
        Ok(outputs)
    }

    /// Adds a constant of another graph.
    pub(super) fn adopt(&mut self, value: &Value) -> Result<ValueId, OpError> {
        let name = self.part_name(&value.name);
        self.spend(1 + name.len() / NAME)?;
        let id = self.typing.graph.add_value(&name, value.fact.clone());
        self.typing.graph.value_mut(id).constant.clone_from(&value.constant);
        Ok(id)
    }

    /// Counts parts: loops within loops would make more than memory holds.
    pub(super) fn spend(&mut self, parts: usize) -> Result<(), OpError> {
        self.typing.parts += parts;
        if self.typing.parts > PARTS {
            let text = format!("more than {PARTS} nodes, loops unrolled and tables counted by their size");
            return Err(OpError::Unsupported(text));
        }
        Ok(())
    }

    /// How many sizes were found equal so far. Nodes that may not run must not add to these.
    #[must_use]
    pub fn equalities(&self) -> (usize, usize) {
        (self.typing.equalities.solved().iter().count(), self.typing.equalities.pending().count())
    }

    fn part_name(&mut self, part: &str) -> String {
        self.count += 1;
        format!("{}/{part}.{}", self.name, self.count)
    }
}

fn constant_len(fact: &Fact) -> Option<usize> {
    fact.len().constant().and_then(|n| usize::try_from(n).ok())
}

/// The data of a value whose content names no symbol.
fn constant_content(fact: &Fact) -> Result<Option<HostTensor>, OpError> {
    let Some(content) = &fact.content else { return Ok(None) };
    let numbers: Option<Vec<i64>> = content.iter().map(Expr::constant).collect();
    let shape: Option<Vec<usize>> =
        fact.shape.iter().map(|d| d.constant().and_then(|n| usize::try_from(n).ok())).collect();
    let (Some(numbers), Some(shape)) = (numbers, shape) else { return Ok(None) };
    Ok(Some(HostTensor::from_i64(shape, &numbers)?.cast(fact.dtype)))
}
