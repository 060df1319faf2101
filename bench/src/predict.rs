//! What a phone could do at most with a model, from the plan's bytes and operations and the published rates of its GPU. It is
//! a prediction: nothing of it was measured, and no kernel reaches all of a GPU's bandwidth or arithmetic.

use std::fmt;

use devices::Profile;
use engine::{
    EngineError,
    language::{LanguageModel, LanguageOptions, Phase, Symbols},
    plan::Work,
};
use serde::Serialize;

use crate::{
    Kind,
    rivals::{RIVALS, Rival},
};

/// The fractions of the published rates for which tokens a second are told.
const FRACTIONS: [f64; 2] = [1.0, 0.6];

/// A published rate, and who says so.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Published {
    /// Bytes or operations a second.
    pub rate: f64,
    /// The source.
    pub source: &'static str,
}

/// One kind of step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Predicted {
    /// Prefill of a chunk, or decode of a token.
    pub kind: Kind,
    /// Tokens of the step.
    pub tokens: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// Bytes that its kernels move.
    pub bytes: u64,
    /// Operations that they do.
    pub flops: u64,
    /// Tokens a second if every kernel reached the lower of its two limits; nothing where a rate that it needs is unknown.
    pub limit: Option<f64>,
    /// The part of that time in which arithmetic is the limit, if both rates are known.
    pub by_arithmetic: Option<f64>,
}

/// A prediction. `Display` makes a Markdown table.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The profile's name.
    pub profile: &'static str,
    /// Memory bandwidth.
    pub bandwidth: Option<Published>,
    /// Arithmetic in f32, in which our kernels add up.
    pub arithmetic: Option<Published>,
    /// Whether that is half of what is published for f16, for want of the other.
    pub halved: bool,
    /// By kind of step.
    pub steps: Vec<Predicted>,
    /// What others published about this GPU, with models of their own.
    pub rivals: Vec<&'static Rival>,
}

/// Plans a model, with options made for the profile, and predicts a chunk of prefill and a step of decode at each depth.
///
/// # Errors
/// When the model cannot be planned.
pub fn predict(
    model: &LanguageModel,
    profile: &'static Profile,
    options: &LanguageOptions,
    chunk: usize,
    depths: &[usize],
) -> Result<Prediction, EngineError> {
    let chunk = chunk.clamp(2, options.context.max(2));
    let published = |value: f64, source| Published { rate: value, source };
    let bandwidth = profile.bandwidth.map(|b| published(b.value * 1e9, b.source));
    let single = profile.f32_tflops.map(|t| published(t.value * 1e12, t.source));
    let half = profile.f16_tflops.map(|t| published(t.value * 0.5e12, t.source));
    let arithmetic = single.or(half);
    let halved = single.is_none() && half.is_some();
    let prefill = model.prepare(Phase::Prefill { chunk }, options)?.plan;
    let decode = model.prepare(Phase::Decode, options)?.plan;
    let mut steps = Vec::new();
    for depth in depths {
        for (kind, plan, tokens) in [(Kind::Prefill, &prefill, chunk), (Kind::Decode, &decode, 1)] {
            let bindings = Symbols::new(tokens, options.context).bindings(tokens, *depth, options.context);
            let works = (0..plan.calls.len()).map(|call| plan.work(call, &bindings));
            let works: Vec<Work> = works.collect::<Result<_, _>>()?;
            let Work { bytes, flops } = works.iter().copied().sum();
            let (seconds, by_arithmetic) = match (bandwidth, arithmetic) {
                (Some(bandwidth), Some(arithmetic)) => {
                    let (seconds, computing) = limit(&works, bandwidth.rate, arithmetic.rate);
                    (seconds, Some(computing))
                }
                // One token's operations are few: bytes are the limit on every GPU of which both rates are known.
                (Some(bandwidth), None) if kind == Kind::Decode => (bytes as f64 / bandwidth.rate, None),
                _ => (0.0, None),
            };
            let limit = (seconds > 0.0).then(|| tokens as f64 / seconds);
            steps.push(Predicted { kind, tokens, depth: *depth, bytes, flops, limit, by_arithmetic });
        }
    }
    let rivals = RIVALS.iter().filter(|rival| rival.profile == profile.name).collect();
    Ok(Prediction { profile: profile.name, bandwidth, arithmetic, halved, steps, rivals })
}

