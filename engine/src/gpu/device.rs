//! An open device: its queue, its limits, and its errors, none of which is lost.

use std::{
    collections::HashMap,
    error::Error as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use devices::{Capabilities, Profile, Target, WeightMemory};
use shaders::KernelSpec;

use super::{
    Buffer, Counters, CpuTimes, DeviceSummary, GpuError, Pipeline, SubmitTimes,
    buffer::PATIENCE,
    costs::{Costs, Part},
    disk::DiskCache,
    recall::Recall,
    replay::Recorder,
    upload::Staged,
    vulkan::Offer,
};
use crate::op;

/// An open GPU.
#[derive(Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    target: Target,
    summary: DeviceSummary,
    offer: Offer,
    disk: Option<DiskCache>,
    recorder: Option<Recorder>,
    counters: Counters,
    faults: Arc<Faults>,
    pipelines: Mutex<HashMap<KernelSpec, Arc<Pipeline>>>,
    staging: Mutex<Option<Buffer>>,
    staged: Mutex<Staged>,
    costs: Costs,
    max_submit: Duration,
    idle: Mutex<Option<Idle>>,
    choices: Mutex<Arc<op::Choices>>,
    recall: Recall,
    integer_products: bool,
}

/// When the GPU was seen to be done with something last.
#[derive(Clone, Copy, Debug)]
struct Idle {
    since: Instant,
    /// Whether it was waited for, so that it was not done long before.
    exact: bool,
}

