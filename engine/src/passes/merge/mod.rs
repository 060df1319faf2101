//! Products of one input with several matrices, or with one that is several, become one product with a matrix of their rows
//! in another order, whose kernel does what follows: the gate of a feed-forward layer, or the heads of attention and their
//! rotary embedding.

mod gate;
mod heads;

use std::sync::Arc;

use symbolic::Expr;

use super::{
    element::moved_element,
    formula::Element,
    norm::Normed,
    pattern::{Cx, NewInput, Source},
};
use crate::{
    graph::{Constant, Fact, Merged, MergedPart, Node, ValueId},
    host::{HostTensor, RowOf, WeightFormat},
    ops::linear::{CHUNK, Linear},
};

pub(super) use gate::gate;
pub(super) use heads::heads;

/// A product of an input with a matrix, and with nothing but a bias.
#[derive(Clone, Copy)]
struct Plain<'a> {
    x: ValueId,
    matrix: ValueId,
    bias: Option<ValueId>,
    out: ValueId,
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
        fits.then_some(Self { x, matrix, bias: node.input(Linear::BIAS), out: node.outputs[0], op, n, k })
    }

    /// The row of the matrix whose product is the element at `at` of a value that only moves elements of the result, less the
    /// last coordinate, along which rows follow each other; and how the last dimension is normalised between the two, if it is.
    /// The result's other coordinates are `outer`.
    fn first_row(
        &self,
        cx: &Cx<'_>,
        mut value: ValueId,
        at: &[Expr],
        outer: &[Expr],
    ) -> Option<(usize, Option<Normed>)> {
        let last = at.last()?;
        let (mut at, mut norm) = (at.to_vec(), None);
        let found = loop {
            let Element::Load(of, found) = moved_element(cx, value, &at, Some(self.out)) else { return None };
            if of == self.out {
                break found;
            }
            let normed = Normed::of(cx, cx.producer(of)?).filter(|_| found.last() == Some(last))?;
            if norm.replace(normed).is_some() {
                return None;
            }
            (value, at) = (normed.x, found);
        };
        let (row, before) = found.split_last()?;
        let sizes = &cx.graph.fact(self.out)?.shape;
        let same = |((found, wanted), size): ((&Expr, &Expr), &Expr)| found == wanted || *size == Expr::ONE;
        let kept = before.len() == outer.len() && before.iter().zip(outer).zip(sizes).all(same);
        let first = usize::try_from((row - last).constant()?).ok()?;
        kept.then_some((first, norm))
    }
}

/// Whether a node does nothing but move the elements of its first input.
fn moves(node: &Node) -> bool {
    matches!(node.op.name(), "Reshape" | "Transpose" | "Slice" | "Split" | "Squeeze" | "Unsqueeze" | "Cast")
}

/// Whether everything that is made of a value only moves its elements, and normalises them, as far as where `ends` says so.
fn only_moved(cx: &Cx<'_>, value: ValueId, mut ends: impl FnMut(ValueId) -> bool) -> bool {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if ends(value) {
            continue;
        }
        let readers = || cx.readers(value).filter(|n| n.op.name() != "Shape");
        let moved = readers().all(|n| n.input(0) == Some(value) && (moves(n) || Normed::of(cx, n).is_some()));
        if !moved || cx.graph.outputs.contains(&value) {
            return false;
        }
        open.extend(readers().flat_map(|n| &n.outputs));
    }
    true
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

/// Rows of products, in the order in which one matrix is to have them.
#[derive(Default)]
struct Rows<'a> {
    products: Vec<Plain<'a>>,
    rows: Vec<RowOf>,
}

impl<'a> Rows<'a> {
    /// The place of a product among those that rows are from.
    fn place(&mut self, product: Plain<'a>) -> u32 {
        let known = self.products.iter().position(|known| known.out == product.out);
        let at = known.unwrap_or(self.products.len());
        if known.is_none() {
            self.products.push(product);
        }
        at as u32
    }
}

/// `how` tells orders of the same matrices apart.
fn together(cx: &Cx<'_>, Rows { products, rows }: Rows<'_>, how: &str) -> Option<Together> {
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
