//! The memory plan in numbers: what lies where in the arena, and from which step to which.

use engine::{EngineError, plan::Placed, session::Session};
use serde::{Deserialize, Serialize};

use crate::Kind;

/// The arena of one kind of step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryMap {
    /// A chunk of prefill, or a step of decode.
    pub kind: Kind,
    /// Tokens of the step.
    pub tokens: usize,
    /// Kernel calls of the step.
    pub steps: usize,
    /// Bytes in all.
    pub bytes: u64,
    /// What lies in it.
    pub slots: Vec<Placed>,
}

impl MemoryMap {
    /// Of both kinds of step, the largest of each that a session takes.
    ///
    /// # Errors
    /// When a size cannot be computed.
    pub fn of(session: &Session) -> Result<Vec<Self>, EngineError> {
        let (model, capacity) = (session.model(), session.capacity());
        let map = |(kind, tokens): (Kind, usize)| {
            let plan = model.plan(kind == Kind::Decode);
            let bindings = model.bindings(tokens, capacity.saturating_sub(tokens), capacity);
            let bytes = plan.arena_bytes(&bindings)?;
            let slots = plan.map(&bindings)?;
            Ok(Self { kind, tokens, steps: plan.steps.len(), bytes, slots })
        };
        [(Kind::Prefill, session.chunk()), (Kind::Decode, 1)].into_iter().map(map).collect()
    }
}
