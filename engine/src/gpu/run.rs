//! Running a bound plan: its bind groups are made once, for memory laid out for the largest step; a step writes the
//! parameter block, records the dispatches and submits them.

mod profile;

use std::{num::NonZero, sync::Arc};

use symbolic::Bindings;

pub use profile::Clock;

use super::{Arena, Buffer, Gpu, Pipeline, WeightBuffers, Weights};
use crate::{
    error::EngineError,
    graph::Graph,
    op::{Elem, RootKind, WeightPart},
    plan::{BoundPlan, Memory, Plan, Port},
};

/// A plan on a device, with everything that a step needs made beforehand.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    bound: BoundPlan,
    arena: Arena,
    weights: Vec<Option<WeightBuffers>>,
    params: Buffer,
    pipelines: Vec<Arc<Pipeline>>,
    groups: Vec<wgpu::BindGroup>,
}

impl Run {
    /// Prepares a plan for a session's memory, which is laid out for the numbers of `largest`.
    ///
    /// # Errors
    /// When a size cannot be bound, a pipeline cannot be made, a slot lies outside its buffer, or the device has no memory.
    pub fn new(
        gpu: &Gpu,
        plan: &Arc<Plan>,
        weights: &Weights,
        graph: &Graph,
        arena: &Arena,
        bindings: &Bindings,
        largest: &Bindings,
    ) -> Result<Self, EngineError> {
        let bound = plan.bind_within(bindings, largest, gpu.offset_alignment())?;
        let params = gpu.uniform("params", bound.params.len() as u64)?;
        let pipelines = plan.calls.iter().map(|c| gpu.pipeline(&c.kernel)).collect::<Result<Vec<_>, _>>()?;
        let weights = plan.weights.iter().map(|w| weights.get(graph, w).cloned()).collect();
        let mut run = Self {
            plan: plan.clone(),
            arena: arena.clone(),
            weights,
            params,
            pipelines,
            groups: Vec::with_capacity(bound.calls.len()),
            bound,
        };
        for index in 0..run.bound.calls.len() {
            let group = run.group(gpu, index)?;
            run.groups.push(group);
        }
        Ok(run)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Puts in new numbers for the symbols that change. No memory moves, and nothing is made.
    ///
    /// # Errors
    /// When a size cannot be evaluated, or a buffer is too small for it.
    pub fn advance(&mut self, bindings: &Bindings) -> Result<(), EngineError> {
        self.bound.advance(&self.plan, bindings)
    }

    fn group(&self, gpu: &Gpu, index: usize) -> Result<wgpu::BindGroup, EngineError> {
        let call = &self.plan.calls[index];
        let bound = &self.bound.calls[index];
        let mut entries = Vec::with_capacity(bound.slots.len() + 1);
        for (slot, at) in call.kernel.reflection.slots.iter().zip(&bound.slots) {
            let buffer = self.buffer(at.memory, &call.node)?;
            if at.offset.checked_add(at.size).is_none_or(|end| end > buffer.size()) {
                let text = format!(
                    "node {:?}: slot {:?} is {} bytes from byte {} on, its buffer has {}",
                    call.node,
                    slot.name,
                    at.size,
                    at.offset,
                    buffer.size()
                );
                return Err(EngineError::model("gpu", text));
            }
            entries.push(entry(slot.binding, buffer, at.offset, at.size));
        }
        if let Some(layout) = &call.kernel.reflection.params {
            let size = u64::from(call.params_size);
            entries.push(entry(layout.binding, &self.params, bound.params_at as u64, size));
        }
        Ok(gpu.bind_group(&self.pipelines[index], &entries)?)
    }

    fn buffer(&self, memory: Memory, node: &str) -> Result<&Buffer, EngineError> {
        let found = match memory {
            Memory::Arena => Some(&self.arena.buffer),
            Memory::Cache(cache) => self.arena.caches.get(cache),
            Memory::Constant(weight) => self.weight(weight.0).map(|w| &w.weight),
            Memory::Weight(weight, WeightPart::Weight) => self.weight(weight.0).map(|w| &w.weight),
            Memory::Weight(weight, WeightPart::Scales) => {
                self.weight(weight.0).and_then(|w| w.scales.as_ref())
            }
        };
        found.ok_or_else(|| {
            EngineError::model("gpu", format!("node {node:?} needs a buffer that was not made"))
        })
    }

    fn weight(&self, index: u32) -> Option<&WeightBuffers> {
        self.weights.get(index as usize).and_then(Option::as_ref)
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
        gpu.write(&self.arena.buffer, offset, bytes);
        Ok(())
    }

    /// Writes what is kept for many runs, in device form.
    ///
    /// # Errors
    /// When there is no such buffer, or it is smaller.
    pub fn keep(&self, gpu: &Gpu, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        let caches = self.arena.caches.len() - self.plan.kept.len();
        match self.arena.caches.get(caches + index) {
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

    /// Runs the plan and returns output `index`, in device form.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn execute(&mut self, gpu: &Gpu, index: usize) -> Result<Vec<u8>, EngineError> {
        self.submit(gpu)?;
        self.read(gpu, index)
    }

    /// Records and submits one step.
    ///
    /// # Errors
    /// When the GPU fails.
    pub fn submit(&self, gpu: &Gpu) -> Result<(), EngineError> {
        self.bring(gpu);
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for index in 0..self.bound.calls.len() {
                self.record(gpu, index, &mut pass);
            }
        }
        Ok(gpu.submit(encoder)?)
    }

    /// Writes what a step needs from the CPU.
    fn bring(&self, gpu: &Gpu) {
        for fill in &self.bound.fills {
            gpu.write(&self.arena.buffer, fill.offset, &fill.bytes);
        }
        gpu.write(&self.params, 0, &self.bound.params);
    }

    /// Records one call; none where there is nothing to do in this step.
    fn record(&self, gpu: &Gpu, index: usize, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.bound.calls[index].workgroups;
        if x == 0 || y == 0 || z == 0 {
            return;
        }
        pass.set_pipeline(self.pipelines[index].raw());
        pass.set_bind_group(0, &self.groups[index], &[]);
        pass.dispatch_workgroups(x, y, z);
        gpu.counters().dispatched();
    }

    /// The bytes of output `index` after a step.
    ///
    /// # Errors
    /// When there is no such output, or the GPU fails.
    pub fn read(&self, gpu: &Gpu, index: usize) -> Result<Vec<u8>, EngineError> {
        let port = self.plan.outputs.get(index);
        let port =
            port.ok_or_else(|| EngineError::model("gpu", format!("the plan has no output {index}")))?;
        let (offset, size) = self.range(port)?;
        Ok(gpu.read(&self.arena.buffer, offset, size)?)
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

/// A buffer's range; of none, the rest of the buffer, since wgpu has no empty bindings.
fn entry(binding: u32, buffer: &Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    let size = NonZero::new(size);
    let range = wgpu::BufferBinding { buffer: buffer.raw(), offset, size };
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(range) }
}
