//! The queries, keys and values of attention, and their rotary embedding, by one product.

use std::{collections::HashSet, sync::Arc};

use symbolic::Expr;

use super::{Plain, Rows, only_moved, picked, together};
use crate::{
    graph::{Fact, Node, ValueId},
    host::RowOf,
    ops::{concat::Concat, heads_linear::HeadsLinear, linear::Linear, rope::Rope, transpose::Transpose},
    passes::{
        element::coordinates,
        norm::Normed,
        pattern::{Cx, NewInput, Rewrite, Source},
    },
};

/// Queries, keys or values: some of a product's rows.
struct Run<'a> {
    product: Plain<'a>,
    heads: Heads,
    turn: Option<(&'a Rope, [ValueId; 2])>,
    result: ValueId,
}

impl<'a> Run<'a> {
    /// What all of a product's result becomes; `None` where that is more than heads.
    fn all_of(cx: &Cx<'a>, node: &'a Node) -> Option<Vec<Self>> {
        let product = Plain::of(cx, node)?;
        let mut runs = Vec::new();
        let alone = only_moved(cx, product.out, |value| {
            let run = Self::of(cx, product, value);
            let found = run.is_some();
            runs.extend(run);
            found
        });
        alone.then_some(runs)
    }

    /// The heads that a value is, normalised and turned or not.
    fn of(cx: &Cx<'a>, product: Plain<'a>, mut value: ValueId) -> Option<Self> {
        let mut heads = Heads::of(cx, &product, value)?;
        // A transpose of one head, or of one position, is the same heads again.
        while let Some(next) = cx.only_reader_of_any(value)
            && (next.op_as::<Transpose>().is_some() || Normed::of(cx, next).is_some())
            && let Some(found) = Heads::of(cx, &product, next.outputs[0])
        {
            (value, heads) = (next.outputs[0], found);
        }
        let plain = cx.after_casts(value);
        let rope = cx.only_reader_of_any(plain).filter(|n| n.input(0) == Some(plain));
        let rope = rope.and_then(|n| Some((n, n.op_as::<Rope>()?, n.input(1)?, n.input(2)?)));
        let (turn, result) = match rope {
            Some((node, op, cos, sin)) => (Some((op, [cos, sin])), node.outputs[0]),
            None => (None, value),
        };
        let accepted = HeadsLinear::accepts(heads.head_dim, turn.map(|(rope, _)| rope));
        accepted.then_some(Self { product, heads, turn, result })
    }
}

/// Where the heads of a value lie among the rows of a product.
struct Heads {
    /// The first row of each.
    firsts: Vec<usize>,
    head_dim: usize,
    norm: Option<Normed>,
}

impl Heads {
    /// Of a value `[batch, heads, positions, head_dim]` that is made of a product's result `[batch, positions, rows]`.
    fn of(cx: &Cx<'_>, product: &Plain<'_>, value: ValueId) -> Option<Self> {
        let shape = cx.graph.fact(value)?.shape.as_slice();
        let [batch, heads, positions, head_dim] = shape else { return None };
        let [from_batch, from_positions, _] = cx.graph.fact(product.out)?.shape.as_slice() else {
            return None;
        };
        let size = |e: &Expr| e.constant().and_then(|n| usize::try_from(n).ok());
        let (heads, head_dim) = (size(heads)?, size(head_dim)?);
        if [batch, positions] != [from_batch, from_positions] || heads * head_dim > product.n {
            return None;
        }
        let mut at = coordinates(shape);
        let outer = [at[0].clone(), at[2].clone()];
        let first = |head| {
            at[1] = Expr::from(head);
            product.first_row(cx, value, &at, &outer)
        };
        let (firsts, norms): (Vec<_>, Vec<_>) =
            (0..heads).map(first).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Self { firsts, head_dim, norm: norms.into_iter().next()? })
    }
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

