//! A graph written node by node, and what it computes before and after fusion.

use std::collections::HashMap;
use std::sync::Arc;

use engine::{
    dtype::DType,
    graph::{Fact, Graph, Node, ValueId},
    host::{HostTensor, WeightFormat},
    infer::{infer, known_value},
    op::{Op, sample},
    ops::{
        attention::Attention,
        binary::Binary,
        cast::Cast,
        known::Known,
        reduce::{Reduce, Reduction},
        select::Where,
        squeeze::Squeeze,
        transpose::Transpose,
        unary::Unary,
    },
    passes::{self, PassOptions, Report, WeightFormats},
};
use symbolic::{Expr, Substitution};

/// A graph with the tensors that its inputs are given.
#[derive(Debug, Default)]
pub struct Draft {
    graph: Graph,
    given: HashMap<ValueId, HostTensor>,
    sizes: Substitution,
    /// Which of the commutative operators have their operands the other way round, one bit each.
    swaps: u64,
}

/// What fusion did, and how far the results are from those without it.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    /// The largest `|fused - unfused| / (1 + |unfused|)`.
    pub difference: f64,
    /// Nodes of the fused graph.
    pub nodes: usize,
}

impl Outcome {
    /// How often a pattern was applied.
    pub fn applied(&self, pattern: &str) -> usize {
        self.report.applied.get(pattern).copied().unwrap_or(0)
    }
}

impl Draft {
    pub fn new(swaps: u64) -> Self {
        Self { swaps, ..Self::default() }
    }

    /// Gives the symbols in shapes their sizes.
    pub fn sized(mut self, sizes: Substitution) -> Self {
        self.sizes = sizes;
        self
    }

    fn integer(&self, e: &Expr) -> i64 {
        e.substitute(&self.sizes).constant().unwrap()
    }

    pub fn size(&self, e: &Expr) -> usize {
        usize::try_from(self.integer(e)).unwrap()
    }

    /// An input of a symbolic shape, given this tensor.
    pub fn given(&mut self, shape: Vec<Expr>, tensor: HostTensor) -> ValueId {
        let name = format!("input{}", self.graph.inputs.len());
        let id = self.graph.add_value(&name, Some(Fact::new(tensor.dtype(), shape)));
        self.graph.inputs.push(id);
        self.given.insert(id, tensor);
        id
    }

    /// An input of random numbers.
    pub fn input(&mut self, shape: &[Expr], dtype: DType) -> ValueId {
        let sizes: Vec<usize> = shape.iter().map(|d| self.size(d)).collect();
        let tensor = sample::floats(&sizes, 1 + self.given.len() as u64).cast(dtype);
        self.given(shape.to_vec(), tensor)
    }

    pub fn constant(&mut self, tensor: HostTensor) -> ValueId {
        let name = format!("constant{}", self.graph.values.len());
        self.graph.add_constant(&name, tensor)
    }

    /// A constant of the type of `like`, without dimensions.
    pub fn number(&mut self, value: f64, like: ValueId) -> ValueId {
        let dtype = self.dtype(like);
        self.constant(sample::scalar(dtype, value))
    }

    /// A list of integers.
    pub fn list(&mut self, values: &[i64]) -> ValueId {
        self.constant(sample::list(values))
    }

    /// Integers known before the run, as shapes are.
    pub fn known(&mut self, content: Vec<Expr>) -> ValueId {
        let name = format!("known{}", self.graph.values.len());
        known_value(&mut self.graph, &name, content)
    }

    /// One of these, without dimensions.
    pub fn known_scalar(&mut self, content: Expr) -> ValueId {
        let list = self.known(vec![content]);
        self.node(Squeeze { insert: false, axes: Some(vec![0]) }, &[list])
    }

    fn dtype(&self, value: ValueId) -> DType {
        self.graph.fact(value).map_or(DType::F32, |f| f.dtype)
    }

