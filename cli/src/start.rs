//! Starting: the GPU is opened while the model's file is read, and what all of it took is told.

use std::{
    panic::resume_unwind,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bench::StartTimes;
use engine::{
    gpu::Gpu,
    session::{LoadTimes, LoadedModel},
};

use crate::{error::CliError, model::GpuArgs};

type Opened = (Result<Gpu, CliError>, Duration);

/// A start that has begun.
#[derive(Debug)]
pub struct Starting {
    began: Instant,
    gpu: Option<JoinHandle<Opened>>,
}

impl Starting {
    /// Begins to open a GPU.
    pub fn new(gpu: &GpuArgs) -> Self {
        let (began, gpu) = (Instant::now(), gpu.clone());
        Self { began, gpu: Some(thread::spawn(move || (gpu.open(), began.elapsed()))) }
    }

    /// The GPU, now that the file has been read.
    pub fn gpu(mut self) -> Result<(Arc<Gpu>, Start), CliError> {
        let read = self.began.elapsed();
        let Some(opened) = self.join() else { return Err(CliError::other("the GPU is open already")) };
        let gpu = Arc::new(opened.0?);
        let load = LoadTimes::default();
        let warm = gpu.kept_pipelines();
        Ok((
            gpu,
            Start {
                began: self.began,
                read,
                gpu_open: opened.1,
                load,
                warm,
                tune: Duration::ZERO,
                whole: Duration::ZERO,
            },
        ))
    }

    fn join(&mut self) -> Option<Opened> {
        Some(self.gpu.take()?.join().unwrap_or_else(|e| resume_unwind(e)))
    }
}

impl Drop for Starting {
    /// A driver that is left alone while it starts may fail when the program ends.
    fn drop(&mut self) {
        self.join();
    }
}

/// What a start took.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    began: Instant,
    /// The file, its graph and its tokenizer.
    read: Duration,
    /// The GPU, beside that.
    gpu_open: Duration,
    load: LoadTimes,
    /// Whether pipelines that an earlier start compiled were at hand.
    warm: bool,
    /// The search for faster kernels.
    pub tune: Duration,
    whole: Duration,
}

impl Start {
    /// Ends now, when the model has a session.
    pub fn end(&mut self, model: &LoadedModel) {
        self.load = model.times();
        self.whole = self.began.elapsed();
    }

    /// In words.
    pub fn text(&self) -> String {
        let times = self.times();
        let tune = match times.tune_seconds {
            0.0 => String::new(),
            seconds => format!(", tuning {seconds:.2} s"),
        };
        format!(
            "{} start in {:.2} s: read {:.2} s beside GPU {:.2} s, plan {:.2} s, weights {:.2} s beside pipelines {:.2} s{tune}",
            times.kind,
            times.seconds,
            times.read_seconds,
            times.gpu_seconds,
            times.plan_seconds,
            times.upload_seconds,
            times.pipelines_seconds
        )
    }

    /// In numbers.
    pub fn times(&self) -> StartTimes {
        let LoadTimes { plan, upload, pipelines, .. } = self.load;
        let [
            seconds,
            read_seconds,
            gpu_seconds,
            plan_seconds,
            upload_seconds,
            pipelines_seconds,
            tune_seconds,
        ] = [self.whole, self.read, self.gpu_open, plan, upload, pipelines, self.tune]
            .map(|d| d.as_secs_f64());
        StartTimes {
            kind: if self.warm { "warm" } else { "cold" }.to_owned(),
            seconds,
            read_seconds,
            gpu_seconds,
            plan_seconds,
            upload_seconds,
            pipelines_seconds,
            tune_seconds,
        }
    }
}
