//! `halfbyte run`: one prompt, one answer, streamed; figures at the end.

use std::{fs, path::PathBuf};

use engine::{generate::Generator, session::Session};
use serde_json::json;
use text::Message;

use crate::{
    answer::{self, LimitArgs},
    bars::Bars,
    cancel::Cancel,
    error::CliError,
    figures::{memory, memory_text},
    model::ModelArgs,
    output,
    sampling::SamplingArgs,
    words::Words,
};

/// Answer one prompt.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct PromptArgs {
    /// What to say to the model
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    prompt: Option<String>,
    /// Read it from a file
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompt_file: Option<PathBuf>,
    /// Continue the prompt as plain text, without the chat template
    #[arg(long, conflicts_with = "system")]
    raw: bool,
    /// A system message before the prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
}

impl PromptArgs {
    fn tokens(&self, words: &Words) -> Result<Vec<u32>, CliError> {
        let text = match (&self.prompt, &self.prompt_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => fs::read_to_string(path).map_err(CliError::file(path))?,
            (None, None) => String::new(),
        };
        if self.raw {
            return words.plain(&text);
        }
        let mut messages: Vec<Message> = self.system.iter().map(|s| Message::new("system", s)).collect();
        messages.push(Message::new("user", &text));
        words.conversation(&messages)
    }
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let cancel = Cancel::watch()?;
    let bars = Bars::default();
    let starting = args.model.start();
    let file = args.model.open()?;
    let words = Words::open(&file)?;
    let prompt = args.prompt.tokens(&words)?;
    if prompt.is_empty() {
        return Err(CliError::Usage("the prompt is empty: there is nothing to continue".to_owned()));
    }
    let context = args.model.context(words.limit)?;
    if prompt.len() >= context {
        return Err(CliError::other(format!(
            "the prompt has {} tokens, the context holds {context}, an answer included: {}",
            prompt.len(),
            if words.limit.is_some_and(|limit| limit > context) {
                "shorten the prompt or raise --context"
            } else {
                "shorten the prompt"
            }
        )));
    }
    let (model, mut start) = args.model.load(&file, starting, context, &bars)?;
    let capacity = context.min(prompt.len() + args.limits.max_tokens);
    let session = Session::new(model.clone(), capacity)?;
    let mut generator = Generator::new(session, args.sampling.sampling())?;
    start.end(&model);
    let mut emit = |piece: &str| if args.json { Ok(()) } else { output::text(piece) };
    let answer = answer::answer(&mut generator, &words, &prompt, &args.limits, (&bars, &cancel), &mut emit)?;
    let memory = memory(generator.session());
    if args.json {
        let mut report = answer.json();
        report["start"] = output::value(&start.times())?;
        report["memory"] = output::value(&memory)?;
        report["device"] = json!(model.gpu().summary().adapter.name);
        return output::json(&report);
    }
    output::line("")?;
    output::note(&format!("\n{}\n{}\n{}", answer.figures(), start.text(), memory_text(&memory)));
    Ok(())
}
