//! SwiGLU's product: `(gate * sigmoid(gate)) * up`.

use std::sync::Arc;

use super::pattern::{Cx, Pattern, Rewrite};
use crate::{graph::Node, ops::silu_mul};

pub(super) struct SiluMul;

impl Pattern for SiluMul {
    fn name(&self) -> &'static str {
        "SwiGLU"
    }

    fn tells(&self, _: &Cx<'_>, node: &Node) -> bool {
        matches!(node.op.name(), "Sigmoid" | "Swish")
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, String> {
        let gate = node.input(0).ok_or("the sigmoid has no input")?;
        let silu = if node.op.name() == "Swish" {
            node.outputs[0]
        } else {
            let product = cx
                .only_reader(node.outputs[0], "Mul")
                .ok_or("the sigmoid goes elsewhere than into one product")?;
            if !product.inputs.contains(&Some(gate)) {
                return Err("the sigmoid is not multiplied by its own input".into());
            }
            product.outputs[0]
        };
        let silu = cx.after_casts(silu);
        let product =
            cx.only_reader(silu, "Mul").ok_or("the activation is not multiplied by one other value")?;
        let up = *product.inputs.iter().flatten().find(|v| **v != silu).ok_or("the activation is squared")?;
        let shapes = (cx.graph.fact(gate).map(|f| &f.shape), cx.graph.fact(up).map(|f| &f.shape));
        if shapes.0 != shapes.1 {
            return Err("gate and up have different shapes".into());
        }
        let op = Arc::new(silu_mul::SiluMul);
        Ok(Rewrite { replaces: product.outputs[0], op, inputs: vec![Some(gate), Some(up)] })
    }
}
