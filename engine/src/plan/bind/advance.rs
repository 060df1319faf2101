//! The next step: what differs is noted when a plan is bound, and nothing else is evaluated again.

use symbolic::Bindings;

use super::{BoundPlan, grid, unsigned};
use crate::{
    error::EngineError,
    op::{Grid, Slot},
    plan::{Plan, Scalar},
};

/// A word of the parameters that differs from step to step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    call: usize,
    /// Which of the call's scalars it is.
    scalar: usize,
    /// Of a view's first element, what lies before the view.
    base: u64,
}

impl Plan {
    /// Notes what of a call differs from step to step. Its ranges do not: memory is laid out for the largest.
    pub(super) fn note_changes(
        &self,
        index: usize,
        bindings: &Bindings,
        bound: &mut BoundPlan,
    ) -> Result<(), EngineError> {
        let call = &self.calls[index];
        for (scalar, (_, what)) in call.scalars.iter().enumerate() {
            let base = match what {
                Scalar::Int(e) if self.differs(e) => 0,
                Scalar::OffsetOf(slot) => match &call.slots[*slot] {
                    Slot::View(view) if self.differs(&view.offset) => {
                        let (_, first) =
                            self.bind_slot(&call.slots[*slot], bindings, &bound.layout, bound.align)?;
                        first.saturating_sub(unsigned(view.offset.eval(bindings)?)?)
                    }
                    _ => continue,
                },
                _ => continue,
            };
            bound.words.push(Word { call: index, scalar, base });
        }
        let grid = match &call.grid {
            Grid::Linear(e) => self.differs(e),
            Grid::Xyz(dims) => dims.iter().any(|e| self.differs(e)),
        };
        if grid {
            bound.grids.push(index);
        }
        Ok(())
    }

    /// A word of the parameters, and where it is.
    fn word(&self, word: Word, bindings: &Bindings, bound: &BoundPlan) -> Result<(usize, u32), EngineError> {
        let call = &self.calls[word.call];
        let (byte, what) = &call.scalars[word.scalar];
        let value = match what {
            Scalar::Int(e) => super::word(e.eval(bindings)?, &call.node)?,
            Scalar::Float(v) => v.to_bits(),
            Scalar::OffsetOf(slot) => {
                let inside = match &call.slots[*slot] {
                    Slot::View(view) => unsigned(view.offset.eval(bindings)?)?,
                    Slot::Weight { .. } => 0,
                };
                let first = i64::try_from(word.base.saturating_add(inside)).unwrap_or(i64::MAX);
                super::word(first, &call.node)?
            }
        };
        Ok((bound.calls[word.call].params_at + *byte as usize, value))
    }
}

impl BoundPlan {
    /// The parameter blocks that differ from step to step: the first bytes of all.
    #[must_use]
    pub fn changing_params(&self) -> &[u8] {
        &self.params[..self.changing]
    }

    /// Re-evaluates, in place, what names the plan's stepping symbols. Allocates nothing.
    ///
    /// # Errors
    /// As [`Plan::bind`].
    pub fn advance(&mut self, plan: &Plan, bindings: &Bindings) -> Result<(), EngineError> {
        for (symbol, value) in bindings.iter() {
            self.bindings.set(symbol, value);
        }
        plan.check_pending(&self.bindings)?;
        plan.check_fits(&self.bindings, &self.rooms)?;
        for at in 0..self.words.len() {
            let (place, value) = plan.word(self.words[at], bindings, self)?;
            self.params[place..place + 4].copy_from_slice(&value.to_le_bytes());
        }
        for at in 0..self.grids.len() {
            let index = self.grids[at];
            let call = &plan.calls[index];
            self.calls[index].workgroups = grid(&call.grid, bindings, &call.node)?;
        }
        plan.bind_fills(bindings, self)
    }
}
