//! Transpose: dimensions in another order.

use std::sync::Arc;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View,
        nd::{Positions, given, moved, pick},
        sample, standard,
    },
};

/// Output dimension `i` is input dimension `perm[i]`; reversed when there is no `perm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// The order.
    pub perm: Option<Vec<usize>>,
}

impl Transpose {
    /// The order for an input of this rank, as it is written: not checked.
    #[must_use]
    pub fn perm_of(&self, rank: usize) -> Vec<usize> {
        self.perm.clone().unwrap_or_else(|| (0..rank).rev().collect())
    }

    fn order(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        let perm = self.perm_of(rank);
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..rank) {
            return Ok(perm);
        }
        Err(invalid(format!("perm {perm:?} is no order of {rank} dimensions")))
    }

    fn positions(&self, shape: &[usize]) -> Result<Vec<usize>, OpError> {
        let all = Positions::all(shape);
        let dims = self.order(shape.len())?.into_iter().map(|p| all.dims[p]).collect();
        Ok(Positions { dims, ..all }.list())
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let shape = self.order(input.rank())?.into_iter().map(|p| input.shape[p].clone()).collect();
        Ok(vec![moved(input, shape, |sizes| self.positions(sizes))?])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let shape = self.order(input.shape().len())?.into_iter().map(|p| input.shape()[p]).collect();
        Ok(vec![pick(input, shape, &self.positions(input.shape())?)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let order = self.order(input.dims.len())?;
        cx.alias(0, input.transpose(&order))
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        let order = self.order(input.rank()).ok()?;
        if index != 0 || output.dims.len() != order.len() {
            return None;
        }
        let mut back = vec![0; order.len()];
        for (to, from) in order.into_iter().enumerate() {
            back[from] = to;
        }
        Some(output.transpose(&back))
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let perm = node.ints("perm")?.map(|list| list.iter().map(|p| usize::try_from(*p)).collect()).transpose();
    let perm = perm.map_err(|_| invalid("attribute \"perm\" has a negative entry"))?;
    Ok(Arc::new(Transpose { perm }))
}

fn cases() -> Vec<Case> {
    let case = |perm: Option<&[usize]>, shape: &[usize]| {
        let op = Transpose { perm: perm.map(<[usize]>::to_vec) };
        let name = format!("{perm:?} of {shape:?}");
        Case::new(name, op, vec![Some(sample::floats(shape, 1))]).tolerance(Tolerance::EXACT)
    };
    vec![
        case(None, &[3, 5]),
        case(None, &[2, 3, 4]),
        case(Some(&[0, 2, 1, 3]), &[1, 7, 3, 4]),
        case(Some(&[0, 2, 3, 1]), &[2, 3, 5, 4]),
        case(Some(&[1, 0, 3, 2]), &[2, 3, 5, 4]),
        case(Some(&[1, 0]), &[0, 4]),
        case(Some(&[]), &[]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Transpose", 1..=27)], decode, cases };
