//! Rotary embedding as one operator of ONNX 23 or of ONNX Runtime: the rows of its tables that its positions name are looked
//! up once for all that turn by them, which products can then do.

use std::sync::Arc;

use super::pattern::{Cx, Misfit, NewInput, Pattern, Rewrite, Source};
use crate::{
    graph::{Fact, Node, ValueId},
    ops::{gather::Gather, rotary_embedding},
};

pub(super) struct RotaryEmbedding;

impl Pattern for RotaryEmbedding {
    fn name(&self) -> &'static str {
        "RotaryEmbedding"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        let heads_first = node.input(0).and_then(|x| cx.graph.fact(x)).is_some_and(|x| x.rank() == 4);
        heads_first && node.op_as::<rotary_embedding::RotaryEmbedding>().is_some()
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let op = node.op_as::<rotary_embedding::RotaryEmbedding>().ok_or("it is another operator")?;
        let (Some(x), Some(cos), Some(sin)) = (node.input(0), node.input(1), node.input(2)) else {
            return Err("an input is missing".into());
        };
        let width =
            cx.graph.fact(x).and_then(|x| x.shape.last()?.constant()).and_then(|w| usize::try_from(w).ok());
        let rope = op.rope(width.ok_or("the width of a head is not a number")?);
        let mut found = Rewrite::new(node.outputs[0], Arc::new(rope), vec![Some(x), Some(cos), Some(sin)]);
        if let Some(positions) = node.input(3) {
            let rows = [(1, cos), (2, sin)].map(|(at, table)| Some((at, rows(cx, table, positions)?)));
            found.new_inputs = rows.into_iter().collect::<Option<_>>().ok_or("a table has no type")?;
        }
        Ok(found)
    }
}

/// The rows `[batch, seq, width]` of a table that positions `[batch, seq]` name.
fn rows(cx: &Cx<'_>, table: ValueId, positions: ValueId) -> Option<NewInput> {
    let (of, at) = (cx.graph.fact(table)?, cx.graph.fact(positions)?);
    let shape = at.shape.iter().chain(of.shape.last()).cloned().collect();
    let name = |value: ValueId| &cx.graph.value(value).name;
    Some(NewInput {
        name: format!("{} at {}", name(table), name(positions)),
        fact: Fact::new(of.dtype, shape),
        source: Source::Node(Arc::new(Gather { axis: 0 }), vec![Some(table), Some(positions)]),
    })
}
