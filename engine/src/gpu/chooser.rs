//! Choosing the next token where the logits are: two small kernels behind a step's own. The token's id is written where the
//! next step looks its embedding up, and comes back to the CPU by itself.

use std::sync::Arc;

use shaders::{Kernel, KernelSpec, ParamWriter, ShaderError};

use super::{Buffer, Gpu, Pipeline, costs::Part, readback::Readback, run::Range};
use crate::{
    error::EngineError,
    op::Elem,
    sampler::{OnDevice, SampleError},
};

/// Sections that the vocabulary is cut into: one for each thread of the second kernel.
const SECTIONS: u32 = 64;
/// Tokens of a section whose penalties the first kernel has bits for.
const LARGEST_SECTION: u32 = 256 * 32;
/// What the second kernel says instead of a token.
const NO_CHOICE: u32 = u32::MAX;
const TOO_SHORT: u32 = u32::MAX - 1;

/// What came of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A token.
    Token(u32),
    /// The filters keep more tokens than the device looked at: the whole logits decide.
    Undecided,
}

/// A kernel, ready to be called.
#[derive(Debug)]
struct Stage {
    kernel: Kernel,
    pipeline: Arc<Pipeline>,
    params_at: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Chooser {
    how: OnDevice,
    vocabulary: u32,
    shortlist: Stage,
    choose: Stage,
    /// Of the logits of prefill and of decode: the first kernel's group, the first element, elements of all rows.
    after: [(wgpu::BindGroup, u32); 2],
    join: wgpu::BindGroup,
    token_first: u32,
    params: Buffer,
    bytes: Vec<u8>,
    recent: Buffer,
    chosen: Buffer,
    /// Tokens before the one that is chosen next.
    seen: usize,
    results: Readback,
}

/// The kernels of a way to choose.
fn specs(how: &OnDevice, logits: Elem) -> [KernelSpec; 2] {
    let shortlist = KernelSpec::new("shortlist")
        .with("ELEM", logits.wgsl())
        .flag("NOISE", how.noise)
        .flag("PENALTY", how.window > 0);
    [shortlist, KernelSpec::new("choose")]
}

impl Gpu {
    /// Makes the pipelines by which the likeliest token is chosen.
    pub(crate) fn prepare_choice(&self, logits: Elem) -> Result<(), EngineError> {
        let likeliest = crate::sampler::Sampling::default();
        for spec in OnDevice::of(&likeliest).iter().flat_map(|how| specs(how, logits)) {
            self.pipeline(&shaders::compile(&spec)?)?;
        }
        Ok(())
    }
}

impl Chooser {
    /// For the logits that prefill and decode leave, and the token that decode reads; `None` for a vocabulary that is too
    /// large for the kernels.
    pub fn new(
        gpu: &Gpu,
        how: OnDevice,
        vocabulary: usize,
        [prefill, decode]: [Range; 2],
        token: &Range,
    ) -> Result<Option<Self>, EngineError> {
        let Ok(vocabulary) = u32::try_from(vocabulary) else { return Ok(None) };
        let section = vocabulary.div_ceil(SECTIONS);
        if vocabulary == 0 || section > LARGEST_SECTION {
            return Ok(None);
        }
        let align = usize::try_from(gpu.offset_alignment()).unwrap_or(256);
        let stage = |spec: &KernelSpec, params_at: usize| {
            let kernel = shaders::compile(spec)?;
            Ok::<_, EngineError>(Stage { pipeline: gpu.pipeline(&kernel)?, kernel, params_at })
        };
        let [first, second] = specs(&how, prefill.elem);
        let shortlist = stage(&first, 0)?;
        let choose = stage(&second, shortlist.params_size().next_multiple_of(align))?;
        let bytes = vec![0; choose.params_at + choose.params_size()];
        let params = gpu.uniform("choice params", bytes.len() as u64)?;
        let parts = gpu.storage("choice parts", u64::from(SECTIONS) * (2 * how.keep as u64 + 2) * 4)?;
        let recent = gpu.storage("recent tokens", how.window as u64 * 4)?;
        let chosen = gpu.storage("chosen token", 4)?;
        let whole = |buffer: &Buffer| Range::whole(buffer, Elem::U32);
        let after = |logits: &Range| {
            let slots = [("logits", logits), ("parts", &whole(&parts)), ("recent", &whole(&recent))];
            Ok::<_, EngineError>((shortlist.group(gpu, &slots, &params)?, logits.first))
        };
        let after = [after(&prefill)?, after(&decode)?];
        let slots = [
            ("parts", &whole(&parts)),
            ("recent", &whole(&recent)),
            ("chosen", &whole(&chosen)),
            ("token", token),
        ];
        let join = choose.group(gpu, &slots, &params)?;
        Ok(Some(Self {
            how,
            vocabulary,
            shortlist,
            choose,
            after,
            join,
            token_first: token.first,
            params,
            bytes,
            recent,
            chosen,
            seen: 0,
            results: Readback::new(gpu)?,
        }))
    }

    /// Tells it all tokens before the next choice. Tokens that it chooses itself it knows.
    pub fn remember(&mut self, gpu: &Gpu, history: &[u32]) {
        self.seen = history.len();
        let window = self.how.window;
        if window == 0 {
            return;
        }
        let mut ring = vec![u32::MAX; window];
        let first = history.len().saturating_sub(window);
        for (at, token) in history.iter().enumerate().skip(first) {
            ring[at % window] = *token;
        }
        let bytes: Vec<u8> = ring.iter().flat_map(|t| t.to_le_bytes()).collect();
        gpu.write(&self.recent, 0, &bytes);
    }

