//! Products of one input with several matrices become one product with a matrix of all their rows, whose kernel does what
//! follows: the gate of a feed-forward layer, or the heads of attention and their rotary embedding.

use std::{collections::HashSet, sync::Arc};

use symbolic::Expr;

use super::pattern::{Cx, NewInput, Rewrite, Source};
use crate::{
    graph::{Constant, Fact, Merged, MergedPart, Node, ValueId},
    host::{HostTensor, RowOf, WeightFormat},
    ops::{
        concat::Concat,
        gated::Gated,
        gated_linear::GatedLinear,
        heads_linear::HeadsLinear,
        linear::{CHUNK, Linear},
        rope::Rope,
        transpose::Transpose,
    },
};

/// A product of an input with a matrix, and with nothing but a bias.
#[derive(Clone, Copy)]
struct Plain<'a> {
    x: ValueId,
    matrix: ValueId,
    bias: Option<ValueId>,
    op: &'a Linear,
    n: usize,
    k: usize,
}

impl<'a> Plain<'a> {
    fn of(cx: &Cx<'a>, node: &'a Node) -> Option<Self> {
        let op = node.op_as::<Linear>()?;
        let (x, matrix) = (node.input(0)?, node.input(1)?);
        let alone = node.input(Linear::RESIDUAL).is_none() && node.input(Linear::GAIN).is_none();
        let sizes = &cx.graph.fact(matrix)?.shape;
        let size = |at: usize| sizes.get(at)?.constant().and_then(|n| usize::try_from(n).ok());
        let (n, k) = (size(usize::from(op.transposed))?, size(usize::from(!op.transposed))?);
        let fits = alone && k.is_multiple_of(CHUNK) && cx.graph.is_constant(matrix);
        fits.then_some(Self { x, matrix, bias: node.input(Linear::BIAS), op, n, k })
    }

    fn by(cx: &Cx<'a>, value: ValueId) -> Option<Self> {
        let node = cx.producer(value)?;
        cx.only_reader_of_any(value)?;
        Self::of(cx, node)
    }
}

/// One matrix of the rows of others, and one bias of theirs.
struct Together {
    x: ValueId,
    format: WeightFormat,
    matrix: NewInput,
    bias: Option<NewInput>,
}

impl Together {
    /// As the inputs of a node.
    fn read_as(self, matrix: usize, bias: usize) -> Vec<(usize, NewInput)> {
        std::iter::once((matrix, self.matrix)).chain(self.bias.map(|new| (bias, new))).collect()
    }
}

/// `rows` names product and row of each row; `how` tells orders of the same matrices apart.
fn together(cx: &Cx<'_>, products: &[Plain<'_>], rows: Vec<RowOf>, how: &str) -> Option<Together> {
    let first = products.first()?;
    let alike = |p: &Plain<'_>| {
        (p.x, p.k, p.op.format, p.bias.is_some()) == (first.x, first.k, first.op.format, first.bias.is_some())
    };
    if !products.iter().all(alike) {
        return None;
    }
    let graph = cx.graph;
    let name = |values: &[ValueId]| {
        let names: Vec<&str> = values.iter().map(|v| graph.value(*v).name.as_str()).collect();
        format!("{} ({how})", names.join(" + "))
    };
    let part = |p: &Plain<'_>| {
        let value = graph.value(p.matrix);
        let (name, transposed) = (value.name.clone(), p.op.transposed);
        Some(MergedPart { name, constant: value.constant.clone()?, transposed, n: p.n })
    };
    let parts = products.iter().map(part).collect::<Option<Vec<_>>>()?;
    let matrices: Vec<ValueId> = products.iter().map(|p| p.matrix).collect();
    let dtype = graph.fact(first.matrix)?.dtype;
    let biases: Vec<ValueId> = products.iter().filter_map(|p| p.bias).collect();
    let bias = match biases.first() {
        Some(bias) => Some(NewInput {
            name: name(&biases),
            fact: Fact::new(graph.fact(*bias)?.dtype, vec![Expr::from(rows.len())]),
            source: Source::Constant(picked(cx, &biases, &rows)?),
        }),
        None => None,
    };
    let fact = Fact::new(dtype, vec![Expr::from(rows.len()), Expr::from(first.k)]);
    let constant = Constant::Merged(Arc::new(Merged { parts, rows, k: first.k }));
    let matrix = NewInput { name: name(&matrices), fact, source: Source::Constant(constant) };
    Some(Together { x: first.x, format: first.op.format, matrix, bias })
}

