//! `halfbyte chat`: a conversation. The cache is kept between turns: only what is new in the rendered conversation
//! is run; where an earlier part reads differently now, the cache is cut back to what is still the same.

use std::io::{self, BufRead, IsTerminal};

use engine::{EngineError, generate::Generator, session::Session};
use text::Message;

use crate::{
    answer::{self, Answer, Ended, LimitArgs},
    bars::Bars,
    cancel::Cancel,
    error::CliError,
    model::ModelArgs,
    output,
    sampling::SamplingArgs,
    words::Words,
};

/// Talk with a model: /reset starts again, /quit or the end of input leaves.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A system message at the start
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// After each answer, show what it took
    #[arg(long)]
    figures: bool,
}

struct Conversation<'a> {
    args: &'a Args,
    words: &'a Words,
    bars: Bars,
    cancel: Cancel,
    generator: Generator,
    messages: Vec<Message>,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let cancel = Cancel::watch()?;
    let bars = Bars::default();
    let starting = args.model.start();
    let file = args.model.open()?;
    let words = Words::open(&file)?;
    let context = args.model.long_context(words.limit)?;
    let (model, _) = args.model.load(&file, starting, context, &bars)?;
    let generator = Generator::new(Session::new(model, context)?, args.sampling.sampling())?;
    let messages = args.opening();
    let mut talk = Conversation { args, words: &words, bars, cancel, generator, messages };
    let input = io::stdin();
    let asks = input.is_terminal();
    loop {
        if asks {
            output::text("> ")?;
        }
        let mut line = String::new();
        let read = input.lock().read_line(&mut line);
        if read.map_err(|e| CliError::other(format!("standard input cannot be read: {e}")))? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/reset" => talk.messages = args.opening(),
            said => talk.turn(said)?,
        }
    }
}

impl Args {
    fn opening(&self) -> Vec<Message> {
        self.system.iter().map(|s| Message::new("system", s)).collect()
    }
}

impl Conversation<'_> {
    fn turn(&mut self, said: &str) -> Result<(), CliError> {
        self.messages.push(Message::new("user", said));
        let tokens = self.words.conversation(&self.messages)?;
        let same = common_prefix(self.generator.history(), &tokens);
        let same = self.generator.rewind(same);
        let done = answer::answer(
            &mut self.generator,
            self.words,
            &tokens[same..],
            &self.args.limits,
            (&self.bars, &self.cancel),
            &mut output::text,
        );
        match done {
            Ok(answer) => self.answered(answer, same),
            Err(CliError::Engine(e)) if matches!(*e, EngineError::ContextFull { .. }) => {
                self.messages.pop();
                output::note(&format!("{e} (/reset starts a new conversation)"));
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn answered(&mut self, answer: Answer, same: usize) -> Result<(), CliError> {
        output::line(if answer.ended == Ended::Cancelled { " …" } else { "" })?;
        if answer.ended == Ended::Context {
            output::note("the context is full (/reset starts a new conversation)");
        }
        if self.args.figures {
            output::note(&format!("[{same} tokens were in the cache; {}]", answer.figures()));
        }
        self.messages.push(Message::new("assistant", &answer.text));
        Ok(())
    }
}

/// How many tokens of `old` begin `new`, which keeps at least one to be run.
fn common_prefix(old: &[u32], new: &[u32]) -> usize {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    same.min(new.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::common_prefix;

    #[test]
    fn one_token_is_always_left_to_run() {
        for (old, new, same) in [
            (vec![], vec![1, 2], 0),
            (vec![1, 2], vec![1, 2, 3], 2),
            (vec![1, 2, 3], vec![1, 2, 3], 2),
            (vec![1, 9, 3], vec![1, 2, 3], 1),
            (vec![1, 2, 3, 4], vec![1, 2], 1),
        ] {
            assert_eq!(common_prefix(&old, &new), same, "{old:?} {new:?}");
        }
    }
}
