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
mod tests;
