//! Progress: a bar on a terminal, elsewhere a line now and then.

use std::{
    io::{IsTerminal, stderr},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use engine::session::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(20);

/// One bar at a time; a new name begins a new one.
#[derive(Debug, Default)]
pub struct Bars {
    current: Mutex<Option<(&'static str, ProgressBar)>>,
    /// When the last line was written, or the first could have been.
    line: Mutex<Option<Instant>>,
    /// Whether weights are still on their way.
    uploading: AtomicBool,
}

impl Bars {
    /// Shows that `done` of `total` of `what` are done.
    pub fn show(&self, what: &'static str, done: u64, total: u64) {
        if !stderr().is_terminal() {
            self.line(what, done, total);
            return;
        }
        let Ok(mut current) = self.current.lock() else { return };
        if current.as_ref().is_none_or(|(name, _)| *name != what) {
            if let Some((_, old)) = current.take() {
                old.finish_and_clear();
            }
            *current = Some((what, bar(what, total)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn line(&self, what: &str, done: u64, total: u64) {
        let Ok(mut last) = self.line.lock() else { return };
        if last.get_or_insert_with(Instant::now).elapsed() >= LINES {
            output::note(&format!("{what}: {done} of {total}"));
            *last = Some(Instant::now());
        }
    }

    /// Shows the progress of loading: of the weights, and then of the kernels that are not made meanwhile.
    pub fn loading(&self, progress: Progress) {
        match progress {
            Progress::Weights { done, total } => {
                self.uploading.store(done < total, Relaxed);
                self.show("weights", done, total);
            }
            Progress::Pipelines { .. } if self.uploading.load(Relaxed) => {}
            Progress::Pipelines { done, total } => self.show("kernels", done as u64, total as u64),
        }
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        let Ok(mut current) = self.current.lock() else { return };
        if let Some((_, bar)) = current.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{prefix:>8} [{bar:40}] {percent:>3}% {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
