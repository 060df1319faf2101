//! What a kernel call has at least to move and to compute, from its views and weights: the measure of how well it does.

use symbolic::{Bindings, Expr};

use super::{Call, Plan, Scalar};
use crate::{
    error::EngineError,
    op::{Slot, View, WeightPacking, WeightPart},
};

/// Bytes and operations of a kernel call, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes read and written, each once however often a kernel reads it.
    pub bytes: u64,
    /// Additions and multiplications: two for each weight that meets an input and for each number of keys and values that
    /// a query sees, one for each element of what is not a product.
    pub flops: u64,
}

impl std::iter::Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            bytes: a.bytes.saturating_add(b.bytes),
            flops: a.flops.saturating_add(b.flops),
        })
    }
}

impl Plan {
    /// Bytes that a call reads and writes, each once however often it is read.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn traffic(&self, call: usize, bindings: &Bindings) -> Result<u64, EngineError> {
        Ok(self.work(call, bindings)?.bytes)
    }

    /// What a call has to do; nothing where it has no workgroups.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn work(&self, call: usize, bindings: &Bindings) -> Result<Work, EngineError> {
        let call = &self.calls[call];
        if call.grid.is_empty(bindings)? {
            return Ok(Work::default());
        }
        let slots = Slots { call, bindings };
        let chosen = slots.chosen()?;
        let (mut bytes, mut widest, mut products) = (0u64, 0, 0u64);
        for slot in &call.slots {
            let size = match slot {
                Slot::Weight { weight, part, count, .. } => {
                    let weight = &self.weights[weight.0 as usize];
                    if let (WeightPart::Weight, WeightPacking::Matrix { .. }, Some(x)) =
                        (part, weight.packing, slots.view("x"))
                    {
                        let pairs = match chosen {
                            Some(rows) => rows.saturating_mul(weight.k as u64),
                            None => elements(x, bindings)?.saturating_mul(*count as u64),
                        };
                        products = products.saturating_add(pairs);
                    }
                    let rows = chosen.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(usize::MAX);
                    weight.bytes(*part, rows.min(*count))
                }
                Slot::View(view) => {
                    widest = widest.max(elements(view, bindings)?);
                    stored(view, bindings)?.saturating_mul(view.elem.size())
                }
            };
            bytes = bytes.saturating_add(size);
        }
        let products = products.saturating_add(slots.attended()?);
        let flops = if products > 0 { products.saturating_mul(2) } else { widest };
        Ok(Work { bytes, flops })
    }
}

/// A call's slots and parameters by their names in the kernel.
struct Slots<'a> {
    call: &'a Call,
    bindings: &'a Bindings,
}

impl Slots<'_> {
    fn view(&self, name: &str) -> Option<&View> {
        let at = self.call.kernel.reflection.slots.iter().position(|slot| slot.name == name)?;
        match &self.call.slots[at] {
            Slot::View(view) => Some(view),
            Slot::Weight { .. } => None,
        }
    }

    /// Rows that are read where indices choose among those of a table: as many as there are indices, or, where rows meet an
    /// input, as there are results.
    fn chosen(&self) -> Result<Option<u64>, EngineError> {
        let Some(indices) = self.view("indices") else { return Ok(None) };
        let rows = self.view("x").and(self.view("y")).unwrap_or(indices);
        elements(rows, self.bindings).map(Some)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, EngineError> {
        let fields = self.call.kernel.reflection.params.iter().flat_map(|layout| &layout.fields);
        let Some(at) = fields.into_iter().find(|f| f.name == name).map(|f| f.offset) else { return Ok(None) };
        match self.call.scalars.iter().find(|(byte, _)| *byte == at) {
            Some((_, Scalar::Int(e))) => Ok(Some(size(e, self.bindings)?)),
            _ => Ok(None),
        }
    }

    /// Multiply-adds of attention: every number of every query meets one of each key that it sees, and of that key's value.
    fn attended(&self) -> Result<u64, EngineError> {
        let (Some(q), Some(k)) = (self.view("q"), self.view("k")) else { return Ok(0) };
        let ([.., seq, _], [.., keys, _]) = (q.dims.as_slice(), k.dims.as_slice()) else { return Ok(0) };
        let (seq, keys) = (size(&seq.size, self.bindings)?, size(&keys.size, self.bindings)?);
        let past = self.number("past")?.unwrap_or(keys);
        let window = self.number("window")?.filter(|n| *n > 0).unwrap_or(keys);
        let seen: u64 = (1..=seq).map(|i| keys.min(past.saturating_add(i)).min(window)).sum();
        let row = elements(q, self.bindings)? / seq.max(1);
        Ok(row.saturating_mul(seen).saturating_mul(2))
    }
}

fn size(e: &Expr, bindings: &Bindings) -> Result<u64, EngineError> {
    Ok(u64::try_from(e.eval(bindings)?).unwrap_or(0))
}

/// Elements of a view, those that lie in one place counted each.
fn elements(view: &View, bindings: &Bindings) -> Result<u64, EngineError> {
    view.dims.iter().try_fold(1u64, |all, dim| Ok(all.saturating_mul(size(&dim.size, bindings)?)))
}

/// Elements of a view, those that lie in one place counted once.
fn stored(view: &View, bindings: &Bindings) -> Result<u64, EngineError> {
    let apart = view.dims.iter().filter(|dim| dim.stride != Expr::ZERO);
    apart.into_iter().try_fold(1u64, |all, dim| Ok(all.saturating_mul(size(&dim.size, bindings)?)))
}
