//! Attention with its keys and values in a cache of 8 bits: the product that writes them there, at once or by way of a copy,
//! and the kernels that read it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use symbolic::Expr;

use super::Trial;
use crate::{
    dtype::DType,
    error::EngineError,
    graph::{Graph, Node, ValueId},
    host::{GroupSize, HostTensor, WeightFormat, f8},
    op::{Elem, Op, Target, fact_of, sample},
    ops::{attention::Attention, heads_linear::HeadsLinear, rope::Rope, tensor_scatter::TensorScatter},
    plan::Cache,
};

/// What stands in the place of an operator's name.
pub const NAME: &str = "Attention with its cache in f8";

/// Elements of a row of the product's matrix.
const K: usize = 64;

/// Positions that a cache has room for beyond those in use.
const SPARE: usize = 3;

/// A step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Positions from before.
    past: usize,
    /// New ones.
    positions: usize,
    /// Heads of queries, and of keys.
    heads: [usize; 2],
    head_dim: usize,
    /// Whether queries and keys are turned by their positions.
    turned: bool,
    /// Whether heads lie in the order of the product's rows. Turned ones that do not are copied to the cache.
    in_rows: bool,
}

/// The cases.
pub const CASES: [Step; 5] = [
    Step { past: 37, positions: 1, heads: [9, 3], head_dim: 64, turned: true, in_rows: true },
    Step { past: 4, positions: 1, heads: [2, 2], head_dim: 128, turned: false, in_rows: false },
    Step { past: 70, positions: 35, heads: [4, 2], head_dim: 64, turned: true, in_rows: true },
    Step { past: 9, positions: 6, heads: [4, 2], head_dim: 64, turned: true, in_rows: false },
    Step { past: 0, positions: 9, heads: [3, 1], head_dim: 256, turned: false, in_rows: false },
];

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { past, positions, heads: [heads, groups], head_dim, turned, in_rows } = self;
        write!(f, "{positions} positions after {past}, {heads} heads of {head_dim} with keys of {groups}")?;
        for (is, what) in [(turned, ", turned"), (in_rows, ", in rows")] {
            write!(f, "{}", if *is { what } else { "" })?;
        }
        Ok(())
    }
}

impl Step {
    /// Plans it for a device.
    ///
    /// # Errors
    /// When the reference or the device refuses it.
    pub fn trial(self, target: Target, activations: Elem) -> Result<Trial, EngineError> {
        let Self { past, positions, heads: [heads, groups], head_dim, turned, in_rows } = self;
        let (rows, keys) = ((heads + 2 * groups) * head_dim, past + positions);
        let room = [1, groups, keys + SPARE, head_dim];
        let product = HeadsLinear {
            format: WeightFormat::M0e4 { group: GroupSize::G32 },
            heads: [heads, groups, groups],
            head_dim,
            turn: turned.then_some((Rope { interleaved: false, rotary_dim: head_dim, full_table: false }, 2)),
            in_rows,
            epsilon: None,
            head_epsilon: None,
        };
        let attention = Attention {
            scale: 1.0 / (head_dim as f32).sqrt(),
            softcap: 0.0,
            causal: Some(Expr::from(past)),
            window: None,
            keys: Some(Expr::from(keys)),
        };

        let mut layer = Layer::default();
        let x = layer.input("x", sample::floats_in(&[1, positions, K], 1, -1.0, 1.0));
        // Products of about 0.5, whose neighbours in 8 bits are 1/16 away: either is right for one that lies between two.
        let matrix = layer.constant("matrix", sample::floats_in(&[rows, K], 2, -0.2, 0.2));
        let table = sample::floats_in(&[1, positions, head_dim], 3, -1.0, 1.0);
        let table = turned.then(|| layer.input("table", table));
        let start = layer.constant("start", sample::of(DType::I64, &[1], &[past as f64]));
        let [q, k, v] = layer.node(product, vec![Some(x), Some(matrix), None, None, table])?;
        let mut held = |name: &str, new: ValueId, seed: u64| {
            let past = layer.input(name, sample::floats(&room, seed));
            layer.held(past, new, start, in_rows)
        };
        let (k, v) = (held("keys", k, 4)?, held("values", v, 5)?);
        let [out] = layer.node(attention, vec![Some(q), Some(k), Some(v)])?;
        layer.graph.outputs.push(out);
        let Layer { graph, inputs, caches, mut tensors } = layer;
        Trial::of_graph(
            target,
            graph,
            inputs,
            &caches,
            tensors.remove(&out).into_iter().collect(),
            activations,
        )
    }
}

/// A graph with what each of its values is by the reference.
#[derive(Debug, Default)]
struct Layer {
    graph: Graph,
    inputs: BTreeMap<String, HostTensor>,
    caches: Vec<Cache>,
    tensors: BTreeMap<ValueId, HostTensor>,
}

impl Layer {
    fn input(&mut self, name: &str, tensor: HostTensor) -> ValueId {
        let id = self.graph.add_value(name, Some(fact_of(&tensor)));
        self.graph.inputs.push(id);
        self.inputs.insert(name.to_owned(), tensor.clone());
        self.tensors.insert(id, tensor);
        id
    }

    fn constant(&mut self, name: &str, tensor: HostTensor) -> ValueId {
        let id = self.graph.add_constant(name, tensor.clone());
        self.tensors.insert(id, tensor);
        id
    }

    fn node<const N: usize>(
        &mut self,
        op: impl Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<[ValueId; N], EngineError> {
        let name = op.name();
        let given: Vec<_> = inputs.iter().map(|id| id.and_then(|id| self.tensors.get(&id))).collect();
        let results = op.reference(&given).map_err(|e| EngineError::at("reference", NAME, name, e))?;
        let outputs = std::array::from_fn(|at| self.graph.add_value(&format!("{name} {at}"), None));
        self.tensors.extend(outputs.into_iter().zip(results));
        self.graph.nodes.push(Node {
            name: name.to_owned(),
            op: Arc::new(op),
            inputs,
            outputs: outputs.to_vec(),
        });
        Ok(outputs)
    }

    /// The cache of which an input says what it holds, with `new` from position `start` on.
    fn held(
        &mut self,
        past: ValueId,
        new: ValueId,
        start: ValueId,
        in_rows: bool,
    ) -> Result<ValueId, EngineError> {
        let write = TensorScatter { axis: 2, circular: false, start: None };
        let [present] = self.node(write, vec![Some(past), Some(new), Some(start)])?;
        if let Some(tensor) = self.tensors.get_mut(&present) {
            let values: Vec<f64> = tensor.to_f32s().into_iter().map(|v| f8::rounded(v).into()).collect();
            *tensor = HostTensor::from_f64s(DType::F32, tensor.shape().to_vec(), &values)?;
        }
        self.caches.push(Cache { past, present, axis: 2, elem: Elem::F8, in_rows });
        Ok(present)
    }
}
