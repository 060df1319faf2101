//! A gate and what it lets through, by one product.

use std::sync::Arc;

use super::{Plain, Rows, moves, only_moved, together};
use crate::{
    graph::{Node, ValueId},
    ops::{gated::Gated, gated_linear::GatedLinear},
    passes::{
        element::coordinates,
        pattern::{Cx, Rewrite},
    },
};

/// A gate, or what it lets through: rows of a product from one on.
struct Side<'a> {
    product: Plain<'a>,
    value: ValueId,
    first: usize,
    n: usize,
}

impl<'a> Side<'a> {
    fn of(cx: &Cx<'a>, value: ValueId) -> Option<Self> {
        let value = cx.through_casts(value);
        cx.only_reader_of_any(value)?;
        let mut node = cx.producer(value)?;
        while moves(node) {
            node = cx.producer(node.input(0)?)?;
        }
        let product = Plain::of(cx, node)?;
        let shape = &cx.graph.fact(value)?.shape;
        let at = coordinates(shape);
        let (first, None) = product.first_row(cx, value, &at, at.split_last()?.1)? else { return None };
        let n = shape.last()?.constant().and_then(|n| usize::try_from(n).ok())?;
        Some(Self { product, value, first, n })
    }
}

/// A gate and what it lets through, products of one input or parts of one product.
pub fn gate(cx: &Cx<'_>, node: &Node) -> Option<Rewrite> {
    let Gated { activation } = *node.op_as::<Gated>()?;
    let [gate, up] = [Side::of(cx, node.input(0)?)?, Side::of(cx, node.input(1)?)?];
    let ends = |value| value == gate.value || value == up.value;
    let alone = [&gate, &up].iter().all(|side| only_moved(cx, side.product.out, ends));
    if gate.n != up.n || !alone {
        return None;
    }
    let mut all = Rows::default();
    let [of_gate, of_up] = [&gate, &up].map(|side| all.place(side.product));
    let pair = |row| [(of_gate, (gate.first + row) as u32), (of_up, (up.first + row) as u32)];
    all.rows = (0..gate.n).flat_map(pair).collect();
    let how = if of_gate == of_up {
        format!("by turns from {} and {}", gate.first, up.first)
    } else {
        "by turns".into()
    };
    let all = together(cx, all, &how)?;
    let op = GatedLinear { format: all.format, activation, epsilon: None };
    let inputs = vec![Some(all.x), None, None];
    let new_inputs = all.read_as(1, GatedLinear::BIAS);
    Some(Rewrite { new_inputs, ..Rewrite::new(node.outputs[0], Arc::new(op), inputs) })
}
