//! Whether a bound plan is sound: where memory is shared, and what views touch.

use symbolic::Bindings;

use super::{BoundPlan, Plan, unsigned};
use crate::{
    error::EngineError,
    op::{Slot, View},
};

impl Plan {
    /// No two roots that are alive at once share a byte, roots are inside the arena, and views inside their roots.
    pub(super) fn check(&self, bindings: &Bindings, bound: &BoundPlan) -> Result<(), EngineError> {
        let places = &self.arena.places;
        let mut ranges = Vec::with_capacity(places.len());
        for place in places {
            let start = unsigned(place.offset.eval(&bound.layout)?)?;
            ranges.push((start, start + unsigned(place.size.eval(&bound.layout)?)?));
        }
        for (i, a) in places.iter().enumerate() {
            let end = ranges[i].1;
            if end > bound.arena_bytes {
                let name = &self.roots[a.root].name;
                return Err(EngineError::model("bind", format!("{name:?} ends at {end}, behind the arena")));
            }
            for (j, b) in places.iter().enumerate().skip(i + 1) {
                let both = a.first <= b.last && b.first <= a.last;
                if both && ranges[i].0 < ranges[j].1 && ranges[j].0 < ranges[i].1 {
                    let names = (&self.roots[a.root].name, &self.roots[b.root].name);
                    return Err(EngineError::model(
                        "bind",
                        format!("{names:?} overlap while both are alive"),
                    ));
                }
            }
        }
        let views = self.calls.iter().flat_map(|c| c.slots.iter().map(move |s| (&c.node, s)));
        for (node, slot) in views {
            if let Slot::View(view) = slot {
                self.check_view(view, node, bindings)?;
            }
        }
        Ok(())
    }

    fn check_view(&self, view: &View, node: &str, bindings: &Bindings) -> Result<(), EngineError> {
        let first = view.offset.eval(bindings)?;
        let (mut least, mut most) = (first, first);
        for dim in &view.dims {
            let (size, stride) = (dim.size.eval(bindings)?, dim.stride.eval(bindings)?);
            if size <= 0 {
                return Ok(());
            }
            let reach = (size - 1).saturating_mul(stride);
            (least, most) = (least.saturating_add(reach.min(0)), most.saturating_add(reach.max(0)));
        }
        let root = &self.roots[view.root.0 as usize];
        let len = root.len.eval(bindings)?;
        if least < 0 || most >= len {
            let name = &root.name;
            let text =
                format!("node {node:?} touches elements {least}..={most} of {name:?}, which holds {len}");
            return Err(EngineError::model("bind", text));
        }
        Ok(())
    }
}
