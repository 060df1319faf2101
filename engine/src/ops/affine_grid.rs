//! AffineGrid: where the points of a regular grid over an image come to lie.

use std::sync::Arc;

use super::{
    binary::Binary, cast::Cast, one_hot::facing, range::Range, reshape::Reshape, slice::Slice,
    squeeze::Squeeze,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// Inputs: maps `[batch, axes, axes + 1]`, of which the first row and column are of the last axis and the last column is what
/// is added; sizes `[batch, channels, ..]`. The result: `[batch, .., axes]`. The image lies between -1 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffineGrid {
    /// Whether the outermost points, and not the edges around them, lie at -1 and 1.
    pub align_corners: bool,
}

impl AffineGrid {
    /// The coordinates of points along one axis, a list.
    fn line(self, parts: &mut Parts<'_, '_>, size: ValueId) -> Result<ValueId, OpError> {
        let to = Cast { to: DType::F32 };
        let (zero, one) = (parts.number(0.0, DType::I64)?, parts.number(1.0, DType::I64)?);
        let points = parts.add(Range, &[zero, size, one])?;
        let points = parts.add(to, &[points])?;
        let count = parts.add(to, &[size])?;
        let mut number = |value: f64| parts.number(value, DType::F32);
        let (one, two) = (number(1.0)?, number(2.0)?);
        let mut whole = parts.add(Binary::Mul, &[points, two])?;
        let mut span = count;
        if self.align_corners {
            span = parts.add(Binary::Sub, &[count, one])?;
            span = parts.add(Binary::Max, &[span, one])?;
        } else {
            whole = parts.add(Binary::Add, &[whole, one])?;
        }
        let part = parts.add(Binary::Div, &[whole, span])?;
        parts.add(Binary::Sub, &[part, one])
    }
}

impl Composite for AffineGrid {
    fn name(&self) -> &'static str {
        "AffineGrid"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (maps, sizes) = (parts.input(0)?, parts.input(1)?);
        let axes = match parts.fact(sizes)?.len().constant() {
            Some(4) => 2,
            Some(5) => 3,
            _ => return Err(invalid(format!("sizes of an image: {}", parts.fact(sizes)?))),
        };
        if parts.fact(sizes)?.content.is_none() {
            return Err(OpError::NotConstant { index: 1 });
        }
        let fact = parts.fact(maps)?;
        let square = fact.shape.get(1..).map(|s| s.iter().map(symbolic::Expr::constant).collect::<Vec<_>>());
        if square != Some(vec![Some(axes), Some(axes + 1)]) {
            return Err(invalid(format!("maps of {axes} axes: {fact}")));
        }
        let dtype = fact.dtype;
        let maps = parts.add(Cast { to: DType::F32 }, &[maps])?;
        // The maps' rows lie along the result's last axis: a column is [batch, 1, .., axes].
        let (last, scalar) = (parts.integers(&[2])?, parts.integers(&[])?);
        let spread = parts.integers(&(1..=axes).collect::<Vec<_>>())?;
        let column = |parts: &mut Parts<'_, '_>, at: i64| {
            let (start, end) = (parts.integers(&[at])?, parts.integers(&[at + 1])?);
            let column = parts.add(Slice, &[maps, start, end, last])?;
            let column = parts.add(Squeeze { insert: false, axes: None }, &[column, last])?;
            parts.add(Squeeze { insert: true, axes: None }, &[column, spread])
        };
        let mut sum = column(parts, axes)?;
        for at in 0..axes {
            let place = axes + 1 - at;
            let (start, end) = (parts.integers(&[place])?, parts.integers(&[place + 1])?);
            let size = parts.add(Slice, &[sizes, start, end])?;
            let size = parts.add(Reshape { allow_zero: false }, &[size, scalar])?;
            let line = self.line(parts, size)?;
            let line = facing(parts, line, at as usize + 1)?;
            let column = column(parts, at)?;
            let moved = parts.add(Binary::Mul, &[line, column])?;
            sum = parts.add(Binary::Add, &[sum, moved])?;
        }
        Ok(vec![parts.add(Cast { to: dtype }, &[sum])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(AffineGrid { align_corners: node.int_or("align_corners", 0)? != 0 }))
}

fn cases() -> Vec<Case> {
    let case = |align_corners, sizes: &[i64]| {
        let (batch, axes) = (sizes[0] as usize, sizes.len() - 2);
        let inputs = vec![Some(sample::floats(&[batch, axes, axes + 1], 1)), Some(sample::list(sizes))];
        let name = format!("{sizes:?}, align_corners {align_corners}");
        Case::composite(name, AffineGrid { align_corners }, inputs).constants(&[1])
    };
    vec![
        case(false, &[2, 1, 3, 5]),
        case(true, &[2, 1, 3, 5]),
        case(false, &[1, 1, 2, 3, 4]),
        case(true, &[2, 1, 1, 3, 2]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("AffineGrid", 20..=27)], decode, cases };
