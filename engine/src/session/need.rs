//! What a model and a session of it take on a device, known before any of it is made.

use std::collections::HashSet;

use crate::{
    error::EngineError,
    gpu::Gpu,
    language::{LanguageModel, LanguageOptions, Phase, Prepared, Symbols},
    op::{RootKind, WeightPacking, WeightPart, WeightUse},
};

/// Bytes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Of the weights.
    pub weights: u64,
    /// Of a session's KV cache.
    pub cache: u64,
    /// Of what else a session needs.
    pub arena: u64,
}

impl Need {
    /// Of a model loaded with these options and one session of as many positions as they allow.
    ///
    /// # Errors
    /// When the model cannot be planned.
    pub fn of(model: &LanguageModel, options: &LanguageOptions, chunk: usize) -> Result<Self, EngineError> {
        let context = options.context.min(model.room().unwrap_or(usize::MAX));
        let chunk = chunk.clamp(1, context.max(1));
        let options = LanguageOptions { context, ..options.clone() };
        let prefill = model.prepare(Phase::Prefill { chunk }, &options)?;
        let decode = model.prepare(Phase::Decode, &options)?;
        let full = Symbols::new(chunk, context).bindings(chunk, context, context);
        let mut cache = 0u64;
        for root in decode.plan.roots.iter().filter(|r| matches!(r.kind, RootKind::Cache(_))) {
            let len = u64::try_from(root.len.eval(&full)?).unwrap_or(0);
            cache = cache.saturating_add(len.saturating_mul(root.elem.size()));
        }
        let arena = prefill.plan.arena_bytes(&full)?.max(decode.plan.arena_bytes(&full)?);
        Ok(Self { weights: weights(&[&prefill, &decode]), cache, arena })
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.arena)
    }

    /// Whether a device has room, as far as it tells.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, gpu: &Gpu) -> Result<(), EngineError> {
        gpu.free_memory().map_or(Ok(()), |free| self.within(free))
    }

    fn within(&self, free: u64) -> Result<(), EngineError> {
        if self.bytes() <= free {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let text = format!(
            "this needs {} MiB on the GPU (weights {}, cache {}, the rest {}), and {} MiB are free: take a smaller model, \
             weights of fewer bits, or fewer tokens at once",
            mib(self.bytes()),
            mib(self.weights),
            mib(self.cache),
            mib(self.arena),
            free >> 20
        );
        Err(EngineError::model("memory", text))
    }
}

/// Bytes of all constants, each once in each form.
fn weights(phases: &[&Prepared]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0u64;
    for Prepared { graph, plan, .. } in phases {
        let new = plan.weights.iter().filter(|w| seen.insert((&graph.value(w.value).name, w.packing)));
        bytes = new.map(size).fold(bytes, u64::saturating_add);
    }
    bytes
}

fn size(wanted: &WeightUse) -> u64 {
    match wanted.packing {
        WeightPacking::Plain(_) => wanted.bytes(WeightPart::Weight, 1),
        WeightPacking::Matrix { .. } => wanted
            .bytes(WeightPart::Weight, wanted.n)
            .saturating_add(wanted.bytes(WeightPart::Scales, wanted.n)),
    }
}

#[cfg(test)]
mod tests {
    use super::Need;

    #[test]
    fn what_does_not_fit_is_told_with_both_numbers() {
        let need = Need { weights: 3 << 30, cache: 100 << 20, arena: 1 };
        assert!(need.within(need.bytes()).is_ok());
        let error = need.within(need.bytes() - 1).unwrap_err().to_string();
        let text = "memory > this needs 3173 MiB on the GPU (weights 3072, cache 100, the rest 1), and 3172 MiB are free";
        assert!(error.starts_with(text), "{error}");
    }
}
