//! Linear: a product with a constant matrix, packed for the device, and a residual added. Passes make it from MatMul.

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{Fit, HostTensor, Orientation, PackedWeight, StoredMatrix, WeightFormat, pack},
    op::{
        Case, Infer, Lowering, Op, Operator, made_by_passes,
        nd::{floats, given},
        sample,
    },
};

/// `x [.., k]` times a constant matrix of `n` rows, plus, on demand, a tensor `[.., n]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// How the matrix is held on the device.
    pub format: WeightFormat,
    /// Whether the model stores it `[k, n]` instead of `[n, k]`.
    pub transposed: bool,
    /// Whether input 2 is added.
    pub residual: bool,
}

/// A stored matrix as the device holds it.
///
/// # Errors
/// When it is no matrix, or the format cannot hold it.
pub fn packed(matrix: &HostTensor, format: WeightFormat, transposed: bool) -> Result<PackedWeight, OpError> {
    let orientation = if transposed { Orientation::ColumnsFirst } else { Orientation::RowsFirst };
    let rows = StoredMatrix::new(matrix, orientation)?;
    Ok(pack(&rows, format, Fit::default(), &|_| {})?)
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, matrix) = (cx.input(0)?, cx.input(1)?);
        let [a, b] = matrix.shape.as_slice() else { return Err(invalid(format!("the matrix is {matrix}"))) };
        let (n, k) = if self.transposed { (b, a) } else { (a, b) };
        let Some((width, outer)) = x.shape.split_last() else { return Err(invalid("the input is a scalar")) };
        cx.unify(width, "width of the input", k, "width of the matrix")?;
        let shape: Vec<Expr> = outer.iter().chain([n]).cloned().collect();
        if self.residual {
            for (a, b) in shape.iter().zip(&cx.input(2)?.shape) {
                cx.unify(a, "product", b, "residual")?;
            }
        }
        Ok(vec![Fact::new(x.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, matrix) = (given(inputs, 0)?, packed(given(inputs, 1)?, self.format, self.transposed)?);
        let (n, k) = (matrix.n(), matrix.k());
        let Some((width, outer)) = x.shape().split_last() else { return Err(invalid("the input is a scalar")) };
        if *width != k {
            return Err(invalid(format!("an input of width {width} meets a matrix of width {k}")));
        }
        let shape: Vec<usize> = outer.iter().copied().chain([n]).collect();
        let data = x.to_f64s();
        let mut all = if self.residual { given(inputs, 2)?.to_f64s() } else { vec![0.0; shape.iter().product()] };
        for row in 0..n {
            let weights = matrix.unpack_row(row).unwrap_or_default();
            for (m, input) in data.chunks(k.max(1)).enumerate() {
                let dot: f64 = input.iter().zip(&weights).map(|(x, w)| x * f64::from(*w)).sum();
                all[m * n + row] += dot;
            }
        }
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Err(OpError::Unsupported("Linear".into()))
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        for (shape, n, transposed, residual) in [
            (&[1, 64][..], 12, false, false),
            (&[1, 1, 192], 70, true, true),
            (&[1, 5, 96], 33, true, false),
            (&[1, 70, 64], 65, false, true),
        ] {
            let k = shape[shape.len() - 1];
            let matrix = sample::floats_in(&if transposed { [k, n] } else { [n, k] }, 2, -0.5, 0.5);
            let out: Vec<usize> = shape[..shape.len() - 1].iter().copied().chain([n]).collect();
            let residue = residual.then(|| sample::floats(&out, 3));
            let name = format!("{format} {shape:?} to {n}, transposed {transposed}, residual {residual}");
            let inputs = vec![Some(sample::floats(shape, 1)), Some(matrix), residue];
            cases.push(Case::new(name, Linear { format, transposed, residual }, inputs).constants(&[1]));
        }
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::Linear;
    use crate::{
        host::{HostTensor, WeightFormat},
        op::Op,
    };

    #[test]
    fn both_ways_of_storing_are_one_product() {
        let x = HostTensor::from_f32(vec![1, 2], &[1.0, 2.0]).unwrap();
        let rows = HostTensor::from_f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let columns = HostTensor::from_f32(vec![2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]).unwrap();
        let residual = HostTensor::from_f32(vec![1, 3], &[0.5, 0.0, -1.0]).unwrap();
        let of = |matrix, transposed| {
            let op = Linear { format: WeightFormat::F32, transposed, residual: true };
            op.reference(&[Some(&x), Some(matrix), Some(&residual)]).unwrap()[0].to_f32s()
        };
        assert_eq!(of(&rows, false), [5.5, 11.0, 16.0]);
        assert_eq!(of(&columns, true), of(&rows, false));
    }
}
