//! Unique: the different elements, or slices, of a constant.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    dtype::DType,
    error::OpError,
    host::HostTensor,
    op::{Case, Infer, OnConstants, OnnxNode, Op, Operator, Tolerance, nd, on_constants, sample, standard},
};

/// Outputs: the different ones, the place where each is first, which of them stands at each place, and how often each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The axis of the slices; elements when left out.
    pub axis: Option<i64>,
    /// In ascending order; else in that of their first places.
    pub sorted: bool,
    /// How many of the outputs there are.
    pub outputs: usize,
}

/// The flat positions of each slice.
fn slices(shape: &[usize], axis: Option<usize>) -> Vec<Vec<usize>> {
    let Some(axis) = axis else {
        return (0..shape.iter().product()).map(|at| vec![at]).collect();
    };
    let [outer, size, inner] = nd::around(shape, axis);
    let slice =
        |at| (0..outer).flat_map(move |o| (0..inner).map(move |n| (o * size + at) * inner + n)).collect();
    (0..size).map(slice).collect()
}

impl OnConstants for Unique {
    fn name(&self) -> &'static str {
        "Unique"
    }

    fn compute(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let x = nd::given(inputs, 0)?;
        let axis = self.axis.map(|axis| Infer::axis(axis, x.shape().len())).transpose()?;
        let (floats, integers) = (x.to_f64s(), x.to_i64s());
        let order = |a: &usize, b: &usize| {
            if x.dtype().is_float() {
                floats[*a].total_cmp(&floats[*b])
            } else {
                integers[*a].cmp(&integers[*b])
            }
        };
        let slices = slices(x.shape(), axis);
        let compare = |a: &usize, b: &usize| {
            let pairs = slices[*a].iter().zip(&slices[*b]);
            pairs.map(|(a, b)| order(a, b)).find(|o| *o != Ordering::Equal).unwrap_or(Ordering::Equal)
        };
        let mut places: Vec<usize> = (0..slices.len()).collect();
        // Stable: the first of equal ones stays in front.
        places.sort_by(compare);
        let mut groups: Vec<Vec<usize>> =
            places.chunk_by(|a, b| compare(a, b) == Ordering::Equal).map(<[usize]>::to_vec).collect();
        if !self.sorted {
            groups.sort_by_key(|group| group[0]);
        }
        let mut which = vec![0; slices.len()];
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|at| which[*at] = number as i64);
        }
        let mut shape = x.shape().to_vec();
        match axis {
            Some(axis) => shape[axis] = groups.len(),
            None => shape = vec![groups.len()],
        }
        // The slices one behind the other, then the axis back in its place.
        let kept: Vec<&Vec<usize>> = groups.iter().map(|group| &slices[group[0]]).collect();
        let inner = axis.map_or(1, |axis| nd::around(x.shape(), axis)[2]);
        let outer = kept.first().map_or(0, |slice| slice.len() / inner.max(1));
        let positions: Vec<usize> = (0..outer)
            .flat_map(|o| kept.iter().flat_map(move |slice| &slice[o * inner..(o + 1) * inner]))
            .copied()
            .collect();
        let list = |numbers: Vec<i64>| HostTensor::from_i64(vec![numbers.len()], &numbers);
        let mut all = vec![
            nd::pick(x, shape, &positions)?,
            list(groups.iter().map(|group| group[0] as i64).collect())?,
            list(which)?,
            list(groups.iter().map(|group| group.len() as i64).collect())?,
        ];
        all.truncate(self.outputs);
        Ok(all)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let sorted = node.int_or("sorted", 1)? != 0;
    Ok(on_constants(Unique { axis: node.int("axis")?, sorted, outputs: node.output_count() }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, x: HostTensor, axis, sorted| {
        let op = on_constants(Unique { axis, sorted, outputs: 4 });
        let (name, inputs) = (name.to_owned(), vec![Some(x)]);
        Case { name, op, inputs, constants: vec![0], tolerance: Tolerance::EXACT }
    };
    vec![
        case("elements", sample::integers_in(&[3, 5], 1, 0, 6), None, true),
        case("floats as they come", sample::of(DType::F32, &[7], &[2.0, 1.0, 2.0, -1.0, 1.0]), None, false),
        case("slices", sample::integers_in(&[2, 6, 2], 2, 0, 2), Some(1), true),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Unique", 11..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{HostTensor, OnConstants, Unique};

    #[test]
    fn the_examples_of_the_definition() {
        let of = |op: Unique, shape: Vec<usize>, x: &[i64]| {
            let x = HostTensor::from_i64(shape, x).unwrap();
            op.compute(&[Some(&x)]).unwrap().iter().map(HostTensor::to_i64s).collect::<Vec<_>>()
        };
        let op = Unique { axis: None, sorted: false, outputs: 4 };
        let got = of(op, vec![6], &[2, 1, 1, 3, 4, 3]);
        assert_eq!(got, [vec![2, 1, 3, 4], vec![0, 1, 3, 4], vec![0, 1, 1, 2, 3, 2], vec![1, 2, 2, 1]]);
        let op = Unique { axis: Some(0), sorted: true, outputs: 4 };
        let got = of(op, vec![3, 3], &[1, 0, 0, 1, 0, 0, 2, 3, 4]);
        assert_eq!(got, [vec![1, 0, 0, 2, 3, 4], vec![0, 2], vec![0, 0, 1], vec![2, 1]]);
        let op = Unique { axis: Some(1), sorted: true, outputs: 2 };
        // Columns (1, 2), (1, 2), (0, 1).
        let got = of(op, vec![2, 3], &[1, 1, 0, 2, 2, 1]);
        assert_eq!(got, [vec![0, 1, 1, 2], vec![2, 0]]);
    }
}
