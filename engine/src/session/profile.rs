//! A step of a session with the time of each kernel call.

use std::time::Duration;

use super::Session;
use crate::error::EngineError;

impl Session {
    /// Runs tokens as [`Session::run`] does, and returns how long each call of the plan took, in its order, and no logits.
    /// One token goes through the plan of decode, more through that of prefill.
    ///
    /// # Errors
    /// When the tokens do not fit, or the GPU fails. The session stays usable.
    pub fn profile(&mut self, tokens: &[u32]) -> Result<Vec<Duration>, EngineError> {
        self.abandon();
        self.check(tokens)?;
        if self.at_once(tokens.len()) < tokens.len() {
            let text = format!("{} tokens cannot be run in one step here", tokens.len());
            return Err(EngineError::model("session", text));
        }
        self.bring(Some(tokens))?;
        let run = if tokens.len() == 1 { &self.decode } else { &self.prefill };
        let times = run.profile(&self.model.gpu)?;
        self.past += tokens.len();
        Ok(times)
    }

    /// Takes so many positions for filled, whatever the cache holds: for times, which do not depend on that.
    pub(crate) fn assume(&mut self, positions: usize) {
        self.abandon();
        self.past = positions.min(self.capacity);
    }

    /// Most tokens of one step of an empty session.
    pub(crate) fn largest_step(&mut self) -> usize {
        self.truncate(0);
        self.at_once(self.chunk())
    }
}
