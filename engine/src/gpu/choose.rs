//! The device's choice by itself, from logits that the CPU has: what tests and qualification compare with the sampler.

use super::{Choice, Chooser, Gpu, run::Range};
use crate::{error::EngineError, op::Elem, sampler::Sampler};

impl Gpu {
    /// Chooses `count` tokens one after the other from the same logits, held as `elem`, as generation does on the device.
    /// `None` stands for a choice that needs the whole logits; all are where the device cannot choose so at all.
    ///
    /// # Errors
    /// When no logit is a number, or the GPU fails.
    pub fn choose(
        &self,
        logits: &[f32],
        elem: Elem,
        sampler: &mut Sampler,
        history: &[u32],
        count: usize,
    ) -> Result<Vec<Option<u32>>, EngineError> {
        let bytes: Vec<u8> = match elem {
            Elem::F16 => logits.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            _ => logits.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let there = self.storage("logits", bytes.len() as u64)?;
        self.write(&there, 0, &bytes);
        let there = Range::whole(&there, elem);
        let token = Range::whole(&self.storage("token", 4)?, Elem::U32);
        let chooser = match sampler.on_device() {
            Some(how) => Chooser::new(self, how, logits.len(), [there.clone(), there], &token)?,
            None => None,
        };
        let Some(mut chooser) = chooser else { return Ok(vec![None; count]) };
        let mut choices = Vec::with_capacity(count);
        for _ in 0..count {
            chooser.remember(self, history);
            chooser.prepare(self, true, 1, sampler.number(0))?;
            let mut encoder = self.encoder();
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                chooser.dispatch(self, &mut pass, true);
            }
            chooser.copy(self, &mut encoder)?;
            chooser.begin(self.submit([encoder])?);
            sampler.took();
            choices.push(match chooser.take(self)? {
                Some(Choice::Token(token)) => Some(token),
                _ => None,
            });
        }
        Ok(choices)
    }
}
