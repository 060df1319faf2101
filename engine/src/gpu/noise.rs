//! Matrices of noise, filled by the device itself: models without weights are measured with them.

use std::ops::Range;

use shaders::{KernelSpec, ParamLayout, ShaderError, compile};

use super::{Buffer, Gpu, WeightBuffers, weights::Codes};
use crate::{
    error::EngineError,
    graph::{Constant, Graph},
    host::{Noise, WeightFormat, packed_bytes},
    op::{WeightPacking, WeightPart, WeightUse},
    weights::WeightSource,
};

/// Bytes that are filled by one dispatch: few enough workgroups for one dimension, and for any binding.
const PIECE: u64 = 32 << 20;
const VECTOR: u64 = 16;
const THREADS: u64 = 64;

/// What a buffer of a packed matrix is filled with.
struct Filling {
    fill: &'static str,
    noise: Noise,
    /// Vectors of four rows.
    block: usize,
    rows: usize,
    /// Whether the last word of a row has one weight of two.
    single: bool,
}

impl Filling {
    /// The parameters of the kernel for some vectors of the matrix.
    fn params(&self, layout: &ParamLayout, vectors: &Range<u64>) -> Result<Vec<u8>, ShaderError> {
        let mut params = vec![0; layout.size as usize];
        let Noise { seed, spread, scales } = self.noise;
        let mut w = layout.writer(&mut params)?;
        w.u32("total", int(vectors.end - vectors.start))?;
        w.u32("out_offset", 0)?;
        w.u32("first", int(vectors.start))?;
        w.u32("block", int(self.block.max(1) as u64))?;
        w.u32("rows", int(self.rows as u64))?;
        w.u32("single", u32::from(self.single))?;
        w.u32("seed_low", seed as u32)?;
        w.u32("seed_high", (seed >> 32) as u32)?;
        w.u32("word", scales)?;
        w.f32("scale", spread)?;
        w.finish()?;
        Ok(params)
    }
}

fn int(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Gpu {
    /// The buffers of a constant that is noise: a matrix whose data is nowhere. `None` for one that has data, and where
    /// weights are not noise.
    pub(super) fn noise_of(
        &self,
        graph: &Graph,
        wanted: &WeightUse,
        source: &WeightSource,
    ) -> Result<Option<WeightBuffers>, EngineError> {
        let value = graph.value(wanted.value);
        let WeightSource::Noise { seed } = source else { return Ok(None) };
        let WeightPacking::Matrix { format, .. } = wanted.packing else { return Ok(None) };
        if !value.constant.as_ref().is_some_and(is_nowhere) {
            return Ok(None);
        }
        let noise = Noise::new(*seed, &value.name, format, wanted.k);
        let (weight, scales) = self.noise(&value.name, format, (wanted.n, wanted.k), noise)?;
        let codes = match wanted.texels(WeightPart::Weight) {
            Some(size) => Codes::Texture(self.texture_of(&value.name, size, &weight)?),
            None => Codes::Buffer(weight),
        };
        Ok(Some(WeightBuffers { codes, scales }))
    }

    /// A packed matrix `[n, k]` of noise, and its scales where the format has some.
    ///
    /// # Errors
    /// When rows cannot be stored so, or the device has no room.
    pub fn noise(
        &self,
        label: &str,
        format: WeightFormat,
        (n, k): (usize, usize),
        noise: Noise,
    ) -> Result<(Buffer, Option<Buffer>), EngineError> {
        let (weight_bytes, scales_bytes) = packed_bytes(format, n, k)?;
        let fill = match format {
            WeightFormat::M0e4 { .. } | WeightFormat::Affine8 { .. } => "codes",
            WeightFormat::F16 => "halves",
            WeightFormat::F32 => "floats",
        };
        let single = format == WeightFormat::F16 && !k.is_multiple_of(2);
        let block = k.div_ceil(format.weights_per_word());
        let weight = Filling { fill, noise, block, rows: n, single };
        let weight = self.noisy(label, weight_bytes, &weight)?;
        let Some(group) = format.group() else { return Ok((weight, None)) };
        let scales = Filling { fill: "same", noise, block: group.count(k), rows: n, single: false };
        Ok((weight, Some(self.noisy(label, scales_bytes, &scales)?)))
    }

    fn noisy(&self, label: &str, bytes: usize, filling: &Filling) -> Result<Buffer, EngineError> {
        let buffer = self.storage(label, bytes as u64)?;
        let mut encoder = self.encoder();
        for start in (0..bytes as u64).step_by(PIECE as usize) {
            let size = PIECE.min(bytes as u64 - start);
            self.fill(&mut encoder, &buffer, start..start + size, filling)?;
        }
        self.submit([encoder])?;
        Ok(buffer)
    }

    /// Records the filling of some bytes of a buffer.
    fn fill(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffer: &Buffer,
        bytes: Range<u64>,
        filling: &Filling,
    ) -> Result<(), EngineError> {
        let kernel = compile(&KernelSpec::new("noise").with("FILL", filling.fill))?;
        let pipeline = self.pipeline(&kernel)?;
        let lacks = || EngineError::model("noise", "the kernel has no parameters");
        let layout = kernel.reflection.params.as_ref().ok_or_else(lacks)?;
        let vectors = bytes.start / VECTOR..bytes.end / VECTOR;
        let params = filling.params(layout, &vectors)?;
        let uniform = self.uniform("noise params", params.len() as u64)?;
        self.write(&uniform, 0, &params);
        let entries: Vec<_> = kernel
            .reflection
            .slots
            .iter()
            .map(|slot| super::run::entry(slot.binding, buffer, bytes.start, bytes.end - bytes.start))
            .chain([super::run::entry(layout.binding, &uniform, 0, params.len() as u64)])
            .collect();
        let group = self.bind_group(&pipeline, &entries)?;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline.raw());
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(int((vectors.end - vectors.start).div_ceil(THREADS)), 1, 1);
        self.counters().dispatched(1);
        Ok(())
    }
}

/// Whether nothing is known of a constant but its shape.
fn is_nowhere(constant: &Constant) -> bool {
    match constant {
        Constant::Absent => true,
        Constant::Host(_) => false,
        Constant::Blocks { matrix, .. } => matrix.is_absent(),
        Constant::Merged(merged) => merged.parts.iter().all(|part| is_nowhere(&part.constant)),
    }
}
