//! Inputs that older versions of an operator have as attributes.

use std::sync::Arc;

use super::{Composite, Op, Parts, composite};
use crate::{error::OpError, graph::ValueId, host::HostTensor};

/// An operator some inputs of which are constants.
#[derive(Debug)]
struct WithConstants {
    op: Arc<dyn Op>,
    constants: Vec<(usize, HostTensor)>,
}

/// `op` with constants as its inputs at the given positions, behind those that the node has.
#[must_use]
pub fn with_constants(op: Arc<dyn Op>, constants: Vec<(usize, HostTensor)>) -> Arc<dyn Op> {
    if constants.is_empty() { op } else { composite(WithConstants { op, constants }) }
}

impl Composite for WithConstants {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let count = self.constants.iter().map(|(at, _)| at + 1).max().unwrap_or(0);
        let mut inputs: Vec<Option<ValueId>> = (0..count).map(|at| parts.optional(at)).collect();
        for (at, constant) in &self.constants {
            inputs[*at] = Some(parts.constant(constant.clone()));
        }
        parts.add_op(self.op.name(), self.op.clone(), &inputs, 1)
    }
}
