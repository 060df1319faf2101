//! Shape and Size: sizes as data, known without running anything.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::OpError,
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, nd::given, sample, standard},
};

/// Sizes of dimensions `start..end`, negative ones counted from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// First dimension.
    pub start: i64,
    /// Dimension behind the last; `None` for all.
    pub end: Option<i64>,
    /// Whether the sizes are multiplied: the operator Size.
    pub total: bool,
}

impl Shape {
    fn range(self, rank: usize) -> std::ops::Range<usize> {
        let rank = rank as i64;
        let clamp = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
        let (start, end) = (clamp(self.start), clamp(self.end.unwrap_or(rank)));
        start..end.max(start)
    }
}

impl Op for Shape {
    fn name(&self) -> &'static str {
        if self.total { "Size" } else { "Shape" }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        if self.total {
            return Ok(vec![Fact::known(DType::I64, vec![], vec![input.len()])]);
        }
        let content = input.shape[self.range(input.rank())].to_vec();
        Ok(vec![Fact::known(DType::I64, vec![Expr::from(content.len())], content)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        if self.total {
            return Ok(vec![HostTensor::from_i64(vec![], &[input.len() as i64])?]);
        }
        let sizes = &input.shape()[self.range(input.shape().len())];
        let sizes: Vec<i64> = sizes.iter().map(|d| *d as i64).collect();
        Ok(vec![HostTensor::from_i64(vec![sizes.len()], &sizes)?])
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Ok(())
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let total = node.op_type() == "Size";
    Ok(Arc::new(Shape { start: node.int_or("start", 0)?, end: node.int("end")?, total }))
}

fn cases() -> Vec<Case> {
    let case = |start, end, total| {
        let op = Shape { start, end, total };
        let input = sample::floats(&[2, 3, 5], 1);
        Case::new(format!("{op:?}"), op, vec![Some(input)]).tolerance(Tolerance::EXACT)
    };
    vec![
        case(0, None, false),
        case(1, None, false),
        case(-1, None, false),
        case(0, Some(-1), false),
        case(2, Some(1), false),
        case(0, None, true),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Shape", 1..=27), standard("Size", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn ranges_are_clamped() {
        let range = |start, end| Shape { start, end, total: false }.range(3);
        assert_eq!((range(0, None), range(-1, None), range(-9, Some(-1))), (0..3, 2..3, 0..2));
        assert_eq!((range(5, None).len(), range(2, Some(1)).len()), (0, 0));
    }
}