/// What went wrong outside of any call that could say so.
#[derive(Debug, Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    refused: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error's causes, from the call down to what was wrong in it.
fn tell(error: &wgpu::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(each) = cause {
        let each_text = each.to_string();
        // Some causes repeat their own cause in full.
        if !text.ends_with(each_text.trim()) {
            let between = if text.is_empty() { "" } else { ": " };
            text.push_str(between);
            text.push_str(each_text.trim());
        }
        cause = each.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

impl Gpu {
    pub(super) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        target: Target,
        summary: DeviceSummary,
        offer: Offer,
        disk: Option<DiskCache>,
        max_submit: Option<Duration>,
    ) -> Self {
        let recall = Recall::open(&summary.adapter, None).0;
        let max_submit = max_submit.unwrap_or(Duration::from_millis(target.profile.max_submit_ms.into()));
        let faults = Arc::new(Faults::default());
        let refused = faults.clone();
        // The first fault is the cause; later ones follow from it.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&refused.refused).get_or_insert_with(|| tell(&error));
        }));
        let lost = faults.clone();
        device.set_device_lost_callback(move |reason, text| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&lost.lost).get_or_insert(text);
            }
        });
        Self {
            device,
            queue,
            target,
            summary,
            offer,
            disk,
            recorder: None,
            counters: Counters::default(),
            faults,
            pipelines: Mutex::default(),
            staging: Mutex::default(),
            staged: Mutex::default(),
            costs: Costs::default(),
            max_submit,
            idle: Mutex::default(),
            choices: Mutex::default(),
            recall,
            integer_products: false,
        }
    }

    pub(super) fn recalling(mut self, recall: Recall) -> Self {
        self.recall = recall;
        self.choose_by(self.record().choices());
        self
    }

    pub(super) fn recording(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// What records steps once for all, where the backend can and it was not declined.
    pub(super) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    pub(super) fn recall(&self) -> &Recall {
        &self.recall
    }

    /// Prefers what another kind of device does, as far as this one can: to run a phone's kernels elsewhere.
    #[must_use]
    pub fn acting_as(mut self, profile: &'static Profile) -> Self {
        let Target { limits, f16, coop, subgroups, .. } = self.target;
        let (features, coop) = (self.device.features(), coop.map(|c| c.size));
        // Where products of integers are no instruction, they are spelled out.
        let live = Capabilities { limits, features, subgroups, f16, coop, integer_dot: None };
        self.target = Target::from_live(profile, live);
        self
    }

    /// Whether plans may let products round what they multiply to 8 bits.
    #[must_use]
    pub fn with_integer_products(mut self, wanted: bool) -> Self {
        self.integer_products = wanted;
        self
    }

    /// Holds packed matrices in this from now on, where there is a choice, whatever the profile prefers.
    #[must_use]
    pub fn with_weights(mut self, memory: WeightMemory) -> Self {
        self.target.weights = memory;
        self
    }

    /// What the device offers and its profile prefers.
    #[must_use]
    pub fn offers(&self) -> &Target {
        &self.target
    }

    /// What lowering has to know of it.
    #[must_use]
    pub fn target(&self) -> op::Target {
        let (choices, integer_products) = (lock(&self.choices).clone(), self.integer_products);
        op::Target { choices, integer_products, ..op::Target::from(&self.target) }
    }

    /// Lets plans that are made from now on follow what tuning and qualification know.
    pub fn choose_by(&self, choices: op::Choices) {
        *lock(&self.choices) = Arc::new(choices);
    }

    /// What was opened and how.
    #[must_use]
    pub fn summary(&self) -> &DeviceSummary {
        &self.summary
    }

    /// Features of the device that are on, by name.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        self.device.features().iter_names().map(|(name, _)| name.to_owned()).collect()
    }

    /// Totals of what was asked of the device.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// CPU time that steps have taken.
    #[must_use]
    pub fn cpu_times(&self) -> CpuTimes {
        self.costs.cpu()
    }

    /// How long the submissions of steps have kept the GPU, as far as they were waited for.
    #[must_use]
    pub fn submit_times(&self) -> SubmitTimes {
        self.costs.submits()
    }

    /// How long a submission should keep the GPU at most; 0 submits each step as one.
    #[must_use]
    pub fn max_submit(&self) -> Duration {
        self.max_submit
    }

    pub(crate) fn costs(&self) -> &Costs {
        &self.costs
    }

    /// Since when the GPU has worked on what was submitted at `began` and is done `now`, and whether that is exact.
    pub(super) fn busy_since(&self, began: Instant, now: Instant, seen: bool) -> (Instant, bool) {
        let before = lock(&self.idle).replace(Idle { since: now, exact: seen });
        match before {
            Some(idle) if idle.since > began => (idle.since, idle.exact),
            _ => (began, true),
        }
    }

    /// What offsets of bindings, storage and uniform, must be multiples of.
    #[must_use]
    pub fn offset_alignment(&self) -> u64 {
        let limits = &self.target.limits;
        limits.min_storage_buffer_offset_alignment.max(limits.min_uniform_buffer_offset_alignment).into()
    }

    pub(super) fn disk(&self) -> Option<&DiskCache> {
        self.disk.as_ref()
    }

    /// What the driver has and wgpu does not name.
    pub(super) fn offer(&self) -> &Offer {
        &self.offer
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    pub(super) fn pipelines(&self) -> MutexGuard<'_, HashMap<KernelSpec, Arc<Pipeline>>> {
        lock(&self.pipelines)
    }

    pub(super) fn staging_slot(&self) -> MutexGuard<'_, Option<Buffer>> {
        lock(&self.staging)
    }

    pub(super) fn staged(&self) -> MutexGuard<'_, Staged> {
        lock(&self.staged)
    }

    /// Does something with the device and catches what goes wrong in it, on this thread, as text.
    pub(super) fn guarded<T>(&self, work: impl FnOnce(&wgpu::Device) -> T) -> (T, Option<String>) {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [Validation, OutOfMemory, Internal].map(|filter| self.device.push_error_scope(filter));
        let made = work(&self.device);
        let mut failed = None;
        // Scopes are a stack: the last one pushed is popped first.
        for scope in scopes.into_iter().rev() {
            failed = pollster::block_on(scope.pop()).or(failed);
        }
        (made, failed.map(|error| tell(&error)))
    }

    /// A recorder of commands.
    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Hands recorded commands to the GPU; buffer writes made before come first.
    ///
    /// # Errors
    /// When a command, or an earlier write, was refused, or the device is lost.
    pub(super) fn submit(
        &self,
        encoders: impl IntoIterator<Item = wgpu::CommandEncoder>,
    ) -> Result<wgpu::SubmissionIndex, GpuError> {
        // What is recorded is only gathered before: the driver gets it here.
        let (submission, failed) = self.guarded(|_| {
            let commands: Vec<_> = self
                .costs
                .time(Part::Record, || encoders.into_iter().map(wgpu::CommandEncoder::finish).collect());
            self.costs.time(Part::Submit, || self.queue.submit(commands))
        });
        self.staged().submitted(&submission);
        self.counters.submitted();
        self.check()?;
        failed.map_or(Ok(submission), |text| Err(GpuError::Command(text)))
    }

    /// Starts pending buffer writes and waits for them, so that their staging memory is given back.
    ///
    /// # Errors
    /// When a write was refused, the device is lost, or it takes ten minutes.
    pub fn flush(&self) -> Result<(), GpuError> {
        self.queue.submit([]);
        self.wait(PATIENCE)?;
        self.staged().done();
        Ok(())
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// When that takes longer than `patience`, or the device is lost.
    pub fn wait(&self, patience: Duration) -> Result<(), GpuError> {
        self.poll(None, patience)
    }

    /// Waits until a submission is done, and what was submitted before it.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub(super) fn wait_for(
        &self,
        submission: wgpu::SubmissionIndex,
        patience: Duration,
    ) -> Result<(), GpuError> {
        self.poll(Some(submission), patience)
    }

    fn poll(&self, submission: Option<wgpu::SubmissionIndex>, patience: Duration) -> Result<(), GpuError> {
        let polled = self.polled(submission, patience);
        self.check()?;
        match polled {
            Some(Ok(_)) => Ok(()),
            Some(Err(wgpu::PollError::Timeout)) => Err(GpuError::Timeout { seconds: patience.as_secs() }),
            Some(Err(error)) => Err(GpuError::Command(error.to_string())),
            None => Err(GpuError::Lost("the driver gave up while it was waited for".to_owned())),
        }
    }

    /// Waits until a submission is done, or all are; `None` where wgpu 30 panics, which it does when the driver says meanwhile
    /// that the device is lost.
    pub(super) fn polled(
        &self,
        submission_index: Option<wgpu::SubmissionIndex>,
        patience: Duration,
    ) -> Option<Result<wgpu::PollStatus, wgpu::PollError>> {
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(patience) };
        catch_unwind(AssertUnwindSafe(|| self.device.poll(poll))).ok()
    }

    /// Reports a fault that no call has reported: a lost device for ever, a refused command once.
    fn check(&self) -> Result<(), GpuError> {
        if let Some(text) = lock(&self.faults.lost).clone() {
            return Err(GpuError::Lost(text));
        }
        match lock(&self.faults.refused).take() {
            Some(text) => Err(GpuError::Command(text)),
            None => Ok(()),
        }
    }
}
