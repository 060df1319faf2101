//! NonZero and Compress: places and slices that a condition picks. How many is known where the condition is a constant.

use std::sync::Arc;

use super::{gather::Gather, reshape::Reshape};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{
        Case, Composite, OnConstants, OnnxNode, Op, Operator, Parts, Tolerance, composite, nd, on_constants,
        sample, standard,
    },
};

/// The places of elements that are not 0, `[rank, places]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonZero;

/// Whether each element is not 0.
fn chosen(tensor: &HostTensor) -> Vec<bool> {
    if tensor.dtype().is_float() {
        return tensor.to_f64s().into_iter().map(|v| v != 0.0).collect();
    }
    tensor.to_i64s().into_iter().map(|v| v != 0).collect()
}

impl OnConstants for NonZero {
    fn name(&self) -> &'static str {
        "NonZero"
    }

    fn compute(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let x = nd::given(inputs, 0)?;
        let places: Vec<usize> =
            chosen(x).into_iter().enumerate().filter_map(|(at, chosen)| chosen.then_some(at)).collect();
        let sizes = x.shape().iter().zip(nd::strides(x.shape()));
        let rows = sizes.flat_map(|(size, stride)| places.iter().map(move |at| (at / stride % size) as i64));
        Ok(vec![HostTensor::from_i64(vec![x.shape().len(), places.len()], &rows.collect::<Vec<_>>())?])
    }
}

/// Slices of input 0 along the axis, or elements of all of it when left out, where the list of truth values that is input 1
/// says so. Behind its end it is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compress {
    /// The axis.
    pub axis: Option<i64>,
}

impl Composite for Compress {
    fn name(&self) -> &'static str {
        "Compress"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (mut x, condition) = (parts.input(0)?, parts.input(1)?);
        let text =
            || "the size of what Compress gives depends on data: its condition is no constant".to_owned();
        let condition = parts.host(condition).ok_or_else(|| OpError::DependsOnData(text()))?;
        if condition.shape().len() != 1 {
            return Err(invalid(format!("a condition of shape {:?}", condition.shape())));
        }
        let places = chosen(condition).into_iter().enumerate();
        let places: Vec<i64> = places.filter_map(|(at, chosen)| chosen.then_some(at as i64)).collect();
        if self.axis.is_none() {
            let flat = parts.integers(&[-1])?;
            x = parts.add(Reshape { allow_zero: false }, &[x, flat])?;
        }
        let places = parts.integers(&places)?;
        Ok(vec![parts.add(Gather { axis: self.axis.unwrap_or(0) }, &[x, places])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(match node.op_type() {
        "NonZero" => on_constants(NonZero),
        _ => composite(Compress { axis: node.int("axis")? }),
    })
}

fn cases() -> Vec<Case> {
    let condition = |len| sample::booleans(&[len], 3);
    let compress = |shape: &[usize], axis: Option<i64>, len| {
        let inputs = vec![Some(sample::floats(shape, 1)), Some(condition(len))];
        let case = Case::composite(format!("{len} along {axis:?} of {shape:?}"), Compress { axis }, inputs);
        case.constants(&[1]).tolerance(Tolerance::EXACT)
    };
    let non_zero = |x: HostTensor| {
        let (name, op) = (format!("places in {:?}", x.shape()), on_constants(NonZero));
        let inputs = vec![Some(x)];
        Case { name, op, inputs, constants: vec![0], tolerance: Tolerance::EXACT }
    };
    vec![
        non_zero(sample::booleans(&[3, 4], 1)),
        non_zero(sample::of(DType::F32, &[2, 2, 2], &[0.0, -0.0, 0.5, f64::NAN])),
        non_zero(sample::integers_in(&[], 1, 5, 6)),
        compress(&[3, 5, 2], Some(1), 5),
        compress(&[3, 5, 2], Some(-1), 1),
        compress(&[3, 4], None, 9),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Compress", 9..=27), standard("NonZero", 9..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{DType, HostTensor, NonZero, OnConstants};

    #[test]
    fn the_example_of_the_definition() {
        let x = HostTensor::from_f64s(DType::Bool, vec![2, 2], &[1.0, 0.0, 1.0, 1.0]).unwrap();
        let places = NonZero.compute(&[Some(&x)]).unwrap().remove(0);
        assert_eq!((places.shape(), places.to_i64s()), (&[2, 3][..], vec![0, 1, 1, 0, 0, 1]));
        let none = HostTensor::from_i64(vec![0, 3], &[]).unwrap();
        assert_eq!(NonZero.compute(&[Some(&none)]).unwrap()[0].shape(), [2, 0]);
    }
}