/// Queries, keys and values, in any order, of one input: of three products, or of fewer whose results are taken apart.
pub fn heads(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let first = Plain::of(cx, node)?;
    let readers: Vec<&Node> = cx.readers(first.x).filter(|n| n.op_as::<Linear>().is_some()).collect();
    // The first of them tells.
    if readers.len() > 3 || readers.first()?.outputs != node.outputs {
        return None;
    }
    let runs: Option<Vec<_>> = readers.iter().map(|node| Run::all_of(cx, node)).collect();
    let mut runs: Vec<Run<'_>> = runs?.into_iter().flatten().collect();
    // Queries first, since what goes to a cache may be held otherwise. Then by name and row, since the order of nodes need not
    // be that of another phase, which is to read the same matrix.
    runs.sort_by_key(|run| {
        let name = &cx.graph.value(run.product.matrix).name;
        (run.turn.is_none(), is_appended(cx, run.result), name, run.heads.firsts.first().copied())
    });
    let [q, k, v] = runs.as_slice() else { return None };
    let head_dim = q.heads.head_dim;
    let alike = |run: &Run<'_>| run.heads.head_dim == head_dim && (run.turn.is_none() || run.turn == q.turn);
    if ![k, v].into_iter().all(alike) {
        return None;
    }
    let gains = match [q, k, v].map(|run| run.heads.norm) {
        [None, None, None] => None,
        [Some(q), Some(k), None] if q.epsilon == k.epsilon => Some(gains(cx, [q.gain, k.gain])?),
        _ => return None,
    };
    let products: Vec<ValueId> = readers.iter().map(|n| n.outputs[0]).collect();
    let table = match q.turn {
        Some((rope, [cos, sin])) => {
            let alone = !depends(cx, cos, &products) && !depends(cx, sin, &products);
            Some(table(cx, rope, [cos, sin]).filter(|_| alone)?)
        }
        None => None,
    };
    let turned = runs.iter().filter(|run| run.turn.is_some()).count();
    let (rows, how) = in_order(&runs, turned);
    let all = together(cx, rows, &how)?;
    let op = HeadsLinear {
        format: all.format,
        heads: [q, k, v].map(|run| run.heads.firsts.len()),
        head_dim,
        turn: q.turn.map(|(rope, _)| (rope.clone(), turned)),
        in_rows: false,
        epsilon: None,
        head_epsilon: q.heads.norm.map(|norm| norm.epsilon),
    };
    let results = runs.iter().map(|run| run.result).collect();
    let inputs = vec![Some(all.x), None, None, None, None, None];
    let mut new_inputs = all.read_as(1, HeadsLinear::BIAS);
    new_inputs.extend(table.map(|table| (HeadsLinear::TABLE, table)));
    new_inputs.extend(gains.map(|gains| (HeadsLinear::HEAD_GAINS, gains)));
    Some(Rewrite { new_inputs, ..Rewrite::of_several(results, Arc::new(op), inputs) })
}

/// The gains of two norms, one behind the other.
fn gains(cx: &Cx<'_>, of: [ValueId; 2]) -> Option<NewInput> {
    let [q, k] = of.map(|gain| cx.graph.fact(gain));
    let width = q?.shape.first()?.constant().and_then(|n| u32::try_from(n).ok())?;
    let rows: Vec<RowOf> = (0..2).flat_map(|part| (0..width).map(move |row| (part, row))).collect();
    let name = |value: ValueId| &cx.graph.value(value).name;
    (q?.shape == k?.shape).then_some(NewInput {
        name: format!("{}, {}", name(of[0]), name(of[1])),
        fact: Fact::new(q?.dtype, vec![Expr::from(rows.len())]),
        source: Source::Constant(picked(cx, &of, &rows)?),
    })
}

/// The rows of heads, of which the first `turned` runs are turned, and what their order is called.
fn in_order<'a>(runs: &[Run<'a>], turned: usize) -> (Rows<'a>, String) {
    let mut all = Rows::default();
    for run in runs {
        let part = all.place(run.product);
        let rope = run.turn.map(|(rope, _)| rope);
        for first in &run.heads.firsts {
            let element = |row| first + HeadsLinear::element_of(row, rope);
            all.rows.extend((0..run.heads.head_dim).map(|row| (part, element(row) as u32)));
        }
    }
    let mut how = match runs.iter().find_map(|run| run.turn) {
        Some((rope, _)) if !rope.interleaved => format!("{turned} in pairs of {}", rope.rotary_dim),
        _ => "one behind the other".to_owned(),
    };
    if all.products.len() < runs.len() {
        let firsts: Vec<String> =
            runs.iter().filter_map(|run| run.heads.firsts.first()).map(usize::to_string).collect();
        how = format!("{how} from {}", firsts.join(", "));
    }
    (all, how)
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