/// Elements of several vectors in another order.
fn picked(cx: &Cx<'_>, vectors: &[ValueId], rows: &[RowOf]) -> Option<Constant> {
    let Some(hosts) = vectors.iter().map(|v| cx.graph.host(*v)).collect::<Option<Vec<&HostTensor>>>() else {
        return Some(Constant::Absent);
    };
    let data: Vec<Vec<f64>> = hosts.iter().map(|host| host.to_f64s()).collect();
    let element = |(part, row): &RowOf| data.get(*part as usize)?.get(*row as usize).copied();
    let all: Vec<f64> = rows.iter().map(element).collect::<Option<_>>()?;
    HostTensor::from_f64s(hosts.first()?.dtype(), vec![all.len()], &all).ok().map(Constant::Host)
}

/// A gate and what it lets through, both products of one input.
pub(super) fn gate(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let Gated { activation } = *node.op_as::<Gated>()?;
    let [gate, up] = [node.input(0)?, node.input(1)?].map(|value| Plain::by(cx, cx.through_casts(value)));
    let (gate, up) = (gate?, up?);
    if gate.n != up.n || gate.matrix == up.matrix {
        return None;
    }
    let rows = (0..u32::try_from(gate.n).ok()?).flat_map(|row| [(0, row), (1, row)]).collect();
    let all = together(cx, &[gate, up], rows, "by turns")?;
    let op = GatedLinear { format: all.format, activation, epsilon: None };
    let inputs = vec![Some(all.x), None, None];
    let new_inputs = all.read_as(1, GatedLinear::BIAS);
    Some(Rewrite { new_inputs, ..Rewrite::new(node.outputs[0], Arc::new(op), inputs) })
}

/// What one of three products becomes.
struct Run<'a> {
    product: Plain<'a>,
    heads: usize,
    head_dim: usize,
    turn: Option<(&'a Rope, [ValueId; 2])>,
    result: ValueId,
}

impl<'a> Run<'a> {
    /// The heads `[batch, heads, positions, head_dim]` that are made of a product's result, turned or not.
    fn of(cx: &Cx<'a>, node: &'a Node) -> Option<Self> {
        let product = Plain::of(cx, node)?;
        let only = |value: ValueId| cx.only_reader_of_any(cx.after_casts(value));
        let split = only(node.outputs[0]).filter(|n| n.op.name() == "Reshape")?;
        let shape = cx.graph.fact(split.outputs[0])?.shape.as_slice();
        let [_, _, heads, head_dim] = shape else { return None };
        let size = |e: &Expr| e.constant().and_then(|n| usize::try_from(n).ok());
        let (heads, head_dim) = (size(heads)?, size(head_dim)?);
        let rows = &cx.graph.fact(node.outputs[0])?.shape;
        let kept = rows.len() == 3 && rows[..2] == shape[..2];
        if !kept || heads * head_dim != product.n {
            return None;
        }
        let turned = with_heads_first(cx, split.outputs[0])?;
        let plain = cx.after_casts(turned);
        let rope = cx.only_reader_of_any(plain).filter(|n| n.input(0) == Some(plain));
        let rope = rope.and_then(|n| Some((n, n.op_as::<Rope>()?, n.input(1)?, n.input(2)?)));
        let (turn, result) = match rope {
            Some((node, op, cos, sin)) => (Some((op, [cos, sin])), node.outputs[0]),
            None => (None, turned),
        };
        let accepted = HeadsLinear::accepts(head_dim, turn.map(|(rope, _)| rope));
        accepted.then_some(Self { product, heads, head_dim, turn, result })
    }
}

/// `[batch, heads, positions, head_dim]` behind `[batch, positions, heads, head_dim]`, by one transpose or several.
fn with_heads_first(cx: &Cx<'_>, split: ValueId) -> Option<ValueId> {
    let (mut value, mut order) = (split, vec![0, 1, 2, 3]);
    while order != [0, 2, 1, 3] {
        let next = cx.only_reader_of_any(value)?;
        let perm = next.op_as::<Transpose>()?.perm_of(4);
        order = perm.iter().map(|from| order.get(*from).copied()).collect::<Option<_>>()?;
        value = next.outputs[0];
    }
    Some(value)
}

/// Whether a value is computed from any of `others`.
fn depends(cx: &Cx<'_>, value: ValueId, others: &[ValueId]) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if others.contains(&value) {
            return true;
        }
        if seen.insert(value) {
            open.extend(cx.producer(value).into_iter().flat_map(|n| n.inputs.iter().flatten()));
        }
    }
    false
}

