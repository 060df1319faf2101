//! An encoder beside a decoder, as sequence-to-sequence models are exported: it reads a prompt once and gives the
//! decoder's session what all steps see of it.

use std::collections::BTreeMap;

use crate::{error::EngineError, host::HostTensor, session::Session, tensor_session::TensorSession};

/// Names that exporters give to one thing on both sides: of what is known, and of the input that takes it.
const ALIASES: [(&str, &str); 4] = [
    ("attention_mask", "encoder_attention_mask"),
    ("last_hidden_state", "encoder_hidden_states"),
    ("hidden_states", "encoder_hidden_states"),
    ("last_hidden_state", "encoder_outputs.last_hidden_state"),
];

/// See the module.
#[derive(Debug)]
pub struct Encoder {
    encoder: TensorSession,
    first: Option<TensorSession>,
}

impl Encoder {
    /// An encoder that returns the keys and values of the decoder's layers itself, or leaves these to `first`: the
    /// decoder that Optimum exports for the first step, `decoder_model.onnx`.
    #[must_use]
    pub fn new(encoder: TensorSession, first: Option<TensorSession>) -> Self {
        Self { encoder, first }
    }

    /// Runs the encoder on `inputs`, by name, such as `input_ids` and `attention_mask`, and gives the empty session of
    /// the decoder that was exported with a cache (`decoder_with_past_model.onnx`) what it is to remember. What is
    /// computed goes through the host, once a prompt. Decoding begins with the model's start token.
    ///
    /// # Errors
    /// When a model lacks an input, or the session wants what none of the models computes.
    pub fn read(
        &mut self,
        inputs: &BTreeMap<String, HostTensor>,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        let mut known = inputs.clone();
        known.extend(self.encoder.run(inputs)?);
        for (from, to) in ALIASES {
            if let Some(tensor) = known.get(from).cloned() {
                known.entry(to.to_owned()).or_insert(tensor);
            }
        }
        if let Some(first) = &mut self.first {
            // One token, whichever: keys and values of the encoder do not depend on it.
            let token = HostTensor::from_i64(vec![1, 1], &[0])?;
            let given = |name: &str| {
                let tensor = if name.contains("input_ids") { Some(&token) } else { known.get(name) };
                tensor.map(|t| (name.to_owned(), t.clone()))
            };
            let given: BTreeMap<_, _> = first.inputs().filter_map(given).collect();
            known.extend(first.run(&given)?);
        }
        let names: Vec<String> = session.model().memories().map(str::to_owned).collect();
        for name in names {
            let present = name.replace("past_key_values", "present").replace("past_", "present_");
            let computed = [&*name, &*present, name.trim_start_matches("input.")];
            let Some(tensor) = computed.into_iter().find_map(|n| known.get(n)) else {
                let found: Vec<&String> = known.keys().collect();
                let text = format!("nothing gives {name:?}, which the decoder wants; there are {found:?}");
                return Err(EngineError::model("encoder", text));
            };
            session.remember(&name, tensor)?;
        }
        Ok(())
    }
}
