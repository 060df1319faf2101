//! Which GPUs there are, what each is taken for, and which one is chosen.

use std::fmt;

use devices::{Capabilities, Coop, Detection, F16, IntegerDot, Subgroups, Target, detect};
use wgpu::{Backends, CooperativeScalarType, DeviceType, Features};

use super::{GpuError, vulkan};

/// Names the adapter to use: its index, a part of its name, or its profile.
pub const ADAPTER_VARIABLE: &str = "HALFBYTE_ADAPTER";

/// A GPU, before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Its place in the list.
    pub index: usize,
    /// The driver's name for it.
    pub name: String,
    /// `Vulkan` or `Metal`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `other` or `cpu`.
    pub kind: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// The profile it is taken for.
    pub profile: &'static str,
    /// Why that profile.
    pub reason: String,
    /// Where 16-bit floats are to be had.
    pub f16: F16,
    /// Cooperative matrices that kernels can use.
    pub coop: Option<Coop>,
    /// Which products of four pairs of 8-bit integers are an instruction.
    pub integer_dot: IntegerDot,
    /// Subgroup sizes; `None` without subgroup operations.
    pub subgroups: Option<Subgroups>,
    /// Largest buffer that a kernel can be given, bytes.
    pub max_binding: u64,
    /// Whether its queue can be asked for low priority.
    pub low_priority: bool,
}

impl AdapterSummary {
    /// The device and its driver, in words that tell them from all others.
    #[must_use]
    pub fn device(&self) -> String {
        format!("{}, {}, {}", self.name, self.backend, self.driver)
    }
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, backend, kind, driver, profile, .. } = self;
        write!(f, "{index}: {name} ({kind}, {backend}, {driver}), profile {profile}")
    }
}

/// An adapter with what was learned of it.
#[derive(Debug)]
pub(super) struct Found {
    pub adapter: wgpu::Adapter,
    pub summary: AdapterSummary,
    pub detection: Detection,
    pub offer: vulkan::Offer,
}

impl Found {
    fn new(index: usize, adapter: wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let detection = detect(&info);
        let offer = vulkan::offer(&adapter);
        let capabilities = capabilities(&adapter, &offer);
        let target = Target::from_live(detection.profile, capabilities);
        let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ").trim().to_owned();
        let summary = AdapterSummary {
            index,
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            kind: kind_name(info.device_type),
            driver,
            profile: detection.profile.name,
            reason: detection.reason.clone(),
            f16: target.f16,
            coop: target.coop,
            integer_dot: target.integer_dot,
            subgroups: target.subgroups,
            max_binding: target.max_binding(),
            low_priority: offer.low_priority.is_some(),
        };
        Self { adapter, summary, detection, offer }
    }
}

/// What an adapter would offer once it is open.
pub(super) fn capabilities(adapter: &wgpu::Adapter, offer: &vulkan::Offer) -> Capabilities {
    let (info, features) = (adapter.get_info(), adapter.features());
    let has_subgroups = features.contains(Features::SUBGROUP);
    let f16 = match (features.contains(Features::SHADER_F16), offer.f16) {
        (true, _) => F16::Native,
        (false, true) if features.contains(Features::PASSTHROUGH_SHADERS) => F16::Passthrough,
        _ => F16::None,
    };
    Capabilities {
        limits: adapter.limits(),
        features,
        subgroups: has_subgroups
            .then_some(Subgroups { min: info.subgroup_min_size, max: info.subgroup_max_size }),
        f16,
        coop: cooperative_matrices(adapter),
        integer_dot: offer.integer_dot_accelerated,
    }
}

/// Rows of the largest square matrices of f16 that are multiplied with sums in f32. On Metal naga takes no pointer to
/// vectors for them, which is what our kernels have.
fn cooperative_matrices(adapter: &wgpu::Adapter) -> Option<u32> {
    let vulkan = adapter.get_info().backend == wgpu::Backend::Vulkan;
    if !vulkan || !adapter.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return None;
    }
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        let square = p.m_size == p.n_size && p.m_size == p.k_size;
        square && (p.ab_type, p.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
    };
    adapter.cooperative_matrix_properties().iter().filter(|p| fits(p)).map(|p| p.m_size).max()
}