    /// Puts in the numbers of the next choice: from the last of `rows` rows of logits, by a random number.
    pub fn prepare(&mut self, gpu: &Gpu, decode: bool, rows: usize, number: u64) -> Result<(), EngineError> {
        let first = self.after[usize::from(decode)].1;
        let row = u32::try_from(rows.saturating_sub(1)).unwrap_or(0).checked_mul(self.vocabulary);
        let place = row.and_then(|row| row.checked_add(first));
        let place =
            place.ok_or_else(|| EngineError::model("choose", "the logits are too many to be counted"))?;
        let how = self.how;
        let int = |n: usize| n as u32;
        let (vocabulary, token, seen) = (self.vocabulary, self.token_first, self.seen);
        let section = vocabulary.div_ceil(SECTIONS);
        self.shortlist.write(&mut self.bytes, |w| {
            w.u32("count", vocabulary)?;
            w.u32("section", section)?;
            w.u32("k", int(how.keep))?;
            w.f32("inverse_temperature", how.inverse_temperature)?;
            w.u32("seed_low", number as u32)?;
            w.u32("seed_high", (number >> 32) as u32)?;
            w.u32("window", int(how.window))?;
            w.f32("penalty", how.penalty)?;
            w.f32("inverse_penalty", 1.0 / how.penalty)?;
            w.u32("logits_offset", place)?;
            w.u32("parts_offset", 0)?;
            if how.window > 0 { w.u32("recent_offset", 0) } else { Ok(()) }
        })?;
        self.choose.write(&mut self.bytes, |w| {
            w.u32("sections", vocabulary.div_ceil(section))?;
            w.u32("k", int(how.keep))?;
            w.u32("whole", u32::from(how.whole))?;
            // The greatest of noisy scores is the draw.
            w.f32("inverse_temperature", if how.noise { 0.0 } else { how.inverse_temperature })?;
            w.f32("top_p", how.top_p)?;
            w.f32("min_p", how.min_p)?;
            w.f32("draw", (number >> 40) as f32 / (1u32 << 24) as f32)?;
            w.u32("window", int(how.window))?;
            w.u32("recent_at", int(seen.checked_rem(how.window).unwrap_or(0)))?;
            w.u32("parts_offset", 0)?;
            w.u32("recent_offset", 0)?;
            w.u32("chosen_offset", 0)?;
            w.u32("token_offset", token)
        })?;
        gpu.costs().time(Part::Write, || gpu.write(&self.params, 0, &self.bytes));
        Ok(())
    }

    /// Records both kernels behind those of a step.
    pub(super) fn dispatch(&self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>, decode: bool) {
        let sections = self.vocabulary.div_ceil(self.vocabulary.div_ceil(SECTIONS));
        let calls =
            [(&self.shortlist, &self.after[usize::from(decode)].0, sections), (&self.choose, &self.join, 1)];
        for (stage, group, workgroups) in calls {
            pass.set_pipeline(stage.pipeline.raw());
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(workgroups, 1, 1);
        }
        gpu.counters().dispatched(2);
    }

    /// Records the copy of what is chosen.
    pub(super) fn copy(&mut self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> Result<(), EngineError> {
        Ok(self.results.record(gpu, encoder, &self.chosen)?)
    }

    /// A choice is under way.
    pub(super) fn begin(&mut self, submission: wgpu::SubmissionIndex) {
        self.results.begin(submission);
        self.seen += 1;
    }

    /// Choices under way.
    pub fn pending(&self) -> usize {
        self.results.len()
    }

    /// Drops the choices under way.
    pub fn forget(&mut self) {
        self.results.forget();
    }

    /// The oldest choice, which it waits for; `None` when there is none.
    ///
    /// # Errors
    /// When no logit is a number, or the GPU fails.
    pub fn take(&mut self, gpu: &Gpu) -> Result<Option<Choice>, EngineError> {
        match gpu.costs().time(Part::Read, || self.results.take(gpu))? {
            None => Ok(None),
            Some(NO_CHOICE) => Err(SampleError::NoChoice { count: self.vocabulary as usize }.into()),
            Some(TOO_SHORT) => Ok(Some(Choice::Undecided)),
            Some(token) => Ok(Some(Choice::Token(token))),
        }
    }
}

impl Stage {
    fn params_size(&self) -> usize {
        self.kernel.reflection.params.as_ref().map_or(0, |p| p.size as usize)
    }

    fn write(
        &self,
        bytes: &mut [u8],
        fill: impl FnOnce(&mut ParamWriter<'_>) -> Result<(), ShaderError>,
    ) -> Result<(), ShaderError> {
        let Some(layout) = &self.kernel.reflection.params else { return Ok(()) };
        let mut writer = layout.writer(&mut bytes[self.params_at..])?;
        fill(&mut writer)?;
        writer.finish()
    }

    fn group(
        &self,
        gpu: &Gpu,
        ranges: &[(&str, &Range)],
        params: &Buffer,
    ) -> Result<wgpu::BindGroup, EngineError> {
        let mut entries = Vec::new();
        let reflection = &self.kernel.reflection;
        for slot in &reflection.slots {
            let found = ranges.iter().find(|(name, _)| *name == slot.name);
            let (_, range) = found.ok_or_else(|| {
                EngineError::model("choose", format!("nothing is bound to {:?}", slot.name))
            })?;
            entries.push(super::run::entry(slot.binding, &range.buffer, range.offset, range.size));
        }
        if let Some(layout) = &reflection.params {
            let size = u64::from(layout.size);
            entries.push(super::run::entry(layout.binding, params, self.params_at as u64, size));
        }
        Ok(gpu.bind_group(&self.pipeline, &entries)?)
    }
}
