//! Ctrl-C: the first one ends what is being generated after the current token, the next one ends the program.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
};

use crate::error::CliError;

const IDLE: u8 = 0;
const WORKING: u8 = 1;
const CANCELLED: u8 = 2;

/// Watches for Ctrl-C.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<AtomicU8>);

impl Cancel {
    /// Starts to watch.
    pub fn watch() -> Result<Self, CliError> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let seen = state.clone();
        let watching = ctrlc::set_handler(move || {
            if seen.compare_exchange(WORKING, CANCELLED, SeqCst, SeqCst).is_err() {
                process::exit(130);
            }
        });
        watching.map_err(|e| CliError::other(format!("Ctrl-C cannot be watched for: {e}")))?;
        Ok(Self(state))
    }

    /// Begins work that can be cancelled.
    pub fn begin(&self) {
        self.0.store(WORKING, SeqCst);
    }

    /// Ends it.
    pub fn end(&self) {
        self.0.store(IDLE, SeqCst);
    }

    /// Whether it was cancelled.
    pub fn requested(&self) -> bool {
        self.0.load(SeqCst) == CANCELLED
    }
}
