//! Text as it comes, token by token, never with half a character.

use crate::{TextError, Tokenizer};

/// Decodes one token at a time. The pieces put together are exactly the decoding of all tokens at once.
///
/// A piece is held back while later tokens may still change it: an unfinished character, and a run of
/// byte tokens (`<0x..>`), whose bytes are decoded together.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    skip_special: bool,
    /// The tokens of the last piece, for what decoders do at the start of a text, and those held back.
    window: Vec<u32>,
    /// How many tokens of the window have been given out.
    given: usize,
}

impl<'t> StreamDecoder<'t> {
    /// Starts an empty text; `skip_special` as in [`Tokenizer::decode`].
    #[must_use]
    pub fn new(tokenizer: &'t Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, window: Vec::new(), given: 0 }
    }

    /// Adds a token and returns the text that is now certain, often empty.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn push(&mut self, token: u32) -> Result<String, TextError> {
        let Some(text) = self.tokenizer.token(token) else { return Ok(String::new()) };
        if self.skip_special && self.tokenizer.is_special(token) {
            return Ok(String::new());
        }
        self.window.push(token);
        if is_byte(&text) {
            return Ok(String::new());
        }
        let (before, all) = self.texts()?;
        if all.ends_with('\u{FFFD}') {
            return Ok(String::new());
        }
        match all.strip_prefix(before.as_str()) {
            Some(piece) if !piece.is_empty() => {
                self.window.drain(..self.given);
                self.given = self.window.len();
                Ok(piece.to_owned())
            }
            _ => Ok(String::new()),
        }
    }

    /// The text that was held back, at the end of the tokens; the decoder is then empty again.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn finish(&mut self) -> Result<String, TextError> {
        let (before, all) = self.texts()?;
        self.window.clear();
        self.given = 0;
        Ok(all.strip_prefix(before.as_str()).unwrap_or_default().to_owned())
    }

    /// The window's text up to what was given out, and all of it.
    fn texts(&self) -> Result<(String, String), TextError> {
        let given = self.window.get(..self.given).unwrap_or_default();
        let decode = |tokens: &[u32]| self.tokenizer.decode(tokens, self.skip_special);
        Ok((decode(given)?, decode(&self.window)?))
    }
}

/// Whether the token stands for one byte: `<0x41>`.
fn is_byte(token: &str) -> bool {
    token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
}
