//! Merged products of graphs that are made by hand.

use std::sync::Arc;

use crate::passes::{Report, around};
use crate::{
    dtype::DType,
    graph::{Constant, Fact, Graph, ValueId},
    host::{HostTensor, WeightFormat},
    op::Op,
    ops::{
        binary::Binary,
        gated::{Activation, Gated},
        heads_linear::HeadsLinear,
        linear::Linear,
        reshape::Reshape,
        rms_norm::RmsNorm,
        rope::Rope,
        split::Split,
        transpose::Transpose,
    },
};

const K: usize = 16;

struct Made(Graph);

impl Made {
    fn new() -> (Self, ValueId) {
        let mut made = Self(Graph::default());
        let x = made.input("x", &[1, 3, K]);
        (made, x)
    }

    fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let id = self.0.add_value(name, Some(fact(shape)));
        self.0.inputs.push(id);
        id
    }

    fn node(&mut self, name: &str, op: impl Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.0.add_node(name, Arc::new(op), inputs, Some(fact(shape)))
    }

    /// A product whose matrix is all `weight`.
    fn product(&mut self, name: &str, x: ValueId, n: usize, weight: f32) -> ValueId {
        let data = HostTensor::from_f32(vec![n, K], &vec![weight; n * K]).unwrap();
        let matrix = self.0.add_constant(&format!("{name}.weight"), data);
        self.node(name, Linear::new(WeightFormat::F32, false), &[x, matrix], &[1, 3, n])
    }

    fn heads(&mut self, name: &str, x: ValueId, heads: usize) -> ValueId {
        let product = self.product(name, x, heads * 8, heads as f32);
        let split = self.split(product, heads);
        self.heads_first(split, heads)
    }

    fn split(&mut self, product: ValueId, heads: usize) -> ValueId {
        self.node("split", Reshape { allow_zero: false }, &[product], &[1, 3, heads, 8])
    }

    fn heads_first(&mut self, split: ValueId, heads: usize) -> ValueId {
        let turned = Transpose { perm: Some(vec![0, 2, 1, 3]) };
        self.node("turned", turned, &[split], &[1, heads, 3, 8])
    }

    /// Heads, each normalised by a gain that is all `gain`.
    fn norm(&mut self, x: ValueId, shape: &[usize], gain: f32) -> ValueId {
        let data = HostTensor::from_f32(vec![8], &[gain; 8]).unwrap();
        let gain = self.0.add_constant(&format!("gain {gain}"), data);
        self.node("norm", RmsNorm { axis: -1, epsilon: 1e-6 }, &[x, gain], shape)
    }

    /// A product of rows of several widths, taken apart.
    fn parts<const N: usize>(&mut self, x: ValueId, widths: [usize; N]) -> (ValueId, [ValueId; N]) {
        let all = self.product("all", x, widths.iter().sum(), 1.0);
        let op = Split { axis: -1, parts: N, sizes: Some(widths.map(|n| n as i64).to_vec()) };
        let first = self.node("part", op, &[all], &[1, 3, widths[0]]);
        let rest = |made: &mut Self, n: usize| {
            let id = made.0.add_value("part", Some(fact(&[1, 3, n])));
            made.0.nodes.last_mut().unwrap().outputs.push(id);
            id
        };
        let ids: Vec<ValueId> =
            std::iter::once(first).chain(widths[1..].iter().map(|n| rest(self, *n))).collect();
        (all, ids.try_into().unwrap())
    }

    fn rope(&mut self, x: ValueId, heads: usize, table: ValueId) -> ValueId {
        let op = Rope { interleaved: false, rotary_dim: 8, full_table: true };
        self.node("rope", op, &[x, table, table], &[1, heads, 3, 8])
    }

    /// Names of the operators that are left.
    fn merged(mut self, outputs: &[ValueId]) -> (Vec<&'static str>, Graph) {
        self.0.outputs = outputs.to_vec();
        around::run(&mut self.0, &mut Report::default()).unwrap();
        (self.0.nodes.iter().map(|n| n.op.name()).collect(), self.0)
    }
}

fn fact(shape: &[usize]) -> Fact {
    Fact::new(DType::F32, shape.iter().map(|n| (*n).into()).collect())
}

#[test]
fn queries_keys_and_values_are_one_product_whose_rows_are_pairs() {
    let (mut made, x) = Made::new();
    let table = made.input("table", &[1, 3, 8]);
    let [v, k, q] = [("v", 1), ("k", 4), ("q", 1)].map(|(name, heads)| made.heads(name, x, heads));
    let (k, q) = (made.rope(k, 4, table), made.rope(q, 1, table));
    let (left, graph) = made.merged(&[v, q, k]);
    assert_eq!(left, ["Concat", "HeadsLinear"]);
    let node = graph.nodes.last().unwrap();
    let op = node.op_as::<HeadsLinear>().unwrap();
    // What is turned comes first, then names decide.
    assert_eq!((op.heads, op.turn.as_ref().map(|(_, turned)| *turned)), ([4, 1, 1], Some(2)));
    let matrix = graph.value(node.input(1).unwrap());
    assert_eq!(matrix.name, "k.weight + q.weight + v.weight (2 in pairs of 8)");
    let Some(Constant::Merged(merged)) = &matrix.constant else { panic!("{:?}", matrix.constant) };
    assert_eq!(merged.rows[..4], [(0, 0), (0, 4), (0, 1), (0, 5)]);
    assert_eq!(merged.rows[40..], (0..8).map(|row| (2, row)).collect::<Vec<_>>());
}

