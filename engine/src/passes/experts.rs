//! Mixtures of experts: exporters gather the matrix of each token's expert and multiply it with the token. One operator
//! multiplies with the chosen matrices where they lie, packed.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    linear::fitting,
    pattern::{Cx, Misfit, Pattern, Rewrite},
};
use crate::{
    graph::{Node, ValueId},
    host::WeightFormat,
    ops::{
        expert_linear::{ExpertLinear, ROWS},
        gather::Gather,
        gather_nd::GatherNd,
        linear::CHUNK,
    },
};

/// With the format that matrices of layers are to have.
pub(super) struct Experts(pub WeightFormat);

impl Pattern for Experts {
    fn name(&self) -> &'static str {
        "Experts"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        node.op.name() == "MatMul" && node.input(0).is_some_and(|left| chosen(cx, left).is_some())
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let (left, x) = node.input(0).zip(node.input(1)).ok_or("an operand is missing")?;
        let (table, indices) = chosen(cx, left).ok_or("the left is no choice of constant matrices")?;
        if cx.only_reader_of_any(left).is_none() {
            return Err("the chosen matrices are read elsewhere too".into());
        }
        let typed = |value: ValueId| cx.graph.fact(value).ok_or("an operand has no type");
        let (stored, columns, gathered) = (typed(table)?, typed(x)?, typed(left)?);
        let sizes: Option<Vec<i64>> = stored.shape.iter().map(Expr::constant).collect();
        let Some([_, n, k]) = sizes.as_deref() else {
            return Err("the experts are not of known size".into());
        };
        if n % ROWS as i64 != 0 || k % CHUNK as i64 != 0 {
            return Err(format!("matrices [{n}, {k}] do not fill blocks of {ROWS} by {CHUNK}").into());
        }
        if cx.graph.blocks(table).is_some_and(|blocks| i64::try_from(blocks.grid().k) != Ok(*k)) {
            return Err("the codes are in other rows".into());
        }
        let [leading @ .., _, one] = columns.shape.as_slice() else {
            return Err("the right is no matrix".into());
        };
        if *one != Expr::ONE || gathered.shape.split_last_chunk::<2>().map(|(of, _)| of) != Some(leading) {
            return Err(Misfit::at(x)("there is not one column for each index"));
        }
        let format = fitting(cx, table, false, self.0);
        let inputs = vec![Some(x), Some(table), Some(indices)];
        Ok(Rewrite::new(node.outputs[0], Arc::new(ExpertLinear { format }), inputs))
    }
}

/// The constant `[experts, n, k]` of which `value` is a choice along the first axis, and the indices, one for each.
fn chosen(cx: &Cx<'_>, value: ValueId) -> Option<(ValueId, ValueId)> {
    let node = cx.producer(value)?;
    let (table, indices) = node.input(0).zip(node.input(1))?;
    let (stored, places) = (cx.graph.fact(table)?, cx.graph.fact(indices)?);
    let along_first = match (node.op_as::<Gather>(), node.op_as::<GatherNd>()) {
        (Some(gather), _) => matches!(gather.axis, 0 | -3),
        (_, Some(gather)) => gather.batch_dims == 0 && places.shape.last() == Some(&Expr::ONE),
        _ => false,
    };
    let fits = along_first && stored.rank() == 3 && stored.dtype.is_float() && cx.graph.is_constant(table);
    fits.then_some((table, indices))
}
