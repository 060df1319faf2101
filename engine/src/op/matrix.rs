//! Constant matrices in packed form: what they are on the device, and what they lie in there.

use devices::WeightMemory;
use symbolic::Expr;

use super::{Lowering, WeightId, WeightPacking, WeightUse};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    host::WeightFormat,
};

/// A packed matrix of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its name on the device.
    pub weight: WeightId,
    /// How it is held.
    pub format: WeightFormat,
    /// Its rows.
    pub n: usize,
    /// Its columns.
    pub k: usize,
    /// What its codes or elements lie in.
    pub memory: WeightMemory,
}

impl Lowering<'_> {
    /// A constant matrix `[n, k]` in packed form; several of them, `[.., n, k]`, are one of all their rows.
    ///
    /// # Errors
    /// When input `index` is not a constant matrix.
    pub fn matrix(
        &mut self,
        index: usize,
        format: WeightFormat,
        transposed: bool,
    ) -> Result<Matrix, OpError> {
        let fact = self.fact(index)?;
        let value = self.node.input(index).ok_or(OpError::MissingInput { index })?;
        let sizes: Option<Vec<i64>> = fact.shape.iter().map(Expr::constant).collect();
        let not_one = || invalid(format!("input {index} is not a constant matrix"));
        let (Some([several @ .., a, b]), true) = (sizes.as_deref(), self.graph.is_constant(value)) else {
            return Err(not_one());
        };
        if transposed && !several.is_empty() {
            return Err(not_one());
        }
        let (n, k) = if transposed { (*b, *a) } else { (*a, *b) };
        let n = several.iter().try_fold(n, |n, count| n.checked_mul(*count)).ok_or_else(not_one)?;
        let (n, k) = (n.max(0) as usize, k.max(0) as usize);
        let memory = self.memory(value, format, n, k);
        let packing = WeightPacking::Matrix { format, transposed, memory };
        let weight = self.lowered.weight(WeightUse { value, packing, n, k });
        Ok(Matrix { weight, format, n, k, memory })
    }

    /// What a matrix lies in, the same for all that read it: a texture where the target wants that, it has codes, every
    /// node that reads it can read a texture, and a texture can be so large; else a buffer.
    fn memory(&self, value: ValueId, format: WeightFormat, n: usize, k: usize) -> WeightMemory {
        let target = self.target();
        let fits = |texels: usize| (1..=target.max_texture as usize).contains(&texels);
        let mut readers = self.graph.nodes.iter().filter(|node| node.inputs.contains(&Some(value)));
        let texture = target.weights == WeightMemory::Texture
            && format.group().is_some()
            && format.texels(n, k).into_iter().all(fits)
            && readers.all(|node| node.op.reads_textures());
        if texture { WeightMemory::Texture } else { WeightMemory::Buffer }
    }
}
