//! Generation: a prompt in, one token after the other out.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use crate::{
    error::EngineError,
    sampler::{Sampler, Sampling},
    session::Session,
};

/// What generation has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Prompt tokens run.
    pub prefill_tokens: usize,
    /// Time for them.
    pub prefill: Duration,
    /// Generated tokens that were run to get the next one.
    pub decode_tokens: usize,
    /// Time for them, sampling included.
    pub decode: Duration,
}

impl Timings {
    /// Prompt tokens a second.
    #[must_use]
    pub fn prefill_rate(&self) -> f64 {
        self.prefill_tokens as f64 / self.prefill.as_secs_f64().max(1e-9)
    }

    /// Generated tokens a second.
    #[must_use]
    pub fn decode_rate(&self) -> f64 {
        self.decode_tokens as f64 / self.decode.as_secs_f64().max(1e-9)
    }
}

/// Continues a text, token by token.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    sampler: Sampler,
    history: Vec<u32>,
    logits: Vec<f32>,
    waiting: Option<u32>,
    timings: Timings,
}

impl Generator {
    /// Starts with what is in the session already, usually nothing.
    ///
    /// # Errors
    /// When a sampling parameter is out of range.
    pub fn new(session: Session, sampling: Sampling) -> Result<Self, EngineError> {
        let sampler = Sampler::new(sampling)?;
        let (history, logits, waiting) = (Vec::new(), Vec::new(), None);
        Ok(Self { session, sampler, history, logits, waiting, timings: Timings::default() })
    }

    /// Runs prompt tokens in chunks. `progress` hears how many are done, of all, and may stop it: then the result is `Break`,
    /// and what was run stays.
    ///
    /// # Errors
    /// When the tokens do not fit the context (before anything is run), or the GPU fails.
    pub fn prompt(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, EngineError> {
        let start = Instant::now();
        let all: Vec<u32> = self.waiting.iter().chain(tokens).copied().collect();
        self.session.check_room(all.len())?;
        let mut done = 0;
        for part in all.chunks(self.session.chunk()) {
            self.logits = self.session.run(part)?;
            self.waiting = None;
            self.history.extend_from_slice(part);
            done += part.len();
            self.timings.prefill_tokens += part.len();
            if progress(done, all.len()).is_break() && done < all.len() {
                self.timings.prefill += start.elapsed();
                return Ok(ControlFlow::Break(()));
            }
        }
        self.timings.prefill += start.elapsed();
        Ok(ControlFlow::Continue(()))
    }

    /// The next token. It is run only when one more is asked for.
    ///
    /// # Errors
    /// When there is no prompt yet, the context is full, or the GPU fails.
    pub fn next_token(&mut self) -> Result<u32, EngineError> {
        let start = Instant::now();
        if let Some(token) = self.waiting {
            self.logits = self.session.run(&[token])?;
            self.history.push(token);
            self.waiting = None;
            self.timings.decode_tokens += 1;
        }
        if self.logits.is_empty() {
            return Err(EngineError::model("generate", "there is no prompt to continue"));
        }
        let token = self.sampler.sample(&self.logits, &self.history)?;
        self.waiting = Some(token);
        if self.timings.decode_tokens > 0 {
            self.timings.decode += start.elapsed();
        }
        Ok(token)
    }

    /// Forgets everything after the first `length` tokens that were run. Returns how many are left, none where a circular
    /// cache lost them; what follows these is to be given anew.
    pub fn rewind(&mut self, length: usize) -> usize {
        let length = self.session.truncate(length);
        self.history.truncate(length);
        self.logits.clear();
        self.waiting = None;
        length
    }

    /// What it has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Tokens run so far, prompt and generated.
    #[must_use]
    pub fn history(&self) -> &[u32] {
        &self.history
    }

    /// The session underneath.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
}
