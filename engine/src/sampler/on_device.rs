//! What of a [`Sampling`] a device can do alone, so that nothing but the token's id has to come back.

use super::Sampling;

/// Most candidates that a device keeps of the vocabulary.
pub(crate) const LIST: usize = 64;
/// Most recent tokens that it keeps.
const WINDOW: usize = 1024;
/// Below it, noise is too coarse beside logits over the temperature.
const COLDEST: f32 = 1.0 / 64.0;

/// The likeliest token, or a draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OnDevice {
    /// Candidates that are kept, 1 to [`LIST`].
    pub keep: usize,
    /// Whether the draw is from all tokens, by the greatest of noisy scores.
    pub noise: bool,
    /// Whether tokens behind the candidates count too: then the filters may reach behind these, and nothing is chosen.
    pub whole: bool,
    /// 0 takes the likeliest.
    pub inverse_temperature: f32,
    /// As in [`Sampling`].
    pub top_p: f32,
    /// As in [`Sampling`].
    pub min_p: f32,
    /// As in [`Sampling`].
    pub penalty: f32,
    /// Recent tokens that are penalised; 0 without penalty.
    pub window: usize,
}

impl OnDevice {
    /// A device's way to choose; `None` where all logits are needed.
    pub fn of(sampling: &Sampling) -> Option<Self> {
        let Sampling { temperature, top_k, top_p, min_p, repetition_penalty: penalty, .. } = *sampling;
        let window = if penalty == 1.0 { 0 } else { sampling.repetition_window };
        let likeliest = Self {
            keep: 1,
            noise: false,
            whole: false,
            inverse_temperature: 0.0,
            top_p,
            min_p,
            penalty,
            window,
        };
        if window > WINDOW || top_k > LIST && temperature > 0.0 {
            return None;
        }
        if temperature == 0.0 {
            return Some(likeliest);
        }
        if temperature < COLDEST {
            return None;
        }
        let warm = Self { inverse_temperature: 1.0 / temperature, ..likeliest };
        Some(match top_k {
            0 if top_p >= 1.0 && min_p == 0.0 => Self { noise: true, ..warm },
            0 => Self { keep: LIST, whole: true, ..warm },
            k => Self { keep: k, ..warm },
        })
    }

    /// Whether it always comes to a choice, so that the next step can be under way before the choice is known.
    pub fn always_chooses(&self) -> bool {
        !self.whole
    }
}
