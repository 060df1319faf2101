//! One answer: the prompt is run, then tokens are generated and become text until something ends it.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use engine::generate::{Generator, Timings};
use serde_json::{Value, json};
use text::{StopStrings, StreamDecoder};

use crate::{bars::Bars, cancel::Cancel, error::CliError, words::Words};

/// Prompts of more tokens than this show a bar while they are run.
const LONG: usize = 64;

/// What ends an answer early.
#[derive(Debug, clap::Args)]
pub struct LimitArgs {
    /// Most tokens to generate
    #[arg(short = 'n', long = "max-tokens", value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
    /// Text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The model said so.
    EndOfText,
    /// A stop string came.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
    /// Ctrl-C.
    Cancelled,
}

impl Ended {
    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfText => "end_of_text",
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    /// The text that was given out.
    pub text: String,
    /// Tokens that were generated, an end token included.
    pub tokens: usize,
    /// Why it ended.
    pub ended: Ended,
    /// From the start of the prompt to the first token.
    pub first_token: Duration,
    /// Prompt and generation.
    pub timings: Timings,
}

impl Answer {
    /// Rates and the time to the first token, in words.
    pub fn figures(&self) -> String {
        let t = &self.timings;
        format!(
            "prefill {} tokens, {:.1} tokens/s; decode {} tokens, {:.1} tokens/s; first token after {:.2} s",
            t.prefill_tokens,
            t.prefill_rate(),
            t.decode_tokens,
            t.decode_rate(),
            self.first_token.as_secs_f64(),
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let t = &self.timings;
        json!({
            "text": self.text,
            "tokens": self.tokens,
            "ended": self.ended.name(),
            "prefill": {
                "tokens": t.prefill_tokens,
                "seconds": t.prefill.as_secs_f64(),
                "tokens_per_second": t.prefill_rate(),
            },
            "decode": {
                "tokens": t.decode_tokens,
                "seconds": t.decode.as_secs_f64(),
                "tokens_per_second": t.decode_rate(),
            },
            "first_token_seconds": self.first_token.as_secs_f64(),
        })
    }
}

/// Runs `prompt` and generates; `emit` gets the text piece by piece.
pub fn answer(
    generator: &mut Generator,
    words: &Words,
    prompt: &[u32],
    limits: &LimitArgs,
    (bars, cancel): (&Bars, &Cancel),
    emit: &mut dyn FnMut(&str) -> Result<(), CliError>,
) -> Result<Answer, CliError> {
    let start = Instant::now();
    let before = generator.timings();
    cancel.begin();
    let ran = generator.prompt(prompt, &mut |done, total| {
        if total > LONG {
            bars.show("prefill", done as u64, total as u64);
        }
        if cancel.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bars.clear();
    let mut answer = Answer {
        text: String::new(),
        tokens: 0,
        ended: Ended::Cancelled,
        first_token: Duration::ZERO,
        timings: Timings::default(),
    };
    let done = match ran {
        Ok(ControlFlow::Break(())) => Ok(()),
        Ok(ControlFlow::Continue(())) => generate(generator, words, limits, cancel, start, &mut answer, emit),
        Err(e) => Err(e.into()),
    };
    cancel.end();
    answer.timings = since(generator.timings(), before);
    done.map(|()| answer)
}

fn generate(
    generator: &mut Generator,
    words: &Words,
    limits: &LimitArgs,
    cancel: &Cancel,
    start: Instant,
    answer: &mut Answer,
    emit: &mut dyn FnMut(&str) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut stream = StreamDecoder::new(&words.tokenizer, true);
    let mut stops = StopStrings::new(limits.stop.iter().cloned())?;
    let mut give = |piece: String, answer: &mut Answer| {
        answer.text.push_str(&piece);
        if piece.is_empty() { Ok(()) } else { emit(&piece) }
    };
    generator.limit(limits.max_tokens);
    answer.ended = loop {
        if cancel.requested() {
            break Ended::Cancelled;
        }
        if answer.tokens == limits.max_tokens {
            break Ended::Length;
        }
        let session = generator.session();
        if answer.tokens > 0 && session.past() == session.capacity() {
            break Ended::Context;
        }
        let token = generator.next_token()?;
        if answer.tokens == 0 {
            answer.first_token = start.elapsed();
        }
        answer.tokens += 1;
        if words.tokenizer.is_eos(token) {
            break Ended::EndOfText;
        }
        give(stops.push(&stream.push(token)?), answer)?;
        if stops.stopped() {
            break Ended::Stop;
        }
    };
    if answer.ended != Ended::Stop {
        give(stops.push(&stream.finish()?), answer)?;
        give(stops.finish(), answer)?;
    }
    Ok(())
}

fn since(now: Timings, before: Timings) -> Timings {
    Timings {
        prefill_tokens: now.prefill_tokens - before.prefill_tokens,
        prefill: now.prefill - before.prefill,
        decode_tokens: now.decode_tokens - before.decode_tokens,
        decode: now.decode - before.decode,
    }
}