    pub fn nodes(&mut self, op: impl Op, inputs: &[ValueId], outputs: usize) -> Vec<ValueId> {
        let name = format!("{}{}", op.name(), self.graph.nodes.len());
        let dtype = if let Some(cast) = (&op as &dyn std::any::Any).downcast_ref::<Cast>() {
            cast.to
        } else {
            self.dtype(inputs[0])
        };
        let fact = Fact::new(dtype, Vec::new()); // the type only, for `number`; inference writes the whole
        let outputs: Vec<_> =
            (0..outputs).map(|i| self.graph.add_value(&format!("{name}:{i}"), Some(fact.clone()))).collect();
        let inputs = inputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { name, op: Arc::new(op), inputs, outputs: outputs.clone() });
        outputs
    }

    pub fn node(&mut self, op: impl Op, inputs: &[ValueId]) -> ValueId {
        self.nodes(op, inputs, 1)[0]
    }

    pub fn unary(&mut self, op: Unary, a: ValueId) -> ValueId {
        self.node(op, &[a])
    }

    pub fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.node(op, &[a, b])
    }

    fn commutative(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        let swap = self.swaps & 1 == 1;
        self.swaps = self.swaps.rotate_right(1);
        if swap { self.binary(op, b, a) } else { self.binary(op, a, b) }
    }

    pub fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.commutative(Binary::Add, a, b)
    }

    pub fn mul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.commutative(Binary::Mul, a, b)
    }

    pub fn and(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.commutative(Binary::And, a, b)
    }

    /// `a * value`.
    pub fn times(&mut self, a: ValueId, value: f64) -> ValueId {
        let number = self.number(value, a);
        self.mul(a, number)
    }

    /// `a + value`.
    pub fn plus(&mut self, a: ValueId, value: f64) -> ValueId {
        let number = self.number(value, a);
        self.add(a, number)
    }

    pub fn power(&mut self, a: ValueId, value: f64) -> ValueId {
        let number = self.number(value, a);
        self.binary(Binary::Pow, a, number)
    }

    pub fn cast(&mut self, a: ValueId, to: DType) -> ValueId {
        self.node(Cast { to }, &[a])
    }

    pub fn reduce(&mut self, reduction: Reduction, a: ValueId, axes: &[i64]) -> ValueId {
        let axes = Some(axes.to_vec());
        self.node(Reduce { reduction, keep: true, noop_without_axes: false, axes }, &[a])
    }

    pub fn unsqueeze(&mut self, a: ValueId, axes: &[i64]) -> ValueId {
        self.node(Squeeze { insert: true, axes: Some(axes.to_vec()) }, &[a])
    }

    pub fn select(&mut self, condition: ValueId, then: ValueId, otherwise: ValueId) -> ValueId {
        let out = self.node(Where, &[condition, then, otherwise]);
        let dtype = self.dtype(then);
        self.graph.value_mut(out).fact = Some(Fact::new(dtype, Vec::new()));
        out
    }

    pub fn transpose(&mut self, a: ValueId, perm: &[usize]) -> ValueId {
        self.node(Transpose { perm: Some(perm.to_vec()) }, &[a])
    }

    /// Fuses the graph of these outputs and compares what they are with what they were.
    pub fn fuse(mut self, outputs: &[ValueId]) -> Outcome {
        self.graph.outputs = outputs.to_vec();
        infer(&mut self.graph).unwrap_or_else(|e| panic!("{e}\n{}", self.graph));
        let before = self.results();
        let unfused = self.graph.to_string();
        let formats = WeightFormats::uniform(WeightFormat::F32);
        let report = passes::run(&mut self.graph, &PassOptions { formats, fuse: true }).unwrap();
        let after = self.results();
        let mut difference = 0.0f64;
        for (got, want) in after.iter().zip(&before) {
            assert_eq!(
                (got.dtype(), got.shape()),
                (want.dtype(), want.shape()),
                "{unfused}\nbecame\n{}",
                self.graph
            );
            for (got, want) in got.to_f64s().into_iter().zip(want.to_f64s()) {
                let same = got == want || (got.is_nan() && want.is_nan());
                let apart = if same { 0.0 } else { (got - want).abs() / (1.0 + want.abs()) };
                difference = if apart.is_nan() { f64::INFINITY } else { difference.max(apart) };
            }
        }
        Outcome { report, difference, nodes: self.graph.nodes.len() }
    }

    /// The outputs, by the references of the nodes.
    fn results(&self) -> Vec<HostTensor> {
        let mut values = self.given.clone();
        for (index, value) in self.graph.values.iter().enumerate() {
            let id = ValueId(index as u32);
            if let Some(host) = self.graph.host(id) {
                values.insert(id, host.clone());
            } else if let Some((fact, content)) =
                value.fact.as_ref().and_then(|f| Some((f, f.content.as_ref()?)))
            {
                let numbers: Vec<i64> = content.iter().map(|e| self.integer(e)).collect();
                let shape = fact.shape.iter().map(|d| self.size(d)).collect();
                values.insert(id, HostTensor::from_i64(shape, &numbers).unwrap().cast(fact.dtype));
            }
        }
        for node in self.graph.nodes.iter().filter(|n| n.op_as::<Known>().is_none()) {
            let inputs: Vec<Option<&HostTensor>> =
                node.inputs.iter().map(|i| i.map(|i| &values[&i])).collect();
            let results = self.bound(node).reference(&inputs);
            let results = results.unwrap_or_else(|e| panic!("{}: {e}\n{}", node.name, self.graph));
            values.extend(node.outputs.iter().copied().zip(results));
        }
        self.graph.outputs.iter().map(|o| values[o].clone()).collect()
    }

    /// The operator with numbers in place of symbols.
    fn bound(&self, node: &Node) -> Arc<dyn Op> {
        let Some(op) = node.op_as::<Attention>() else { return node.op.clone() };
        let mut op = op.clone();
        for size in [&mut op.causal, &mut op.window, &mut op.keys].into_iter().flatten() {
            *size = size.substitute(&self.sizes);
        }
        Arc::new(op)
    }
}

/// Sizes that are numbers.
pub fn sizes(list: &[i64]) -> Vec<Expr> {
    list.iter().map(|n| Expr::from(*n)).collect()
}
