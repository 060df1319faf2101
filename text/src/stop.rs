//! Ends a text at the first of several strings, wherever the pieces of the text are cut.

use crate::TextError;

/// Watches a text that comes in pieces for strings that end it.
///
/// The string that is complete first ends the text, the longest of those that are complete together. The
/// text before it comes out; the string and what follows do not. How the text was cut into pieces makes no difference.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopStrings {
    /// Watches for `stops`; with none, every piece passes at once.
    ///
    /// # Errors
    /// One of them is empty.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, TextError> {
        let stops: Vec<String> = stops.into_iter().map(Into::into).collect();
        if stops.iter().any(String::is_empty) {
            return Err(TextError::EmptyStop);
        }
        Ok(Self { stops, ..Self::default() })
    }

    /// Adds a piece and returns the text that belongs to the answer for certain. What could be the
    /// beginning of a stop string is held back. After a stop nothing more comes out.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        if let Some(start) = self.first_stop() {
            self.stopped = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let certain = self.held.len() - self.longest_beginning();
        self.held.drain(..certain).collect()
    }

    /// Whether a stop string has come.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text that was held back, at the end of the pieces: the beginning of a stop string that never came whole.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string that is complete first starts.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        found.min().map(|(_, start)| start)
    }

    /// Bytes at the end of the held text that may be the beginning of a stop string.
    fn longest_beginning(&self) -> usize {
        let beginning = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.into_iter().find(|&end| self.held.ends_with(&stop[..end])).unwrap_or(0)
        };
        self.stops.iter().map(beginning).max().unwrap_or(0)
    }
}
