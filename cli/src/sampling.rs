//! The options that say how a token is chosen.

use engine::sampler::Sampling;

/// How to choose the next token; without any of these, the likeliest one.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all
    #[arg(long, default_value_t = 0, value_name = "K")]
    top_k: usize,
    /// Keeps the likeliest tokens whose probabilities reach this sum
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f32,
    /// Keeps tokens at least this fraction as likely as the likeliest
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    min_p: f32,
    /// Makes the latest tokens less likely; 1 does not
    #[arg(long, default_value_t = 1.0, value_name = "R")]
    repetition_penalty: f32,
    /// Equal seeds give equal texts
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    /// As the engine wants it.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            ..Sampling::default()
        }
    }
}
