//! Generation: a prompt in, one token after the other out.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use crate::{
    error::EngineError,
    gpu::{Choice, Chooser},
    sampler::{Sampler, Sampling},
    session::Session,
};

/// Steps that are under way behind the one whose token is waited for: while one runs, the next is recorded. What comes after
/// the last token of a text is lost.
const LOOK_AHEAD: usize = 1;

/// What generation has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Prompt tokens run.
    pub prefill_tokens: usize,
    /// Time for them.
    pub prefill: Duration,
    /// Generated tokens that were run to get the next one.
    pub decode_tokens: usize,
    /// Time for them, from one token to the next: sampling is included, and what the caller does with a token, during which
    /// the next is computed.
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

/// Continues a text, token by token. Tokens are chosen on the device where it can, and the next step begins before the
/// token is known here.
#[derive(Debug)]
pub struct Generator {
    session: Session,
    sampler: Sampler,
    device: Option<Chooser>,
    look_ahead: usize,
    /// Tokens that will still be asked for, as far as that is known.
    wanted: usize,
    history: Vec<u32>,
    /// Of the latest step, where the device does not choose.
    logits: Vec<f32>,
    /// The token that was given out last. It counts as run when one more is asked for.
    waiting: Option<u32>,
    /// When it was given out.
    given: Option<Instant>,
    timings: Timings,
}

impl Generator {
    /// Starts with what is in the session already, usually nothing.
    ///
    /// # Errors
    /// When a sampling parameter is out of range, or the GPU fails.
    pub fn new(session: Session, sampling: Sampling) -> Result<Self, EngineError> {
        let sampler = Sampler::new(sampling)?;
        let device = match sampler.on_device() {
            Some(how) => session.chooser(how)?,
            None => None,
        };
        let look_ahead =
            if sampler.on_device().is_some_and(|how| how.always_chooses()) { LOOK_AHEAD } else { 0 };
        let (history, logits) = (Vec::new(), Vec::new());
        let timings = Timings::default();
        Ok(Self {
            session,
            sampler,
            device,
            look_ahead,
            wanted: usize::MAX,
            history,
            logits,
            waiting: None,
            given: None,
            timings,
        })
    }

    /// Chooses on the CPU from all logits, which come back for each token: the device's choices are checked against it.
    #[must_use]
    pub fn choosing_on_cpu(mut self) -> Self {
        self.device = None;
        self
    }

    /// Says how many more tokens will be asked for at most: nothing is begun behind the last of them.
    pub fn limit(&mut self, tokens: usize) {
        self.wanted = tokens;
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
        self.given = None;
        let all: Vec<u32> = self.waiting.iter().chain(tokens).copied().collect();
        self.session.check_room(all.len())?;
        let mut done = 0;
        for part in all.chunks(self.session.chunk()) {
            self.run(part, done + part.len() == all.len())?;
            self.session.wait()?;
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

    /// Runs tokens, the waiting one first where there is one; behind the last, the next is chosen or the logits are kept.
    fn run(&mut self, tokens: &[u32], last: bool) -> Result<(), EngineError> {
        self.drop_choices();
        self.logits.clear();
        let before = self.history.len();
        self.history.extend_from_slice(tokens);
        let number = self.sampler.number(0);
        let ran = match &mut self.device {
            _ if !last => self.session.feed(tokens),
            Some(chooser) => {
                chooser.remember(self.session.model().gpu(), &self.history);
                self.session.start(tokens, chooser, number)
            }
            None => self.session.run(tokens).map(|logits| self.logits = logits),
        };
        match ran {
            Ok(()) => self.waiting = None,
            Err(_) => self.history.truncate(before),
        }
        ran
    }

    /// The next token. Whoever asks for no more wastes at most the one step that was begun behind it.
    ///
    /// # Errors
    /// When there is no prompt yet, the context is full, or the GPU fails.
    pub fn next_token(&mut self) -> Result<u32, EngineError> {
        if let Some(token) = self.waiting {
            if self.session.ahead() > 0 {
                self.session.settle();
                self.history.push(token);
                self.waiting = None;
            } else {
                self.session.check_room(1)?;
                self.run(&[token], true)?;
            }
            self.timings.decode_tokens += 1;
        }
        let token = self.chosen().inspect_err(|_| self.drop_choices())?;
        self.waiting = Some(token);
        self.wanted = self.wanted.saturating_sub(1);
        let now = Instant::now();
        if let Some(before) = self.given.replace(now) {
            self.timings.decode += now - before;
        }
        Ok(token)
    }

    /// The token behind all that was run.
    fn chosen(&mut self) -> Result<u32, EngineError> {
        if let Some(chooser) = self.device.as_mut().filter(|c| c.pending() > 0) {
            let ahead = self.look_ahead.min(self.wanted.saturating_sub(1));
            while self.session.ahead() < ahead && self.session.may_follow() {
                self.session.follow(chooser, self.sampler.number(chooser.pending()))?;
            }
            self.session.wait()?;
            match chooser.take(self.session.model().gpu())? {
                Some(Choice::Token(token)) => {
                    self.sampler.took();
                    return Ok(token);
                }
                _ => self.logits = self.session.latest_logits()?,
            }
        }
        if self.logits.is_empty() {
            return Err(EngineError::model("generate", "there is no prompt to continue"));
        }
        let row = self.logits.len().saturating_sub(self.session.model().vocabulary());
        Ok(self.sampler.sample(&self.logits[row..], &self.history)?)
    }

    /// Gives up what the device has chosen or begun and nobody has seen.
    fn drop_choices(&mut self) {
        self.session.abandon();
        if let Some(chooser) = &mut self.device {
            chooser.forget();
        }
    }

    /// Forgets everything after the first `length` tokens that were run. Returns how many are left, none where a circular
    /// cache lost them; what follows these is to be given anew.
    pub fn rewind(&mut self, length: usize) -> usize {
        self.drop_choices();
        self.given = None;
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
