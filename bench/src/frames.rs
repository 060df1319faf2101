//! Whether a screen stays alive: frames that come due at a steady rate on a queue of their own, while prompts are run.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use engine::{
    EngineError,
    generate::Generator,
    gpu::{FrameWork, Gpu},
};
use serde::{Deserialize, Serialize};

use crate::{Statistics, Test};

/// Time from frame to frame: 60 of them a second.
const PERIOD: Duration = Duration::from_nanos(16_666_667);
/// GPU time of a frame.
const WORK: Duration = Duration::from_millis(1);

/// How frames fared under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameTimes {
    /// What else the GPU did.
    pub load: String,
    /// Milliseconds from when a frame was due to its end.
    pub ms: Statistics,
    /// The part of the frames that ended after the next one was due.
    pub late: f64,
    /// The part of the frames that was left out, since the one before was not done.
    pub dropped: f64,
    /// Tokens a second of the load.
    pub rate: Option<f64>,
}

/// A load.
#[derive(Debug)]
pub struct Load<'a> {
    /// In words.
    pub name: String,
    /// A session, whose content is lost.
    pub generator: &'a mut Generator,
    /// What is run in it over and over.
    pub test: Test,
}

/// Frames while a load runs, or none, for a while.
///
/// # Errors
/// When a session has too little room, or the GPU fails.
pub fn frames(screen: &Gpu, load: Option<Load<'_>>, time: Duration) -> Result<FrameTimes, EngineError> {
    let work = FrameWork::new(screen, WORK)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(screen, &work, &done));
        let began = Instant::now();
        let (name, ran) = match load {
            None => {
                thread::sleep(time);
                ("nothing".to_owned(), Ok(None))
            }
            Some(Load { name, generator, test }) => {
                generator.rewind(0);
                let mut tokens = 0;
                let ran = loop {
                    match test.once(generator) {
                        Ok(_) => tokens += test.tokens,
                        Err(e) => break Err(e),
                    }
                    if began.elapsed() >= time {
                        break Ok(Some(tokens as f64 / began.elapsed().as_secs_f64()));
                    }
                };
                (name, ran)
            }
        };
        done.store(true, Relaxed);
        let watched = watching.join().unwrap_or_else(|e| std::panic::resume_unwind(e))?;
        watched.told(name, ran?).ok_or_else(|| EngineError::model("bench", "no frame ended in this time"))
    })
}

#[derive(Debug, Default)]
struct Watched {
    ms: Vec<f64>,
    dropped: usize,
}

/// Does frames when they are due; one that is due before the last is done is left out.
fn watch(screen: &Gpu, work: &FrameWork, done: &AtomicBool) -> Result<Watched, EngineError> {
    let mut watched = Watched::default();
    let mut due = Instant::now() + PERIOD;
    while !done.load(Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        work.run(screen)?;
        let now = Instant::now();
        watched.ms.push((now - due).as_secs_f64() * 1e3);
        due += PERIOD;
        while due < now {
            due += PERIOD;
            watched.dropped += 1;
        }
    }
    Ok(watched)
}

impl Watched {
    fn told(self, load: String, rate: Option<f64>) -> Option<FrameTimes> {
        let ms = Statistics::of(&self.ms)?;
        let period = PERIOD.as_secs_f64() * 1e3;
        let late = self.ms.iter().filter(|ms| **ms > period).count() as f64 / ms.count as f64;
        let dropped = self.dropped as f64 / (ms.count + self.dropped) as f64;
        Some(FrameTimes { load, ms, late, dropped, rate })
    }
}

/// Several loads, one a line. `Display` makes a Markdown table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameReport(pub Vec<FrameTimes>);

impl fmt::Display for FrameReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "frames of 1 ms of GPU time, 60 a second, while the GPU does:\n")?;
        writeln!(
            f,
            "| load | frames | median ms | p5 ms | p95 ms | longest ms | late | dropped | t/s of the load |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for FrameTimes { load, ms, late, dropped, rate } in &self.0 {
            let rate = rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
            let [late, dropped] = [late, dropped].map(|part| format!("{:.1} %", part * 100.0));
            writeln!(
                f,
                "| {load} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {late} | {dropped} | {rate} |",
                ms.count, ms.median, ms.p5, ms.p95, ms.greatest
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameReport, Watched};

    #[test]
    fn late_and_dropped_frames_are_counted() {
        let watched = Watched { ms: vec![2.0, 3.0, 20.0, 40.0], dropped: 4 };
        let told = watched.told("prefill".to_owned(), Some(12.0)).unwrap();
        assert_eq!((told.late, told.dropped), (0.5, 0.5));
        let text = FrameReport(vec![told]).to_string();
        assert!(
            text.ends_with("| prefill | 4 | 11.5 | 2.1 | 37.0 | 40.0 | 50.0 % | 50.0 % | 12.0 |\n"),
            "{text}"
        );
        assert!(Watched::default().told(String::new(), None).is_none());
    }
}
