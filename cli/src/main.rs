//! The `halfbyte` program: language models exported from PyTorch to ONNX, on the GPU. One file for each command.

mod answer;
mod bars;
mod bench;
mod cancel;
mod chat;
mod devices;
mod error;
mod figures;
mod fill_weights;
mod infer;
mod inspect;
mod known;
mod model;
mod output;
mod qualify;
mod quantize;
mod run;
mod sampling;
mod start;
mod tensor_file;
mod tune;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;

/// Runs language models exported from PyTorch to ONNX on the GPU, at half a byte per weight.
#[derive(Debug, Parser)]
#[command(name = "halfbyte", version, max_term_width = 110)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer one prompt
    Run(run::Args),
    /// Talk with a model
    Chat(chat::Args),
    /// Run any ONNX model once, with tensors from files
    Infer(infer::Args),
    /// Show what a model is made of, and what would happen on a GPU; needs no GPU
    Inspect(inspect::Args),
    /// Pack a model's weights into one file that starts at once
    Quantize(quantize::Args),
    /// Show the GPUs of this machine
    Devices(devices::Args),
    /// Measure prefill and decode throughput
    Bench(bench::Args),
    /// Find the fastest kernels for a model on this GPU
    Tune(tune::Args),
    /// Fill the external data of an exported graph from a GGUF file
    #[command(hide = true)]
    FillWeights(fill_weights::Args),
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Infer(args) => infer::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::FillWeights(args) => fill_weights::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(if matches!(error, CliError::Usage(_)) { 2 } else { 1 })
        }
    }
}
