//! Det: determinants of square matrices.

use std::sync::Arc;

use shaders::KernelSpec;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        nd::{floats, given},
        sample, standard,
    },
};

/// Of the last two dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Det;

/// By elimination with the greatest pivot of each column.
fn determinant(matrix: &mut [f64], n: usize) -> f64 {
    let mut product = 1.0;
    for column in 0..n {
        let size = |row: &usize| matrix[row * n + column].abs();
        let best = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        if best != column {
            (column..n).for_each(|c| matrix.swap(best * n + c, column * n + c));
            product = -product;
        }
        let top = matrix[column * n + column];
        product *= top;
        if top == 0.0 {
            return product;
        }
        for row in column + 1..n {
            let factor = matrix[row * n + column] / top;
            (column + 1..n).for_each(|c| matrix[row * n + c] -= factor * matrix[column * n + c]);
        }
    }
    product
}

impl Op for Det {
    fn name(&self) -> &'static str {
        "Det"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let [outer @ .., rows, columns] = input.shape.as_slice() else {
            return Err(invalid(format!("{input} is no matrix")));
        };
        cx.unify(rows, "rows", columns, "columns")?;
        Ok(vec![Fact::new(input.dtype, outer.to_vec())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let [outer @ .., rows, columns] = input.shape() else {
            return Err(invalid("the input is no matrix"));
        };
        if rows != columns {
            return Err(invalid(format!("a matrix of {rows} by {columns}")));
        }
        let mut data = input.to_f64s();
        let all: Vec<f64> = match rows * columns {
            0 => vec![1.0; outer.iter().product()],
            size => data.chunks_mut(size).map(|matrix| determinant(matrix, *rows)).collect(),
        };
        Ok(vec![floats(input.dtype(), outer.to_vec(), &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (input, out) = (cx.shaped(0)?, cx.output(0)?);
        let copy = cx.temporary("eliminated", Elem::F32, &input.shape());
        cx.copy(&input, &copy)?;
        let shape = cx.output_fact(0)?.shape.clone();
        let found = cx.temporary("determinants", Elem::F32, &shape);
        let (total, n) = (found.len(), input.dims[input.dims.len() - 1].size.clone());
        let params = vec![("total", Param::Int(total.clone())), ("n", Param::Int(n))];
        let slots = vec![("a", Slot::View(copy)), ("out", Slot::View(found.clone()))];
        let grid = Grid::Linear(total.ceil_div(64));
        cx.dispatch(Dispatch { spec: KernelSpec::new("det"), slots, params, grid });
        cx.copy(&found, &out)
    }
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Det))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize]| Case::new(format!("{shape:?}"), Det, vec![Some(sample::floats(shape, 1))]);
    let swapped = sample::of(crate::dtype::DType::F32, &[2, 2], &[0.0, 1.0, 2.0, 3.0]);
    let singular = sample::of(crate::dtype::DType::F32, &[2, 2], &[1.0, 2.0, 2.0, 4.0]);
    vec![
        case(&[1, 1]),
        case(&[5, 3, 3]),
        case(&[2, 3, 6, 6]),
        Case::new("a pivot of 0", Det, vec![Some(swapped)]),
        Case::new("singular", Det, vec![Some(singular)]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Det", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::determinant;

    #[test]
    fn values_by_hand() {
        assert_eq!(determinant(&mut [0.0, 1.0, 2.0, 3.0], 2), -2.0);
        assert_eq!(determinant(&mut [1.0, 2.0, 2.0, 4.0], 2), 0.0);
        assert!((determinant(&mut [2.0, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 4.0], 3) - 18.0).abs() < 1e-12);
    }
}
