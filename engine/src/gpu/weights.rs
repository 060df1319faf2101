//! A model's constants on the device: each in the forms that its plans ask for, uploaded once.

use std::collections::HashMap;

use super::{Buffer, Gpu, Progress, texture::Texture};
use crate::{
    error::EngineError,
    graph::Graph,
    op::{WeightPacking, WeightPart, WeightUse},
    plan::Plan,
    weights::{DeviceBytes, WeightSource, device_bytes},
};

/// What codes or elements lie in.
#[derive(Clone, Debug)]
pub(super) enum Codes {
    Buffer(Buffer),
    Texture(Texture),
}

/// One constant on the device.
#[derive(Clone, Debug)]
pub struct WeightBuffers {
    pub(super) codes: Codes,
    pub(super) scales: Option<Buffer>,
}

impl WeightBuffers {
    /// The buffer of codes or elements.
    pub(super) fn buffer(&self) -> Option<&Buffer> {
        match &self.codes {
            Codes::Buffer(buffer) => Some(buffer),
            Codes::Texture(_) => None,
        }
    }

    /// The texture of codes.
    pub(super) fn texture(&self) -> Option<&Texture> {
        match &self.codes {
            Codes::Texture(texture) => Some(texture),
            Codes::Buffer(_) => None,
        }
    }
}

/// All constants of a model, by name and form.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    buffers: HashMap<(String, WeightPacking), WeightBuffers>,
    bytes: u64,
    in_textures: u64,
    /// Whose they are, once there are some.
    device: Option<wgpu::Device>,
}

impl Weights {
    /// Uploads what the plans need; a constant that several want in one form is uploaded once.
    ///
    /// # Errors
    /// When data is missing or the device has no room.
    pub fn upload(
        gpu: &Gpu,
        plans: &[(&Graph, &Plan)],
        source: &WeightSource,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, EngineError> {
        let mut weights = Self::default();
        weights.add(gpu, plans, source, progress)?;
        Ok(weights)
    }

    /// Uploads what plans need and is not there yet.
    ///
    /// # Errors
    /// As [`Weights::upload`].
    pub fn add(
        &mut self,
        gpu: &Gpu,
        plans: &[(&Graph, &Plan)],
        source: &WeightSource,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), EngineError> {
        self.check(gpu)?;
        self.device = Some(gpu.device().clone());
        let mut wanted: Vec<(&Graph, &WeightUse)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (graph, plan) in plans {
            for each in &plan.weights {
                if self.get(graph, each).is_none()
                    && seen.insert((graph.value(each.value).name.clone(), each.packing))
                {
                    wanted.push((graph, each));
                }
            }
        }
        let total = self.bytes + wanted.iter().map(|(_, w)| size(w)).sum::<u64>();
        for (graph, each) in wanted {
            let name = graph.value(each.value).name.clone();
            let buffers = match gpu.noise_of(graph, each, source)? {
                Some(noise) => noise,
                None => put(gpu, &name, each, &device_bytes(graph, each, source, &|_| {})?, source)?,
            };
            self.bytes += size(each);
            if each.texels(WeightPart::Weight).is_some() {
                self.in_textures += each.bytes(WeightPart::Weight, each.n);
            }
            self.buffers.insert((name, each.packing), buffers);
            progress(Progress::Weights { done: self.bytes.min(total), total });
        }
        source.release_all();
        Ok(gpu.flush()?)
    }

    /// Whether they are this device's.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<(), EngineError> {
        match &self.device {
            Some(device) if device != gpu.device() => {
                Err(EngineError::model("gpu", "the weights are on another device"))
            }
            _ => Ok(()),
        }
    }

    /// The buffers of a constant that a plan names.
    #[must_use]
    pub fn get(&self, graph: &Graph, wanted: &WeightUse) -> Option<&WeightBuffers> {
        self.buffers.get(&(graph.value(wanted.value).name.clone(), wanted.packing))
    }

    /// Bytes on the device, without what a driver may pad textures with.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Those of them that lie in textures.
    #[must_use]
    pub fn texture_bytes(&self) -> u64 {
        self.in_textures
    }
}

fn size(wanted: &WeightUse) -> u64 {
    match wanted.packing {
        WeightPacking::Plain(_) => wanted.bytes(WeightPart::Weight, 1),
        WeightPacking::Matrix { .. } => {
            wanted.bytes(WeightPart::Weight, wanted.n) + wanted.bytes(WeightPart::Scales, wanted.n)
        }
    }
}

fn put(
    gpu: &Gpu,
    name: &str,
    wanted: &WeightUse,
    bytes: &DeviceBytes,
    source: &WeightSource,
) -> Result<WeightBuffers, EngineError> {
    let taken = |piece: &[u8]| source.release(piece);
    let (codes, scales) = match bytes {
        DeviceBytes::Plain(data) => (data, None),
        DeviceBytes::Matrix(packed) => (packed.weight(), packed.scales()),
    };
    let codes = match wanted.texels(WeightPart::Weight) {
        Some(size) => Codes::Texture(gpu.filled_texture(name, size, codes, &taken)?),
        None => Codes::Buffer(gpu.filled(name, codes, &taken)?),
    };
    let scales = scales.map(|scales| gpu.filled(name, scales, &taken)).transpose()?;
    Ok(WeightBuffers { codes, scales })
}
