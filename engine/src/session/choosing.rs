//! Steps that choose the token behind them on the device, and steps of tokens that were chosen there.

use super::Session;
use crate::{error::EngineError, gpu::Chooser, sampler::OnDevice};

impl Session {
    /// Kernels that choose from this session's logits; `None` where they cannot.
    pub(crate) fn chooser(&self, how: OnDevice) -> Result<Option<Chooser>, EngineError> {
        let model = &self.model;
        let logits = [self.prefill.output(0)?, self.decode.output(0)?];
        let token = self.decode.input(&model.inputs.tokens)?;
        Chooser::new(&model.gpu, how, model.vocabulary, logits, &token)
    }

    /// Runs tokens as [`Session::run`] does, and waits for them; the logits stay where they are.
    pub(crate) fn feed(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.run_parts(tokens, &mut |session, part, _| {
            session.step(Some(part), None)?;
            session.past += part.len();
            Ok(())
        })?;
        self.wait()
    }

    /// Waits for the steps under way but those that run ahead.
    pub(crate) fn wait(&self) -> Result<(), EngineError> {
        let gpu = &self.model.gpu;
        self.prefill.finish(gpu, 0)?;
        self.decode.finish(gpu, self.ahead)
    }

    /// Runs tokens as [`Session::run`] does and has the token behind them chosen by a random number, without waiting.
    pub(crate) fn start(
        &mut self,
        tokens: &[u32],
        chooser: &mut Chooser,
        number: u64,
    ) -> Result<(), EngineError> {
        self.run_parts(tokens, &mut |session, part, last| {
            session.step(Some(part), last.then_some((&mut *chooser, number)))?;
            session.past += part.len();
            Ok(())
        })
    }

    /// Whether the token that was chosen last can be run before it is known, and be dropped again: there is room, and a
    /// circular cache keeps all that the next token has to see.
    pub(crate) fn may_follow(&self) -> bool {
        let next = self.past + self.ahead;
        let keeps = self.model.window.is_none_or(|window| self.ahead == 0 || next < window);
        next < self.capacity && keeps
    }

    /// Runs the token that was chosen last, whichever it is, and has the one behind it chosen. The position counts as
    /// filled when the token is known and the step is [settled](Self::settle).
    pub(crate) fn follow(&mut self, chooser: &mut Chooser, number: u64) -> Result<(), EngineError> {
        self.step(None, Some((chooser, number)))?;
        self.ahead += 1;
        Ok(())
    }

    /// Steps under way whose tokens are not settled.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead
    }

    /// Keeps the oldest of the steps under way.
    pub(crate) fn settle(&mut self) {
        if self.ahead > 0 {
            self.ahead -= 1;
            self.past += 1;
        }
    }

    /// Drops the steps under way: what they write to the cache is written over.
    pub(crate) fn abandon(&mut self) {
        self.ahead = 0;
        self.prefill.forget();
        self.decode.forget();
    }

    /// The logits of the latest step.
    pub(crate) fn latest_logits(&self) -> Result<Vec<f32>, EngineError> {
        self.logits()
    }
}