/// Whether a value is put behind others, as a cache's new positions are.
fn is_appended(cx: &Cx<'_>, value: ValueId) -> bool {
    cx.readers(cx.after_casts(value))
        .any(|node| matches!(node.op.name(), "Concat" | "TensorScatter" | "ScatterND"))
}

/// Queries, keys and values, in any order, of one input.
pub(super) fn heads(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let first = Plain::of(cx, node)?;
    let readers: Vec<&Node> = cx.readers(first.x).filter(|n| n.op_as::<Linear>().is_some()).collect();
    let [a, b, c] = readers.as_slice() else { return None };
    // The first of them tells.
    if a.outputs != node.outputs {
        return None;
    }
    let mut runs = vec![Run::of(cx, a)?, Run::of(cx, b)?, Run::of(cx, c)?];
    // Queries first, since what goes to a cache may be held otherwise. Then by name, since the order of nodes need not be that
    // of another phase, which is to read the same matrix.
    runs.sort_by_key(|run| {
        (run.turn.is_none(), is_appended(cx, run.result), &cx.graph.value(run.product.matrix).name)
    });
    let turned = runs.iter().filter(|run| run.turn.is_some()).count();
    let turn = runs[0].turn;
    let head_dim = runs[0].head_dim;
    let alike = |run: &Run<'_>| run.head_dim == head_dim && (run.turn.is_none() || run.turn == turn);
    if !runs.iter().all(alike) {
        return None;
    }
    let products: Vec<ValueId> = readers.iter().map(|n| n.outputs[0]).collect();
    let table = match turn {
        Some((rope, [cos, sin])) => {
            let alone = !depends(cx, cos, &products) && !depends(cx, sin, &products);
            Some(table(cx, rope, [cos, sin]).filter(|_| alone)?)
        }
        None => None,
    };
    let mut rows = Vec::new();
    for (part, run) in (0..).zip(&runs) {
        let rope = run.turn.map(|(rope, _)| rope);
        for head in 0..run.heads {
            let element = |row| head * run.head_dim + HeadsLinear::element_of(row, rope);
            rows.extend((0..run.head_dim).map(|row| (part, element(row) as u32)));
        }
    }
    let how = match turn {
        Some((rope, _)) if !rope.interleaved => format!("{turned} in pairs of {}", rope.rotary_dim),
        _ => "one behind the other".to_owned(),
    };
    let all = together(cx, &runs.iter().map(|run| run.product).collect::<Vec<_>>(), rows, &how)?;
    let op = HeadsLinear {
        format: all.format,
        heads: [runs[0].heads, runs[1].heads, runs[2].heads],
        head_dim,
        turn: turn.map(|(rope, _)| (rope.clone(), turned)),
        in_rows: false,
        epsilon: None,
    };
    let results = runs.iter().map(|run| run.result).collect();
    let inputs = vec![Some(all.x), None, None, None, None];
    let mut new_inputs = all.read_as(1, HeadsLinear::BIAS);
    new_inputs.extend(table.map(|table| (HeadsLinear::TABLE, table)));
    Some(Rewrite { new_inputs, ..Rewrite::of_several(results, Arc::new(op), inputs) })
}

/// Cosines and, behind them, sines.
fn table(cx: &Cx<'_>, rope: &Rope, [cos, sin]: [ValueId; 2]) -> Option<NewInput> {
    let (fact, other) = (cx.graph.fact(cos)?, cx.graph.fact(sin)?);
    let mut shape = fact.shape.clone();
    let width = shape.last_mut()?;
    if (fact.dtype, &fact.shape) != (other.dtype, &other.shape) || *width != Expr::from(rope.width()) {
        return None;
    }
    *width = Expr::from(2 * rope.width());
    let name = |value: ValueId| &cx.graph.value(value).name;
    Some(NewInput {
        name: format!("{}, {}", name(cos), name(sin)),
        fact: Fact::new(fact.dtype, shape),
        source: Source::Node(Arc::new(Concat { axis: -1 }), vec![Some(cos), Some(sin)]),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Report, around};
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
            rope::Rope,
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
            let split = self.node("split", Reshape { allow_zero: false }, &[product], &[1, 3, heads, 8]);
            let turned = Transpose { perm: Some(vec![0, 2, 1, 3]) };
            self.node("turned", turned, &[split], &[1, heads, 3, 8])
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
}
