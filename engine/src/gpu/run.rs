//! A bound plan on a device: what it reads and writes is bound once, for memory laid out for the largest step. What a step
//! then does is in `flight`.

mod profile;
mod record;

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
};

use shaders::Slot;
use symbolic::Bindings;

pub use profile::Clock;

use super::{
    Arena, Buffer, Gpu, Pipeline, WeightBuffers, Weights,
    costs::Part,
    flight::Flights,
    replay::{Recorder, Replay},
};
use crate::{
    error::EngineError,
    graph::Graph,
    op::{Elem, RootKind, WeightId, WeightPart},
    plan::{BoundPlan, BoundSlot, Call, Memory, Plan, Port},
};

/// A plan on a device, with everything that a step needs made beforehand.
#[derive(Debug)]
pub struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) bound: BoundPlan,
    pub(super) arena: Arena,
    weights: Vec<Option<WeightBuffers>>,
    pub(super) params: Buffer,
    dispatches: Dispatches,
    align: u64,
    pub(super) flights: Mutex<Flights>,
}

/// A run's calls, ready to be recorded.
#[derive(Debug)]
enum Dispatches {
    /// By wgpu, in each step anew.
    ByWgpu(Vec<Dispatch>),
    /// Once for all steps that are alike.
    Kept(Replay),
}

/// What wgpu records for a call.
#[derive(Debug)]
struct Dispatch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
}

/// Where a port lies, to be bound by others.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub buffer: Buffer,
    /// First byte, aligned as the device wants it.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The port's first element, counted from there.
    pub first: u32,
    pub elem: Elem,
}

impl Range {
    /// All of a buffer.
    pub fn whole(buffer: &Buffer, elem: Elem) -> Self {
        let (buffer, size) = (buffer.clone(), buffer.size());
        Self { buffer, offset: 0, size, first: 0, elem }
    }
}

impl Run {
    /// Prepares a plan for a session's memory, which is laid out for the numbers of `largest`.
    ///
    /// # Errors
    /// When weights or memory are another device's, a size cannot be bound, a pipeline cannot be made, a slot lies outside its
    /// buffer, or the device has no memory.
    pub fn new(
        gpu: &Gpu,
        plan: &Arc<Plan>,
        weights: &Weights,
        graph: &Graph,
        arena: &Arena,
        bindings: &Bindings,
        largest: &Bindings,
    ) -> Result<Self, EngineError> {
        weights.check(gpu)?;
        if arena.device != *gpu.device() {
            return Err(EngineError::model("gpu", "the arena is on another device"));
        }
        let bound = plan.bind_within(bindings, largest, gpu.offset_alignment())?;
        let params = gpu.uniform("params", bound.params.len() as u64)?;
        let weights = plan.weights.iter().map(|w| weights.get(graph, w).cloned()).collect();
        let mut run = Self {
            plan: plan.clone(),
            arena: arena.clone(),
            weights,
            params,
            dispatches: Dispatches::ByWgpu(Vec::new()),
            bound,
            align: gpu.offset_alignment().max(1),
            flights: Mutex::new(Flights::new(plan.calls.len())),
        };
        run.dispatches = match gpu.recorder() {
            Some(recorder) => Dispatches::Kept(run.kept(gpu, recorder)?),
            None => Dispatches::ByWgpu(run.by_wgpu(gpu)?),
        };
        Ok(run)
    }

    fn by_wgpu(&self, gpu: &Gpu) -> Result<Vec<Dispatch>, EngineError> {
        let dispatch = |(index, call): (usize, &Call)| {
            let pipeline = gpu.pipeline(&call.kernel)?;
            let group = gpu.bind_group(&pipeline, &self.entries(index)?)?;
            Ok(Dispatch { pipeline, group })
        };
        self.plan.calls.iter().enumerate().map(dispatch).collect()
    }

