//! Candidates in the whole model: its logits are to be those of the defaults.

use super::{Search, Taken};
use crate::{error::EngineError, tune::clock::Timed};

/// Logits may differ by so much of their mean square, which even sums of f16 in another order do not come near.
const NOISE: f64 = 1e-2;

impl Search<'_> {
    /// The model with some candidates, whose logits are those of the defaults. Candidates that change them, or that cannot be
    /// run, are struck and taken out; `None` where none is left.
    pub(super) fn agreeing(
        &mut self,
        taken: &mut Taken,
        base: &mut Timed,
        logits: &[f32],
    ) -> Result<Option<Timed>, EngineError> {
        while !taken.is_empty() {
            let text = match self.with(taken, logits) {
                Ok(timed) => return Ok(Some(timed)),
                Err(text) => text,
            };
            // If the defaults fail too, it is not the candidates' fault.
            differ(&base.logits()?, logits).map_err(|text| EngineError::model("tune", text))?;
            let mut guilty: Vec<(String, String)> = Vec::new();
            for (problem, variant) in taken.iter().filter(|_| taken.len() > 1) {
                let alone = [(problem.clone(), variant.clone())].into();
                guilty.extend(self.with(&alone, logits).err().map(|text| (problem.clone(), text)));
            }
            if guilty.is_empty() {
                guilty = taken.keys().map(|problem| (problem.clone(), text.clone())).collect();
            }
            for (problem, text) in guilty {
                if let Some(variant) = taken.remove(&problem) {
                    self.strike(&problem, &variant, format!("the model, {problem}"), text);
                }
            }
            taken.retain(|problem, variant| {
                !self.record.is_struck(self.problems[problem].problem.family, variant)
            });
        }
        Ok(None)
    }

    /// The model with some candidates, if its logits are those of the defaults.
    fn with(&self, taken: &Taken, logits: &[f32]) -> Result<Timed, String> {
        let timed = self.model.choosing(self.choices(taken)).and_then(Timed::new);
        let mut timed = timed.map_err(|e| e.to_string())?;
        differ(&timed.logits().map_err(|e| e.to_string())?, logits)?;
        Ok(timed)
    }
}

/// Whether logits are those of the defaults but for rounding; in words where they are not.
fn differ(got: &[f32], want: &[f32]) -> Result<(), String> {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let wide = |v: &f32| f64::from(*v);
    let whole = square(&mut want.iter().map(wide));
    if !whole.is_finite() {
        return Ok(()); // A model that overflows tells nothing.
    }
    let error = square(&mut got.iter().zip(want).map(|(a, b)| wide(a) - wide(b)));
    if got.len() == want.len() && error <= NOISE * whole {
        return Ok(());
    }
    Err(format!(
        "logits differ by {:.1} % of their mean square from those of the defaults",
        100.0 * error / whole
    ))
}

#[cfg(test)]
mod tests {
    use super::differ;

    #[test]
    fn rounding_is_no_difference() {
        assert_eq!(differ(&[1.0, -2.0, 3.001], &[1.0, -2.0, 3.0]), Ok(()));
        assert!(differ(&[1.0, -2.0, 0.0], &[1.0, -2.0, 3.0]).is_err());
        assert!(differ(&[1.0, f32::NAN, 3.0], &[1.0, -2.0, 3.0]).is_err());
        assert!(differ(&[1.0, -2.0], &[1.0, -2.0, 3.0]).is_err());
        assert_eq!(differ(&[f32::NAN], &[f32::NAN]), Ok(()));
    }
}
