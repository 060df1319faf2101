//! Operators whose results' sizes are in their data: computed on the CPU while the graph is typed, where inputs are constants.

use std::{any::Any, fmt::Debug, sync::Arc};

use super::{Infer, Lowering, Op};
use crate::{error::OpError, graph::Fact, host::HostTensor};

/// An operator that runs on constants only, such as `NonZero`.
pub trait OnConstants: Any + Debug + Send + Sync {
    /// The field's name for it.
    fn name(&self) -> &'static str;

    /// Computes the outputs.
    ///
    /// # Errors
    /// When the inputs break the operator's definition.
    fn compute(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError>;
}

/// Such an operator as any other: what decoders return.
pub fn on_constants(of: impl OnConstants) -> Arc<dyn Op> {
    Arc::new(Known(of))
}

#[derive(Debug)]
struct Known<T>(T);

impl<T: OnConstants> Op for Known<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let unknown = (0..cx.input_count()).find(|i| cx.optional(*i).is_some() && cx.host(*i).is_none());
        // With all inputs at hand, typing takes the facts of what `reference` makes of them.
        let Some(index) = unknown else { return Err(OpError::NotConstant { index: 0 }) };
        let text =
            format!("the size of what {} gives depends on data: input {index} is no constant", self.0.name());
        Err(OpError::DependsOnData(text))
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.0.compute(inputs)
    }

    /// Small constants are computed before; what is left is too much to be one.
    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Err(OpError::Unsupported(format!("{} of so many elements", self.0.name())))
    }
}
