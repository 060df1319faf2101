//! Split: parts of a tensor along an axis, as views.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance,
        nd::{Positions, fixed, given, moved, optional, pick},
        sample, standard,
    },
};

/// Sizes are input 1, or, before opset 13, an attribute; without them the parts are equal, the last one smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The axis.
    pub axis: i64,
    /// Number of parts.
    pub parts: usize,
    /// The sizes, as an attribute.
    pub sizes: Option<Vec<i64>>,
}

impl Split {
    /// First position and size of each part.
    fn cuts(&self, size: &Expr, given: Option<&[Expr]>) -> Result<Vec<(Expr, Expr)>, OpError> {
        let attribute = self.sizes.as_ref().map(|s| s.iter().map(|n| Expr::from(*n)).collect::<Vec<_>>());
        let sizes = match given.map(<[Expr]>::to_vec).or(attribute) {
            Some(sizes) => sizes,
            None => self.equal(size)?,
        };
        if sizes.len() != self.parts {
            return Err(invalid(format!("{} sizes are given for {} outputs", sizes.len(), self.parts)));
        }
        let sum = sizes.iter().fold(Expr::ZERO, |n, s| &n + s);
        if matches!((sum.constant(), size.constant()), (Some(a), Some(b)) if a != b) {
            return Err(invalid(format!("the parts have {sum} positions in all, the input has {size}")));
        }
        let start = |at: &mut Expr, size: Expr| Some((std::mem::replace(at, &*at + &size), size));
        Ok(sizes.into_iter().scan(Expr::ZERO, start).collect())
    }

    fn equal(&self, size: &Expr) -> Result<Vec<Expr>, OpError> {
        let parts = self.parts as i64;
        if let Some(each) = size.exact_div(&Expr::from(parts)) {
            return Ok(vec![each; self.parts]);
        }
        let total = size
            .constant()
            .ok_or_else(|| OpError::Unsupported(format!("{size} split into {parts} parts")))?;
        let each = (total + parts - 1) / parts;
        Ok((0..parts).map(|n| Expr::from((total - n * each).clamp(0, each))).collect())
    }
}

fn positions(shape: &[usize], axis: usize, cut: &(Expr, Expr)) -> Result<Vec<usize>, OpError> {
    let mut all = Positions::all(shape);
    let (Some(start), Some(size)) = (cut.0.constant(), cut.1.constant()) else {
        return Err(invalid("a part has no size"));
    };
    all.offset = start * all.dims[axis].1;
    all.dims[axis].0 = size.max(0) as usize;
    Ok(all.list())
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let axis = Infer::axis(self.axis, input.rank())?;
        let given = cx.optional(1).map(|_| cx.content(1)).transpose()?;
        let part = |cut: (Expr, Expr)| {
            let mut shape = input.shape.clone();
            shape[axis] = cut.1.clone();
            match fixed(&shape) {
                Some(_) => moved(input, shape, |sizes| positions(sizes, axis, &cut)),
                None => Ok(Fact::new(input.dtype, shape)),
            }
        };
        self.cuts(&input.shape[axis], given)?.into_iter().map(part).collect()
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axis = Infer::axis(self.axis, input.shape().len())?;
        let sizes = optional(inputs, 1).map(|t| t.to_i64s().into_iter().map(Expr::from).collect::<Vec<_>>());
        let part = |cut: (Expr, Expr)| {
            let mut shape = input.shape().to_vec();
            shape[axis] = cut.1.constant().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            pick(input, shape, &positions(input.shape(), axis, &cut)?)
        };
        self.cuts(&Expr::from(input.shape()[axis]), sizes.as_deref())?.into_iter().map(part).collect()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let view = cx.shaped(0)?;
        let axis = Infer::axis(self.axis, view.dims.len())?;
        let given = cx.has_input(1).then(|| cx.content(1)).transpose()?;
        for (index, (start, size)) in self.cuts(&cx.fact(0)?.shape[axis], given)?.into_iter().enumerate() {
            cx.alias(index, view.slice(axis, &start, &size, 1))?;
        }
        Ok(())
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let sizes = if node.version() < 13 { node.ints("split")?.map(<[i64]>::to_vec) } else { None };
    let count = node.output_count();
    let parts = node.int("num_outputs")?.map_or(Some(count), |n| usize::try_from(n).ok());
    match parts {
        Some(parts) if parts == count && parts > 0 => {
            Ok(Arc::new(Split { axis: node.int_or("axis", 0)?, parts, sizes }))
        }
        _ => Err(invalid(format!("num_outputs does not match the {count} outputs"))),
    }
}

fn cases() -> Vec<Case> {
    let case = |axis, shape: &[usize], parts, sizes: Option<&[i64]>| {
        let name = format!("{shape:?} along {axis} in {parts}, sizes {sizes:?}");
        let inputs = vec![Some(sample::floats(shape, 1)), sizes.map(sample::list)];
        Case::new(name, Split { axis, parts, sizes: None }, inputs)
            .constants(&[1])
            .tolerance(Tolerance::EXACT)
    };
    vec![
        case(0, &[6, 5], 3, None),
        case(-1, &[3, 7], 3, None),
        case(1, &[3, 7], 2, Some(&[2, 5])),
        case(2, &[2, 3, 9], 3, Some(&[3, 0, 6])),
        case(0, &[4], 1, None),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Split", 2..=27)], decode, cases };
