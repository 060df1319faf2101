//! Throughput over a long time, in which a phone gets hot.

use std::time::{Duration, Instant};

use engine::{EngineError, generate::Generator};

use crate::{Sample, Sustained, Test, Thermometer};

/// Repeats a test for a while, in a session whose content is lost. `progress` hears the seconds that are over, of all; when it
/// returns false, what was measured so far is returned.
///
/// # Errors
/// When the session has too little room, or the GPU fails.
pub fn sustain(
    generator: &mut Generator,
    test: Test,
    time: Duration,
    thermometer: &Thermometer,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Sustained, EngineError> {
    generator.rewind(0);
    let mut samples = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time || samples.is_empty() {
        let seconds = test.once(generator)?.whole.as_secs_f64();
        let rate = test.tokens as f64 / seconds.max(1e-9);
        samples.push(Sample { seconds, rate, heat: thermometer.read() });
        if !progress(began.elapsed().as_secs().min(time.as_secs()), time.as_secs()) {
            break;
        }
    }
    let tenth = samples.len().div_ceil(10);
    let (first, last) = (mean(test, &samples[..tenth]), mean(test, &samples[samples.len() - tenth..]));
    Ok(Sustained { test: test.to_string(), samples, first, last })
}

/// Tokens a second over several repetitions.
fn mean(test: Test, samples: &[Sample]) -> f64 {
    (test.tokens * samples.len()) as f64 / samples.iter().map(|s| s.seconds).sum::<f64>().max(1e-9)
}
