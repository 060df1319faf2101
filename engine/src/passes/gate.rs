//! Gated feed-forward layers: `activation(gate) * up`, as in SwiGLU and GeGLU.

use std::sync::Arc;

use super::pattern::{Cx, Misfit, Pattern, Rewrite};
use crate::{
    graph::{Node, ValueId},
    ops::{
        gated::{Activation, Gated},
        unary::Unary,
    },
};

pub(super) struct Gate;

impl Pattern for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        let multiplies =
            |n: &Node| n.op.name() == "Mul" && n.inputs.iter().flatten().all(|v| cx.scalar(*v).is_none());
        activation(node).is_some() && cx.readers(cx.after_casts(node.outputs[0])).any(multiplies)
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let activation = activation(node).ok_or("it is no activation")?;
        let activated = cx.after_casts(node.outputs[0]);
        let product = cx.only_reader(activated, "Mul");
        let product = product.ok_or("the activation goes elsewhere than into one product")?;
        let other = product.inputs.iter().flatten().find(|v| **v != activated);
        let up = *other.ok_or("the activation is squared")?;
        let replaces = product.outputs[0];
        let gate = cx.through_casts(node.input(0).ok_or("the activation has no input")?);
        let shape = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
        if shape(gate) != shape(up) {
            return Err("gate and up have different shapes".into());
        }
        Ok(Rewrite::new(replaces, Arc::new(Gated { activation }), vec![Some(gate), Some(up)]))
    }
}

fn activation(node: &Node) -> Option<Activation> {
    Activation::of(*node.op_as::<Unary>()?)
}
