//! Opening a device: features, limits, the best road that its driver allows.

use std::{path::PathBuf, time::Duration};

use devices::{Capabilities, F16, Profile, Target, WeightMemory};
use wgpu::Features;

use super::{
    AdapterSummary, Gpu, GpuError,
    adapters::{ADAPTER_VARIABLE, Found, capabilities, choose, enumerate},
    disk::{CacheFile, DiskCache},
    recall::Recall,
    replay::Recorder,
    vulkan::{self, Wishes},
};

/// How to open a GPU.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Index, part of the name, or profile; else `HALFBYTE_ADAPTER`, else the strongest.
    pub adapter: Option<String>,
    /// Ask for a low-priority queue where the driver has one.
    pub low_priority: bool,
    /// Reach 16-bit floats through SPIR-V passthrough where wgpu does not offer them.
    pub f16_passthrough: bool,
    /// Record steps that repeat themselves once, where the backend can, instead of each time.
    pub replay: bool,
    /// Folder where compiled pipelines, and what tuning found, are kept between runs.
    pub cache_dir: Option<PathBuf>,
    /// How long a submission should keep the GPU at most, instead of what the profile says; 0 submits each step as one.
    pub max_submit: Option<Duration>,
    /// What packed matrices are to lie in, instead of what the profile says.
    pub weights: Option<WeightMemory>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            adapter: None,
            low_priority: true,
            f16_passthrough: true,
            replay: true,
            cache_dir: None,
            max_submit: None,
            weights: None,
        }
    }
}

/// An open device, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// The adapter it was opened from.
    pub adapter: AdapterSummary,
    /// The road to 16-bit floats that is open.
    pub f16: F16,
    /// Whether its queue has low priority.
    pub low_priority: bool,
    /// What was tried and refused, with the driver's words.
    pub notes: Vec<String>,
}

/// Device and queue, and how they were got.
struct Opened {
    device: wgpu::Device,
    queue: wgpu::Queue,
    f16: F16,
    low_priority: bool,
    notes: Vec<String>,
}

impl Gpu {
    /// Opens a GPU of this machine.
    ///
    /// # Errors
    /// When there is none, none that is called so, or its driver refuses.
    pub fn open(options: &OpenOptions) -> Result<Self, GpuError> {
        let from_variable = std::env::var(ADAPTER_VARIABLE).ok().filter(|v| !v.is_empty());
        let wanted = options.adapter.clone().or(from_variable);
        let found = choose(enumerate(), wanted.as_deref())?;
        let opened = open_best(&found, options)?;
        let Opened { device, queue, f16, low_priority, mut notes } = opened;
        let live = Capabilities {
            limits: device.limits(),
            features: device.features(),
            f16,
            subgroups: found.summary.subgroups,
            coop: found.summary.coop.map(|c| c.size),
            integer_dot: found.offer.integer_dot_accelerated,
        };
        let target = Target::from_live(found.detection.profile, live);
        let disk = options.cache_dir.as_deref().and_then(|folder| {
            DiskCache::open(&device, folder).unwrap_or_else(|reason| {
                notes.push(reason);
                None
            })
        });
        // What is wrong with the folder was just said.
        let file = options
            .cache_dir
            .as_deref()
            .and_then(|folder| CacheFile::of(&device, folder, "recorded").ok()?);
        let recorder = match options.replay {
            true => Recorder::open(&device, &found.offer, file).unwrap_or_else(|reason| {
                notes.push(format!("steps are recorded anew each time: {reason}"));
                None
            }),
            false => None,
        };
        let (recall, note) = Recall::open(&found.summary, options.cache_dir.as_deref());
        notes.extend(note);
        let summary = DeviceSummary { adapter: found.summary, f16, low_priority, notes };
        let gpu = Self::new(device, queue, target, summary, found.offer, disk, options.max_submit);
        let gpu = gpu.recalling(recall).recording(recorder);
        Ok(match options.weights {
            Some(memory) => gpu.with_weights(memory),
            None => gpu,
        })
    }