/// Seconds of kernels one after the other, each at its own limit, and the part of them in which that is arithmetic.
fn limit(works: &[Work], bandwidth: f64, arithmetic: f64) -> (f64, f64) {
    let (mut seconds, mut computing) = (0.0, 0.0);
    for work in works {
        let (moving, adding) = (work.bytes as f64 / bandwidth, work.flops as f64 / arithmetic);
        seconds += moving.max(adding);
        computing += if adding > moving { adding } else { 0.0 };
    }
    (seconds, if seconds > 0.0 { computing / seconds } else { 0.0 })
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "PREDICTION for {}, not a measurement: from bytes and operations of the plan",
            self.profile
        )?;
        let arithmetic =
            if self.halved { "arithmetic in f32, half of that in f16" } else { "arithmetic in f32" };
        for (what, unit, published) in
            [("bandwidth", "GB/s", self.bandwidth), (arithmetic, "GFLOP/s", self.arithmetic)]
        {
            match published {
                Some(Published { rate, source }) => {
                    writeln!(f, "{what}: {:.1} {unit} ({source})", rate / 1e9)?;
                }
                None => writeln!(f, "{what}: nobody has published it")?,
            }
        }
        writeln!(
            f,
            "\n| step | tokens | depth | MB | GFLOP | tokens/s at {:.0} % of both | at {:.0} % | limited by arithmetic |",
            FRACTIONS[0] * 100.0,
            FRACTIONS[1] * 100.0
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for step in &self.steps {
            let Predicted { kind, tokens, depth, bytes, flops, limit, by_arithmetic } = step;
            let rate = |fraction: f64| limit.map_or("unknown".to_owned(), |l| format!("{:.1}", l * fraction));
            let computing = by_arithmetic
                .map_or("unknown".to_owned(), |part| format!("{:.0} % of the time", part * 100.0));
            writeln!(
                f,
                "| {kind} | {tokens} | {depth} | {:.1} | {:.2} | {} | {} | {computing} |",
                *bytes as f64 / 1e6,
                *flops as f64 / 1e9,
                rate(FRACTIONS[0]),
                rate(FRACTIONS[1]),
            )?;
        }
        if self.rivals.is_empty() {
            return writeln!(f, "\nNobody's numbers are known for this GPU.");
        }
        writeln!(f, "\nPublished by others, with models of their own:\n")?;
        writeln!(f, "| engine | device | model | prefill | decode | source |")?;
        writeln!(f, "|---|---|---|---:|---:|---|")?;
        for Rival { engine, device, model, prefill, decode, source, .. } in &self.rivals {
            let shown = |rate: &Option<f64>| rate.map_or("-".to_owned(), |r| r.to_string());
            let (prefill, decode) = (shown(prefill), shown(decode));
            writeln!(f, "| {engine} | {device} | {model} | {prefill} | {decode} | {source} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine::plan::Work;

    use super::{Predicted, Prediction, Published, RIVALS, limit};
    use crate::Kind;

    #[test]
    fn each_kernel_is_at_its_own_limit() {
        let works = [Work { bytes: 30, flops: 10 }, Work { bytes: 10, flops: 90 }];
        // 3 seconds to move, then 9 to add; together they would take 10 to add.
        assert_eq!(limit(&works, 10.0, 10.0), (12.0, 0.75));
        assert_eq!(limit(&[], 10.0, 10.0), (0.0, 0.0));
    }

    #[test]
    fn rivals_are_of_known_profiles() {
        for rival in RIVALS {
            assert!(devices::by_name(rival.profile).is_ok(), "{}", rival.profile);
            assert!(rival.prefill.is_some() || rival.decode.is_some(), "{}", rival.source);
        }
    }

    #[test]
    fn a_prediction_says_that_it_is_one() {
        let step = Predicted {
            kind: Kind::Decode,
            tokens: 1,
            depth: 0,
            bytes: 100_000_000,
            flops: 1_000_000_000,
            limit: Some(500.0),
            by_arithmetic: Some(0.25),
        };
        let bandwidth = Some(Published { rate: 50e9, source: "a handbook" });
        let shown = Prediction {
            profile: "p",
            bandwidth,
            arithmetic: None,
            halved: false,
            steps: vec![step],
            rivals: vec![],
        };
        let shown = shown.to_string();
        assert!(shown.starts_with("PREDICTION for p, not a measurement"), "{shown}");
        assert!(shown.contains("bandwidth: 50.0 GB/s (a handbook)\narithmetic in f32: nobody"), "{shown}");
        assert!(
            shown.contains("| decode | 1 | 0 | 100.0 | 1.00 | 500.0 | 300.0 | 25 % of the time |"),
            "{shown}"
        );
    }
}