/// Every GPU of this machine, the software ones included, in the order of their indices.
#[must_use]
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate().into_iter().map(|f| f.summary).collect()
}

pub(super) fn enumerate() -> Vec<Found> {
    let backends = Backends::VULKAN | Backends::METAL;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // Custom phone drivers often have no conformance entry; kernels are qualified on the device instead.
        flags: wgpu::InstanceFlags::ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER.with_env(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let list = pollster::block_on(instance.enumerate_adapters(backends));
    list.into_iter().enumerate().map(|(index, adapter)| Found::new(index, adapter)).collect()
}

/// The adapter that `wanted` names, else the first of the strongest kind.
pub(super) fn choose(mut found: Vec<Found>, wanted: Option<&str>) -> Result<Found, GpuError> {
    let summaries: Vec<_> = found.iter().map(|f| &f.summary).collect();
    let index = pick(&summaries, wanted)?;
    Ok(found.swap_remove(index))
}

fn pick(list: &[&AdapterSummary], wanted: Option<&str>) -> Result<usize, GpuError> {
    if list.is_empty() {
        return Err(GpuError::NoAdapter);
    }
    let by_strength = |matching: &dyn Fn(&AdapterSummary) -> bool| {
        let candidates = list.iter().enumerate().filter(|(_, a)| matching(a));
        candidates.min_by_key(|(_, a)| rank(a.kind)).map(|(index, _)| index)
    };
    let Some(wanted) = wanted else {
        return by_strength(&|_| true).ok_or(GpuError::NoAdapter);
    };
    let lower = wanted.trim().to_ascii_lowercase();
    let chosen = match lower.parse::<usize>() {
        Ok(index) => by_strength(&|a| a.index == index),
        Err(_) => by_strength(&|a| a.name.to_ascii_lowercase().contains(&lower) || a.profile == lower),
    };
    chosen.ok_or_else(|| GpuError::NoSuchAdapter {
        wanted: wanted.to_owned(),
        found: list.iter().map(|a| format!("{} ({:?})", a.index, a.name)).collect(),
    })
}

fn kind_name(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Other => "other",
        DeviceType::Cpu => "cpu",
    }
}

fn rank(kind: &str) -> usize {
    let order = ["discrete", "integrated", "virtual", "other", "cpu"];
    order.iter().position(|k| *k == kind).unwrap_or(order.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(index: usize, name: &str, kind: &'static str, profile: &'static str) -> AdapterSummary {
        AdapterSummary {
            index,
            name: name.to_owned(),
            backend: "Vulkan".to_owned(),
            kind,
            driver: String::new(),
            profile,
            reason: String::new(),
            f16: F16::None,
            coop: None,
            integer_dot: IntegerDot::None,
            subgroups: None,
            max_binding: 128 << 20,
            low_priority: false,
        }
    }

    #[test]
    fn the_strongest_is_chosen_unless_one_is_named() {
        let list = [
            summary(0, "llvmpipe (LLVM 15)", "cpu", "lavapipe"),
            summary(1, "Intel(R) UHD 620", "integrated", "intel"),
            summary(2, "NVIDIA H100", "discrete", "nvidia"),
        ];
        let list: Vec<_> = list.iter().collect();
        let table = [
            (None, 2),
            (Some("0"), 0),
            (Some(" 1 "), 1),
            (Some("INTEL"), 1),
            (Some("lavapipe"), 0),
            (Some("h100"), 2),
        ];
        for (wanted, index) in table {
            assert_eq!(pick(&list, wanted), Ok(index), "{wanted:?}");
        }
        assert_eq!(pick(&list[..2], None), Ok(1));
        let error = pick(&list, Some("3")).expect_err("no such index").to_string();
        assert!(error.contains("\"3\"") && error.contains("llvmpipe") && error.contains("H100"), "{error}");
        let error = pick(&[], None).expect_err("nothing there").to_string();
        assert!(error.contains("apt-get install mesa-vulkan-drivers"), "{error}");
    }
}