#[test]
fn heads_stay_apart_where_one_is_read_elsewhere_or_a_table_is_made_of_them() {
    let (mut made, x) = Made::new();
    let table = made.input("table", &[1, 3, 8]);
    let q = made.product("q", x, 8, 1.0);
    let split = made.node("split", Reshape { allow_zero: false }, &[q], &[1, 3, 1, 8]);
    let turned = Transpose { perm: Some(vec![0, 2, 1, 3]) };
    let heads = made.node("turned", turned, &[split], &[1, 1, 3, 8]);
    let (k, v) = (made.heads("k", x, 1), made.heads("v", x, 1));
    let (first, second) = (made.rope(heads, 1, table), made.rope(k, 1, table));
    let (left, _) = made.merged(&[first, second, v, q]);
    assert!(!left.contains(&"HeadsLinear"), "{left:?}");

    let (mut made, x) = Made::new();
    let (q, k) = (made.heads("q", x, 1), made.heads("k", x, 1));
    let table = made.product("table", x, 8, 1.0);
    let (q, k) = (made.rope(q, 1, table), made.rope(k, 1, table));
    let (left, _) = made.merged(&[q, k]);
    assert!(!left.contains(&"HeadsLinear"), "{left:?}");
}

#[test]
fn a_gate_and_its_neighbour_are_merged_with_their_biases_but_not_of_two_inputs() {
    for apart in [false, true] {
        let (mut made, x) = Made::new();
        let other = if apart { made.input("other", &[1, 3, K]) } else { x };
        let [gate, up] = [("gate", x, 1.0), ("up", other, 2.0)].map(|(name, x, bias)| {
            let product = made.product(name, x, 5, bias);
            let data = HostTensor::from_f32(vec![5], &[bias; 5]).unwrap();
            let bias = made.0.add_constant(&format!("{name}.bias"), data);
            made.node("sum", Binary::Add, &[product, bias], &[1, 3, 5])
        });
        let out = made.node("out", Gated { activation: Activation::Silu }, &[gate, up], &[1, 3, 5]);
        let (left, graph) = made.merged(&[out]);
        if apart {
            assert_eq!(left, ["Linear", "Linear", "Gated"]);
            continue;
        }
        assert_eq!(left, ["GatedLinear"]);
        let bias = graph.host(graph.nodes[0].input(2).unwrap()).unwrap();
        assert_eq!(bias.to_f32s()[..4], [1.0, 2.0, 1.0, 2.0]);
    }
}

#[test]
fn parts_of_one_product_are_heads_that_are_normalised_before_or_behind_the_transpose() {
    for (v_too, read_elsewhere) in [(false, false), (true, false), (false, true)] {
        let (mut made, x) = Made::new();
        let table = made.input("table", &[1, 3, 8]);
        let (all, [v, q, k]) = made.parts(x, [8, 16, 8]);
        let q = made.split(q, 2);
        let q = made.heads_first(q, 2);
        let q = made.norm(q, &[1, 2, 3, 8], 2.0);
        let k = made.split(k, 1);
        let k = made.norm(k, &[1, 3, 1, 8], 3.0);
        let k = made.heads_first(k, 1);
        let v = made.split(v, 1);
        let mut v = made.heads_first(v, 1);
        if v_too {
            v = made.norm(v, &[1, 1, 3, 8], 4.0);
        }
        let (q, k) = (made.rope(q, 2, table), made.rope(k, 1, table));
        let mut outputs = vec![q, k, v];
        outputs.extend(read_elsewhere.then_some(all));
        let (left, graph) = made.merged(&outputs);
        if v_too || read_elsewhere {
            assert!(!left.contains(&"HeadsLinear"), "{left:?}");
            continue;
        }
        assert_eq!(left, ["Concat", "HeadsLinear"]);
        let node = graph.nodes.last().unwrap();
        let op = node.op_as::<HeadsLinear>().unwrap();
        assert_eq!((op.heads, op.head_epsilon), ([2, 1, 1], Some(1e-6)));
        let matrix = graph.value(node.input(1).unwrap());
        assert_eq!(matrix.name, "all.weight (2 in pairs of 8 from 8, 24, 0)");
        let Some(Constant::Merged(merged)) = &matrix.constant else { panic!("{:?}", matrix.constant) };
        assert_eq!(merged.rows[..4], [(0, 8), (0, 12), (0, 9), (0, 13)]);
        assert_eq!(merged.rows[16..18], [(0, 24), (0, 28)]);
        assert_eq!(merged.rows[24..], (0..8).map(|row| (0, row)).collect::<Vec<_>>());
        let gains = graph.host(node.input(HeadsLinear::HEAD_GAINS).unwrap()).unwrap().to_f32s();
        assert_eq!((gains[0], gains[8], gains.len()), (2.0, 3.0, 16));
    }
}

#[test]
fn a_gate_and_its_neighbour_may_be_parts_of_one_product_in_any_order() {
    for read_elsewhere in [false, true] {
        let (mut made, x) = Made::new();
        let (all, [up, gate]) = made.parts(x, [5, 5]);
        let out = made.node("out", Gated { activation: Activation::Silu }, &[gate, up], &[1, 3, 5]);
        let outputs = if read_elsewhere { vec![out, all] } else { vec![out] };
        let (left, graph) = made.merged(&outputs);
        if read_elsewhere {
            assert_eq!(left, ["Linear", "Split", "Gated"]);
            continue;
        }
        assert_eq!(left, ["GatedLinear"]);
        let matrix = graph.value(graph.nodes[0].input(1).unwrap());
        assert_eq!(matrix.name, "all.weight (by turns from 5 and 0)");
        let Some(Constant::Merged(merged)) = &matrix.constant else { panic!("{:?}", matrix.constant) };
        assert_eq!(merged.rows[..4], [(0, 5), (0, 0), (0, 6), (0, 1)]);
    }
}