    fn kept(&self, gpu: &Gpu, recorder: &Recorder) -> Result<Replay, EngineError> {
        let call = |(index, call): (usize, &Call)| {
            Ok::<_, EngineError>((gpu.program(recorder, &call.kernel)?, self.entries(index)?))
        };
        let calls = self.plan.calls.iter().enumerate().map(call).collect::<Result<Vec<_>, _>>()?;
        let replay = Replay::new(recorder, calls)?;
        gpu.to_be_read(self.weights.iter().flatten().filter_map(WeightBuffers::texture))?;
        Ok(replay)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Puts in new numbers for the symbols that change. No memory moves, and nothing is made.
    ///
    /// # Errors
    /// When a size cannot be evaluated, or a buffer is too small for it.
    pub fn advance(&mut self, gpu: &Gpu, bindings: &Bindings) -> Result<(), EngineError> {
        gpu.costs().time(Part::Bind, || self.bound.advance(&self.plan, bindings))
    }

    /// What is bound to a call.
    fn entries(&self, index: usize) -> Result<Vec<wgpu::BindGroupEntry<'_>>, EngineError> {
        let call = &self.plan.calls[index];
        let bound = &self.bound.calls[index];
        let mut entries = Vec::with_capacity(bound.slots.len() + 1);
        for (slot, at) in call.kernel.reflection.slots.iter().zip(&bound.slots) {
            entries.push(self.bind_slot(slot, at, &call.node)?);
        }
        if let Some(layout) = &call.kernel.reflection.params {
            let size = u64::from(call.params_size);
            entries.push(entry(layout.binding, &self.params, bound.params_at as u64, size));
        }
        Ok(entries)
    }

