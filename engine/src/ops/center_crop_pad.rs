//! CenterCropPad: axes brought to sizes, by cropping or by zeros, on both sides alike.

use std::sync::Arc;

use super::{
    binary::Binary,
    concat::Concat,
    identity::Identity,
    pad::{Mode, Pad},
    shape::Shape,
    slice::Slice,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, Infer, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard},
};

/// Inputs: a tensor, new sizes. The odd one of what is cut or added lies behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CenterCropPad {
    /// The axes that the sizes are of; all when left out.
    pub axes: Option<Vec<i64>>,
}

impl Composite for CenterCropPad {
    fn name(&self) -> &'static str {
        "CenterCropPad"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, sizes) = (parts.input(0)?, parts.input(1)?);
        let rank = parts.fact(x)?.rank();
        let axes = self.axes.clone().unwrap_or_else(|| (0..rank as i64).collect());
        let axes =
            axes.iter().map(|a| Ok(Infer::axis(*a, rank)? as i64)).collect::<Result<Vec<_>, OpError>>()?;
        if parts.fact(sizes)?.len().constant() != Some(axes.len() as i64) {
            return Err(invalid(format!("{} for axes {axes:?}", parts.fact(sizes)?)));
        }
        if axes.is_empty() {
            return Ok(vec![parts.add(Identity, &[x])?]);
        }
        let (zero, two) = (parts.integers(&[0])?, parts.integers(&[2])?);
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for (at, axis) in axes.iter().enumerate() {
            let (start, end) = (parts.integers(&[at as i64])?, parts.integers(&[at as i64 + 1])?);
            let wanted = parts.add(Slice, &[sizes, start, end])?;
            let size = parts.add(Shape { start: *axis, end: Some(axis + 1), total: false }, &[x])?;
            let mut half = |more, less| {
                let more = parts.add(Binary::Sub, &[more, less])?;
                let more = parts.add(Binary::Max, &[more, zero])?;
                parts.add(Binary::Div, &[more, two])
            };
            let (added, cut) = (half(wanted, size)?, half(size, wanted)?);
            let first = parts.add(Binary::Sub, &[added, cut])?;
            let all = parts.add(Binary::Sub, &[wanted, size])?;
            behind.push(parts.add(Binary::Sub, &[all, first])?);
            before.push(first);
        }
        let counts = parts.add(Concat { axis: 0 }, &[before, behind].concat())?;
        let axes = parts.integers(&axes)?;
        let inputs = [Some(x), Some(counts), None, Some(axes)];
        parts.add_all(Pad { mode: Mode::Constant }, &inputs, 1)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(CenterCropPad { axes: node.ints("axes")?.map(<[i64]>::to_vec) }))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], sizes: &[i64], axes: Option<&[i64]>| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(sample::list(sizes))];
        let op = CenterCropPad { axes: axes.map(<[i64]>::to_vec) };
        let case = Case::composite(format!("{shape:?} to {sizes:?}, {axes:?}"), op, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let whole = vec![Some(sample::integers_in(&[4], 1, -9, 9)), Some(sample::list(&[7]))];
    vec![
        case(&[5, 6], &[2, 9], None),
        case(&[5, 6], &[8, 3], None),
        case(&[2, 5, 6], &[4, 5], Some(&[-1, 1])),
        case(&[3], &[3], None),
        Case::composite(format!("{}", DType::I64), CenterCropPad { axes: None }, whole).constants(&[1]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("CenterCropPad", 18..=27)], decode, cases };
