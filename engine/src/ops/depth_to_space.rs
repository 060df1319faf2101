//! DepthToSpace and SpaceToDepth: channels as square blocks of an image, and back.

use std::sync::Arc;

use super::{binary::Binary, concat::Concat, reshape::Reshape, shape::Shape, transpose::Transpose};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Of images `[batch, channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthToSpace {
    /// Height and width of a block.
    pub block: i64,
    /// Where a block's place is among the channels: `true` when the rest of the channel's number runs faster.
    pub outer: bool,
    /// Whether the other way: the operator SpaceToDepth.
    pub back: bool,
}

impl Composite for DepthToSpace {
    fn name(&self) -> &'static str {
        if self.back { "SpaceToDepth" } else { "DepthToSpace" }
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let fact = parts.fact(x)?;
        if fact.rank() != 4 {
            return Err(invalid(format!("{fact} is no image")));
        }
        let block = parts.integers(&[self.block])?;
        let area = parts.integers(&[self.block * self.block])?;
        let mut size = |axis| parts.add(Shape { start: axis, end: Some(axis + 1), total: false }, &[x]);
        let [batch, channels, height, width] = [size(0)?, size(1)?, size(2)?, size(3)?];
        let mut shrunk = |size, by| parts.add(Binary::Div, &[size, by]);
        let (apart, joined, perm);
        if self.back {
            let (height, width) = (shrunk(height, block)?, shrunk(width, block)?);
            apart = vec![batch, channels, height, block, width, block];
            perm = [0, 3, 5, 1, 2, 4];
            joined = vec![batch, parts.add(Binary::Mul, &[channels, area])?, height, width];
        } else {
            let rest = shrunk(channels, area)?;
            (apart, perm) = match self.outer {
                true => (vec![batch, block, block, rest, height, width], [0, 3, 4, 1, 5, 2]),
                false => (vec![batch, rest, block, block, height, width], [0, 1, 4, 2, 5, 3]),
            };
            let mut grown = |size| parts.add(Binary::Mul, &[size, block]);
            joined = vec![batch, rest, grown(height)?, grown(width)?];
        }
        let apart = parts.add(Concat { axis: 0 }, &apart)?;
        let joined = parts.add(Concat { axis: 0 }, &joined)?;
        let blocks = parts.add(Reshape { allow_zero: true }, &[x, apart])?;
        let blocks = parts.add(Transpose { perm: Some(perm.to_vec()) }, &[blocks])?;
        Ok(vec![parts.add(Reshape { allow_zero: true }, &[blocks, joined])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let block = node.int("blocksize")?.ok_or_else(|| invalid("attribute \"blocksize\" is missing"))?;
    if !(1..1 << 16).contains(&block) {
        return Err(invalid(format!("blocksize = {block}")));
    }
    let outer = match node.string("mode")?.unwrap_or("DCR") {
        "DCR" => true,
        "CRD" => false,
        other => return Err(invalid(format!("mode = {other:?} is not known"))),
    };
    Ok(composite(DepthToSpace { block, outer, back: node.op_type() == "SpaceToDepth" }))
}

fn cases() -> Vec<Case> {
    let case = |outer, back, shape: &[usize]| {
        let op = DepthToSpace { block: 2, outer, back };
        let inputs = vec![Some(sample::floats(shape, 1))];
        Case::composite(format!("{op:?}, {shape:?}"), op, inputs).tolerance(Tolerance::EXACT)
    };
    vec![
        case(true, false, &[2, 12, 3, 5]),
        case(false, false, &[2, 12, 3, 5]),
        case(true, true, &[2, 3, 4, 6]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("DepthToSpace", 1..=27), standard("SpaceToDepth", 1..=27)], decode, cases };