    fn bind_slot(
        &self,
        slot: &Slot,
        at: &BoundSlot,
        node: &str,
    ) -> Result<wgpu::BindGroupEntry<'_>, EngineError> {
        let unmade = || EngineError::model("gpu", format!("node {node:?} needs memory that was not made"));
        if let Memory::Texture(weight) = at.memory {
            let texture = self.weight(weight).and_then(WeightBuffers::texture).ok_or_else(unmade)?;
            return Ok(texture.entry(slot.binding));
        }
        let buffer = self.buffer(at.memory).ok_or_else(unmade)?;
        if at.offset.checked_add(at.size).is_none_or(|end| end > buffer.size()) {
            let text = format!(
                "node {node:?}: slot {:?} is {} bytes from byte {} on, its buffer has {}",
                slot.name,
                at.size,
                at.offset,
                buffer.size()
            );
            return Err(EngineError::model("gpu", text));
        }
        Ok(entry(slot.binding, buffer, at.offset, at.size))
    }

    fn buffer(&self, memory: Memory) -> Option<&Buffer> {
        match memory {
            Memory::Arena => Some(&self.arena.buffer),
            Memory::Cache(cache) => self.arena.caches.get(cache),
            Memory::Constant(weight) | Memory::Weight(weight, WeightPart::Weight) => {
                self.weight(weight).and_then(WeightBuffers::buffer)
            }
            Memory::Weight(weight, WeightPart::Scales) => self.weight(weight)?.scales.as_ref(),
            Memory::Texture(_) => None,
        }
    }

    fn weight(&self, weight: WeightId) -> Option<&WeightBuffers> {
        self.weights.get(weight.0 as usize).and_then(Option::as_ref)
    }

    /// The memory that it runs in.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Writes an input's elements, in device form. A name that the plan does not read is left alone: fusion may have found
    /// no use for an input, and whether the model has one of that name is for the caller to know.
    ///
    /// # Errors
    /// When the bytes are not as many as the input takes.
    pub fn write(&self, gpu: &Gpu, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let Some(port) = self.plan.inputs.iter().find(|p| p.name == name) else { return Ok(()) };
        let (offset, size) = self.range(port)?;
        if bytes.len() as u64 != size {
            let text = format!("takes {size} bytes on the device, {} are given", bytes.len());
            return Err(EngineError::Input { name: name.to_owned(), text });
        }
        gpu.costs().time(Part::Write, || gpu.write(&self.arena.buffer, offset, bytes));
        Ok(())
    }

    /// Writes what is kept for many runs, in device form.
    ///
    /// # Errors
    /// When there is no such buffer, or it is smaller.
    pub fn keep(&self, gpu: &Gpu, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        self.fill_cache(gpu, self.arena.caches.len() - self.plan.kept.len() + index, bytes)
    }

    /// Writes the first bytes of a cache, in device form.
    ///
    /// # Errors
    /// When there is no such cache, or it is smaller.
    pub(crate) fn fill_cache(&self, gpu: &Gpu, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        match self.arena.caches.get(index) {
            Some(buffer) if bytes.len() as u64 <= buffer.size() => {
                gpu.write(buffer, 0, bytes);
                Ok(())
            }
            _ => {
                Err(EngineError::model("gpu", format!("there is no room for {} bytes to keep", bytes.len())))
            }
        }
    }

    /// Elements of an input in this step; 0 when the plan does not read it.
    ///
    /// # Errors
    /// When a size cannot be computed.
    pub fn input_len(&self, name: &str) -> Result<usize, EngineError> {
        let Some(port) = self.plan.inputs.iter().find(|p| p.name == name) else { return Ok(0) };
        Ok(usize::try_from(port.view.len().eval(&self.bound.bindings)?).unwrap_or(0))
    }

    /// First byte of a port in the arena, and its bytes.
    fn range(&self, port: &Port) -> Result<(u64, u64), EngineError> {
        let lost = || EngineError::model("gpu", format!("{:?} has no place in the arena", port.name));
        let place = self.plan.arena.place(port.view.root.0 as usize).ok_or_else(lost)?;
        let bindings = &self.bound.bindings;
        let size = port.view.elem.size() as i64;
        let start = place.offset.eval(self.bound.layout())? + port.view.offset.eval(bindings)? * size;
        let bytes = port.view.len().eval(bindings)? * size;
        u64::try_from(start).ok().zip(u64::try_from(bytes).ok()).ok_or_else(lost)
    }

    /// Where an output lies, of the largest step.
    pub(crate) fn output(&self, index: usize) -> Result<Range, EngineError> {
        let port = self.plan.outputs.get(index);
        self.bindable(port.ok_or_else(|| no_output(index))?)
    }

    /// Where an input lies, of the largest step.
    pub(crate) fn input(&self, name: &str) -> Result<Range, EngineError> {
        let port = self.plan.inputs.iter().find(|p| p.name == name);
        self.bindable(
            port.ok_or_else(|| EngineError::model("gpu", format!("the plan does not read {name:?}")))?,
        )
    }

    fn bindable(&self, port: &Port) -> Result<Range, EngineError> {
        let (start, _) = self.range(port)?;
        let elem = port.view.elem;
        let root = &self.plan.roots[port.view.root.0 as usize];
        let size =
            u64::try_from(root.len.eval(self.bound.layout())?).unwrap_or(0).saturating_mul(elem.size());
        let offset = start / self.align * self.align;
        let first = ((start - offset) / elem.size()) as u32;
        let size = (start - offset).saturating_add(size).next_multiple_of(4);
        if offset.checked_add(size).is_none_or(|end| end > self.arena.buffer.size()) {
            return Err(EngineError::model("gpu", format!("{:?} lies outside of the arena", port.name)));
        }
        Ok(Range { buffer: self.arena.buffer.clone(), offset, size, first, elem })
    }

    /// Elements of an output in this step.
    ///
    /// # Errors
    /// When there is no such output, or a size cannot be computed.
    pub fn output_len(&self, index: usize) -> Result<usize, EngineError> {
        let port = self.plan.outputs.get(index).ok_or_else(|| no_output(index))?;
        Ok(usize::try_from(port.view.len().eval(&self.bound.bindings)?).unwrap_or(0))
    }

    /// The bytes of output `index` after a step.
    ///
    /// # Errors
    /// When there is no such output, or the GPU fails.
    pub fn read(&self, gpu: &Gpu, index: usize) -> Result<Vec<u8>, EngineError> {
        let port = self.plan.outputs.get(index).ok_or_else(|| no_output(index))?;
        let (offset, size) = self.range(port)?;
        self.finish(gpu, 0)?;
        Ok(gpu.costs().time(Part::Read, || gpu.read(&self.arena.buffer, offset, size))?)
    }

    /// The bytes of a whole cache tensor, `[heads, capacity, head_dim]`, and its element.
    ///
    /// # Errors
    /// When there is no such cache, or the GPU fails.
    pub fn cache(&self, gpu: &Gpu, index: usize) -> Result<(Vec<u8>, Elem), EngineError> {
        let root = self.plan.roots.iter().find(|r| r.kind == RootKind::Cache(index));
        let (Some(root), Some(buffer)) = (root, self.arena.caches.get(index)) else {
            return Err(EngineError::model("gpu", format!("there is no cache tensor {index}")));
        };
        let bytes = gpu.read(buffer, 0, self.bound.cache_bytes.get(index).copied().unwrap_or(0))?;
        Ok((bytes, root.elem))
    }
}

fn no_output(index: usize) -> EngineError {
    EngineError::model("gpu", format!("the plan has no output {index}"))
}

/// A buffer's range; of none, the rest of the buffer, since wgpu has no empty bindings.
pub(super) fn entry(binding: u32, buffer: &Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    let size = NonZero::new(size);
    let range = wgpu::BufferBinding { buffer: buffer.raw(), offset, size };
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(range) }
}