    /// A device that computes nothing: it accepts what a device of this profile would, and refuses what that would.
    ///
    /// # Errors
    /// When wgpu refuses the profile's limits.
    pub fn noop(profile: &'static Profile) -> Result<Self, GpuError> {
        let mut target = Target::from_profile(profile);
        let mut features = Features::empty();
        features.set(Features::SUBGROUP | Features::SUBGROUP_BARRIER, target.subgroups.is_some());
        features.set(Features::SHADER_F16, target.f16 != F16::None);
        features.set(Features::EXPERIMENTAL_COOPERATIVE_MATRIX, target.coop.is_some());
        let options = wgpu::NoopBackendOptions {
            enable: true,
            limits: Some(target.limits.clone()),
            features: Some(features),
            subgroup_min_size: target.subgroups.map(|s| s.min),
            subgroup_max_size: target.subgroups.map(|s| s.max),
            ..wgpu::NoopBackendOptions::default()
        };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::NOOP,
            backend_options: wgpu::BackendOptions { noop: options, ..wgpu::BackendOptions::default() },
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let refused = |text: String| GpuError::Open { adapter: format!("noop as {}", profile.name), text };
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .map_err(|e| refused(e.to_string()))?;
        let limits = target.limits.clone();
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor(features, limits)))
            .map_err(|e| refused(e.to_string()))?;
        target.limits = device.limits();
        let adapter = AdapterSummary {
            index: 0,
            name: "noop".to_owned(),
            backend: "Noop".to_owned(),
            kind: "other",
            driver: "wgpu".to_owned(),
            profile: profile.name,
            reason: "it was asked for".to_owned(),
            f16: target.f16,
            coop: target.coop,
            integer_dot: target.integer_dot,
            subgroups: target.subgroups,
            max_binding: target.max_binding(),
            low_priority: false,
        };
        let summary = DeviceSummary { adapter, f16: target.f16, low_priority: false, notes: Vec::new() };
        let offer = vulkan::Offer { robust_buffers: true, ..vulkan::Offer::default() };
        Ok(Self::new(device, queue, target, summary, offer, None, None))
    }
}

#[allow(unsafe_code)]
fn descriptor(features: Features, limits: wgpu::Limits) -> wgpu::DeviceDescriptor<'static> {
    let experimental_features = match features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        // SAFETY: kernels load and store cooperative matrices within their buffers, in uniform control flow.
        true => unsafe { wgpu::ExperimentalFeatures::enabled() },
        false => wgpu::ExperimentalFeatures::disabled(),
    };
    wgpu::DeviceDescriptor {
        label: Some("halfbyte"),
        required_features: features,
        required_limits: limits,
        experimental_features,
        // Weights come as large buffers of their own; blocks of 256 MiB for the rest would be waste.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    }
}

/// Tries the roads, best first, and notes why one was closed.
fn open_best(found: &Found, options: &OpenOptions) -> Result<Opened, GpuError> {
    let wanted = Features::SHADER_F16
        | Features::SUBGROUP
        | Features::SUBGROUP_BARRIER
        | Features::TIMESTAMP_QUERY
        | Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | Features::PIPELINE_CACHE
        | Features::MAPPABLE_PRIMARY_BUFFERS;
    let offered = capabilities(&found.adapter, &found.offer);
    let mut features = wanted & offered.features;
    features.set(Features::EXPERIMENTAL_COOPERATIVE_MATRIX, found.summary.coop.is_some());
    // Memory that both sides reach is slow where the device has its own.
    let shared = matches!(found.summary.kind, "integrated" | "cpu");
    features.set(
        Features::MAPPABLE_PRIMARY_BUFFERS,
        shared && features.contains(Features::MAPPABLE_PRIMARY_BUFFERS),
    );
    let passthrough = options.f16_passthrough && offered.f16 == F16::Passthrough;
    let plain = if features.contains(Features::SHADER_F16) { F16::Native } else { F16::None };
    let low_priority = found.offer.low_priority.filter(|_| options.low_priority);
    let mut notes = Vec::new();
    for wishes in roads(passthrough, low_priority) {
        let mut features = features;
        features.set(Features::PASSTHROUGH_SHADERS, wishes.f16);
        match vulkan::open(&found.adapter, &descriptor(features, offered.limits.clone()), wishes) {
            Ok((device, queue)) => {
                let f16 = if wishes.f16 { F16::Passthrough } else { plain };
                let low_priority = wishes.low_priority.is_some();
                return Ok(Opened { device, queue, f16, low_priority, notes });
            }
            Err(text) => notes.push(format!("{}: {text}", describe(wishes))),
        }
    }
    let descriptor = descriptor(features, offered.limits);
    let (device, queue) = pollster::block_on(found.adapter.request_device(&descriptor))
        .map_err(|e| GpuError::Open { adapter: found.summary.name.clone(), text: e.to_string() })?;
    Ok(Opened { device, queue, f16: plain, low_priority: false, notes })
}

/// The roads beyond the plain one; a refusal of one wish must not cost the other.
fn roads(f16: bool, low_priority: Option<&'static std::ffi::CStr>) -> Vec<Wishes> {
    let mut roads = Vec::new();
    if f16 && low_priority.is_some() {
        roads.push(Wishes { f16, low_priority });
    }
    if f16 {
        roads.push(Wishes { f16, low_priority: None });
    }
    if low_priority.is_some() {
        roads.push(Wishes { f16: false, low_priority });
    }
    roads
}

fn describe(wishes: Wishes) -> &'static str {
    match (wishes.f16, wishes.low_priority.is_some()) {
        (true, true) => "no f16 through SPIR-V with a low-priority queue",
        (true, false) => "no f16 through SPIR-V",
        _ => "no low-priority queue",
    }
}
