//! The next step: what differs is noted when a plan is bound, and nothing else is evaluated again.

use symbolic::{Bindings, Expr};

use super::{BoundPlan, grid, unsigned, word};
use crate::{
    error::EngineError,
    op::{Grid, Slot},
    plan::{Plan, Scalar},
};

/// What differs from step to step. Calls have most of it in common, so each expression is evaluated once a step.
#[derive(Debug, Default)]
pub(super) struct Changes {
    words: Vec<(Expr, Vec<Word>)>,
    grids: Vec<(Grid, Vec<usize>)>,
}

/// A word of the parameters.
#[derive(Clone, Copy, Debug)]
struct Word {
    call: usize,
    /// First byte in all parameters.
    at: usize,
    /// Of a view's first element, what lies before the view.
    base: Option<u64>,
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
        for (byte, scalar) in &call.scalars {
            let (value, base) = match scalar {
                Scalar::Int(e) => (e, None),
                Scalar::OffsetOf(slot) => match &call.slots[*slot] {
                    Slot::View(view) => {
                        let (_, first) =
                            self.bind_slot(&call.slots[*slot], bindings, &bound.layout, bound.align)?;
                        let before = first.saturating_sub(unsigned(view.offset.eval(bindings)?)?);
                        (&view.offset, Some(before))
                    }
                    Slot::Weight { .. } => continue,
                },
                Scalar::Float(_) => continue,
            };
            if self.differs(value) {
                let at = bound.calls[index].params_at + *byte as usize;
                add(&mut bound.changes.words, value, Word { call: index, at, base });
            }
        }
        let grid = match &call.grid {
            Grid::Linear(e) => self.differs(e),
            Grid::Xyz(dims) => dims.iter().any(|e| self.differs(e)),
        };
        if grid {
            add(&mut bound.changes.grids, &call.grid, index);
        }
        Ok(())
    }
}

/// Adds a place where a value belongs.
fn add<V: PartialEq + Clone, P>(all: &mut Vec<(V, Vec<P>)>, value: &V, place: P) {
    match all.iter_mut().find(|(known, _)| known == value) {
        Some((_, places)) => places.push(place),
        None => all.push((value.clone(), vec![place])),
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
        for (value, places) in &self.changes.words {
            let value = value.eval(bindings)?;
            for Word { call, at, base } in places {
                let value = match base {
                    None => value,
                    Some(base) => i64::try_from(base.saturating_add(unsigned(value)?)).unwrap_or(i64::MAX),
                };
                let word = word(value, &plan.calls[*call].node)?;
                self.params[*at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        for (of, calls) in &self.changes.grids {
            let workgroups = grid(of, bindings, &plan.calls[calls[0]].node)?;
            calls.iter().for_each(|call| self.calls[*call].workgroups = workgroups);
        }
        plan.bind_fills(bindings, self)
    }
}
