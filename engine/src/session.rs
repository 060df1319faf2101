//! A model on a device, and sessions of it: each has its own cache and arena; weights, plans and pipelines are shared.

mod choosing;
mod loaded;
mod need;
mod profile;

use std::sync::Arc;

use symbolic::{Bindings, Expr};

use crate::{
    error::EngineError,
    gpu::{Arena, Chooser, Run},
    host::{HostTensor, f8},
    op::Elem,
    weights::held,
};

pub use crate::gpu::Progress;
use loaded::Phased;
pub use loaded::{LoadTimes, LoadedModel};
pub use need::Need;

/// Runs a part of some tokens; whether it is the last.
type RunPart<'a> = dyn FnMut(&mut Session, &[u32], bool) -> Result<(), EngineError> + 'a;

/// One conversation: a cache, and how much of it is filled.
#[derive(Debug)]
pub struct Session {
    model: Arc<LoadedModel>,
    prefill: Run,
    decode: Run,
    bindings: Bindings,
    capacity: usize,
    past: usize,
    /// Steps under way behind those, of tokens that the device chose and that may be dropped again.
    ahead: usize,
    /// Positions that were ever written since the session was empty: a circular cache has lost what lies far before.
    written: usize,
    /// Whether the latest step was one of decode: whose logits there are.
    decoded: bool,
    /// Positions at the start that are padding.
    padding: usize,
    /// Of the inputs that are the same for all steps, which are given.
    remembered: Vec<bool>,
    scratch: Vec<u8>,
}

impl Session {
    /// A session with room for `capacity` positions.
    ///
    /// # Errors
    /// When `capacity` is 0 or beyond the model's context, or the device has no memory for it.
    pub fn new(model: Arc<LoadedModel>, capacity: usize) -> Result<Self, EngineError> {
        let most = model.options.context;
        if capacity == 0 || capacity > most {
            let text = format!("a session holds 1 to {most} positions, {capacity} were asked for");
            return Err(EngineError::model("session", text));
        }
        let chunk = model.chunk.min(capacity);
        let bindings = model.bindings(chunk, 0, capacity);
        let gpu = &model.gpu;
        let full = model.bindings(chunk, capacity, capacity);
        let bytes = model.prefill.plan.arena_bytes(&full)?.max(model.decode.plan.arena_bytes(&full)?);
        let arena = Arena::new(gpu, bytes, &model.prefill.plan, &full)?;
        let run = |phase: &Phased| {
            Run::new(gpu, &phase.plan, &model.weights, &phase.graph, &arena, &bindings, &full)
        };
        let (prefill, decode) = (run(&model.prefill)?, run(&model.decode)?);
        let remembered = vec![false; model.decode.plan.kept.len()];
        Ok(Self {
            prefill,
            decode,
            bindings,
            capacity,
            past: 0,
            ahead: 0,
            written: 0,
            decoded: false,
            padding: 0,
            remembered,
            scratch: Vec::new(),
            model,
        })
    }

    /// Positions in the cache.
    #[must_use]
    pub fn past(&self) -> usize {
        self.past
    }

    /// Positions that the cache has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Most tokens of one run.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.model.chunk.min(self.capacity)
    }

    /// Its memory on the device.
    #[must_use]
    pub fn memory(&self) -> &Arena {
        self.decode.arena()
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    /// Forgets everything after the first `length` positions; the cache itself is left as it is. Returns how many
    /// positions are left: none where a circular cache has written over what came before.
    pub fn truncate(&mut self, length: usize) -> usize {
        self.abandon();
        if length < self.past {
            let lost = self.model.window.is_some_and(|window| self.written > window);
            self.past = if lost { 0 } else { length };
        }
        if self.past == 0 {
            self.written = 0;
        }
        self.padding = self.padding.min(self.past);
        self.past
    }

    /// Declares that the first `count` positions of an empty session are padding: tokens that nobody sees.
    ///
    /// # Errors
    /// When the session is not empty, or its model was loaded without padding.
    pub fn pad_left(&mut self, count: usize) -> Result<(), EngineError> {
        if self.past > 0 || !self.model.options.padding {
            let text = "padding needs an empty session of a model that was loaded with padding";
            return Err(EngineError::model("session", text));
        }
        self.padding = count;
        Ok(())
    }

    /// Gives an empty session what stays the same for all its steps: keys and values that an encoder computed, its mask.
    /// All are of one number of positions, up to the session's capacity; the first of another number makes the session
    /// forget the others.
    ///
    /// # Errors
    /// When the session is not empty, or the model has no such input of this type and shape.
    pub fn remember(&mut self, name: &str, tensor: &HostTensor) -> Result<(), EngineError> {
        let fail = |text: String| Err(EngineError::Input { name: name.to_owned(), text });
        let kept = &self.model.decode.plan.kept;
        let Some(index) = kept.iter().position(|port| port.name == name) else {
            let names: Vec<&str> = kept.iter().map(|port| port.name.as_str()).collect();
            return fail(format!("is nothing to remember; those are {names:?}"));
        };
        if self.past > 0 {
            return fail("can only be given to an empty session".to_owned());
        }
        let (port, memory) = (&kept[index], &self.model.symbols.memory);
        let sizes: Vec<Expr> = port.view.dims.iter().map(|d| d.size.clone()).collect();
        let given = tensor.shape();
        let axis = sizes.iter().position(|size| *size == Expr::from(memory));
        let length = axis.and_then(|axis| given.get(axis)).copied();
        let fits =
            |(size, n): (&Expr, &usize)| size.constant().map_or(length == Some(*n), |size| size == *n as i64);
        if tensor.dtype() != port.dtype
            || given.len() != sizes.len()
            || !sizes.iter().zip(given).all(fits)
            || length.is_some_and(|n| n == 0 || n > self.capacity)
        {
            let (dtype, capacity) = (port.dtype, self.capacity);
            let wanted = format!("{dtype} {sizes:?}, `{memory}` from 1 to {capacity}");
            return fail(format!("is {} {given:?}, the model takes {wanted}", tensor.dtype()));
        }
        if self.model.masks.iter().any(|mask| mask == name) && !tensor.is_flag() {
            return fail("is a mask, of 0 and 1 alone".to_owned());
        }
        if let Some(length) = length
            && self.bindings.get(memory) != Some(length as i64)
        {
            self.bindings.set(memory, length as i64);
            self.remembered.fill(false);
        }
        let bytes = held(name, tensor, port.view.elem)?;
        self.decode.keep(&self.model.gpu, index, &bytes)?;
        self.remembered[index] = true;
        Ok(())
    }

    /// Whether `new` more positions fit.
    ///
    /// # Errors
    /// [`EngineError::ContextFull`] when they do not.
    pub fn check_room(&self, new: usize) -> Result<(), EngineError> {
        let (capacity, past) = (self.capacity, self.past);
        if past + new > capacity {
            return Err(EngineError::ContextFull { capacity, past, new });
        }
        Ok(())
    }

    /// Runs tokens, at most [`Session::chunk`] of them, and returns the logits: of the last position,
    /// `[vocabulary]`, or of all when the model was loaded so, `[tokens, vocabulary]`.
    ///
    /// # Errors
    /// When the tokens do not fit or are not in the vocabulary, or the GPU fails. The session stays usable.
    pub fn run(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let all = self.model.options.all_logits;
        let mut logits = Vec::new();
        self.run_parts(tokens, &mut |session, part, last| {
            session.step(Some(part), None)?;
            session.past += part.len();
            if all || last {
                logits.extend(session.logits()?);
            }
            Ok(())
        })?;
        Ok(logits)
    }

    /// Hands tokens to `step` in parts that can be run together, each with whether it is the last.
    fn run_parts(&mut self, tokens: &[u32], step: &mut RunPart<'_>) -> Result<(), EngineError> {
        self.abandon();
        self.check(tokens)?;
        let mut rest = tokens;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.at_once(rest.len()));
            step(self, now, later.is_empty())?;
            rest = later;
        }
        Ok(())
    }

    /// Whether tokens can be run.
    fn check(&self, tokens: &[u32]) -> Result<(), EngineError> {
        self.check_room(tokens.len())?;
        if tokens.is_empty() || tokens.len() > self.chunk() {
            let text = format!("a run takes 1 to {} tokens, {} are given", self.chunk(), tokens.len());
            return Err(EngineError::model("session", text));
        }
        if let Some(token) = tokens.iter().find(|t| **t as usize >= self.model.vocabulary) {
            let text = format!("token {token} is not in the vocabulary of {}", self.model.vocabulary);
            return Err(EngineError::model("session", text));
        }
        let kept = self.model.decode.plan.kept.iter().zip(&self.remembered);
        let missing: Vec<&str> = kept.filter(|(_, given)| !**given).map(|(p, _)| p.name.as_str()).collect();
        if !missing.is_empty() {
            let text = format!("before its first run a session must be given {missing:?}");
            return Err(EngineError::model("session", text));
        }
        Ok(())
    }

    /// How many of `count` tokens can be run together: a circular cache that is full gives up one position for each, and
    /// those before it in the same run may still look for that.
    fn at_once(&self, count: usize) -> usize {
        match self.model.window {
            Some(window) => count.min(window.saturating_sub(self.past)).max(1),
            None => count,
        }
    }

    /// Submits a step behind all others: of these tokens, or of the one that the device chose last.
    fn step(
        &mut self,
        tokens: Option<&[u32]>,
        choice: Option<(&mut Chooser, u64)>,
    ) -> Result<(), EngineError> {
        self.bring(tokens)?;
        let (gpu, decode) = (&self.model.gpu, self.decoded);
        let run = if decode { &self.decode } else { &self.prefill };
        let Some((chooser, number)) = choice else { return run.submit(gpu) };
        let rows = run.output_len(0)? / self.model.vocabulary.max(1);
        chooser.prepare(gpu, decode, rows, number)?;
        run.submit_choosing(gpu, Some((chooser, decode)))
    }

    /// Gives the run of a step its numbers and inputs. They are written in the order of submissions, so that those of steps
    /// under way stay as they are.
    fn bring(&mut self, tokens: Option<&[u32]>) -> Result<(), EngineError> {
        let (past, padding) = (self.past + self.ahead, self.padding);
        let count = tokens.map_or(1, <[u32]>::len);
        self.bindings.set(&self.model.symbols.seq, count as i64);
        self.bindings.set(&self.model.symbols.past, past as i64);
        let decode = count == 1;
        let run = if decode { &mut self.decode } else { &mut self.prefill };
        let gpu = &self.model.gpu;
        run.advance(gpu, &self.bindings)?;
        let names = &self.model.inputs;
        let int = |v: usize| (v as u32).to_le_bytes();
        if let Some(tokens) = tokens {
            self.scratch.clear();
            self.scratch.extend(tokens.iter().flat_map(|t| t.to_le_bytes()));
            run.write(gpu, &names.tokens, &self.scratch)?;
        }
        if let Some(positions) = &names.positions {
            self.scratch.clear();
            let each = past..past + count;
            self.scratch.extend(each.flat_map(|p| int(p.saturating_sub(padding))));
            run.write(gpu, positions, &self.scratch)?;
        }
        if let Some(mask) = &names.mask {
            self.scratch.clear();
            let (seen, width) = (padding..past + count, run.input_len(mask)?);
            self.scratch.extend((0..width).flat_map(|p| int(usize::from(seen.contains(&p)))));
            run.write(gpu, mask, &self.scratch)?;
        }
        self.written = self.written.max(past + count);
        self.decoded = decode;
        Ok(())
    }

    /// The logits of the latest step, which it waits for.
    fn logits(&self) -> Result<Vec<f32>, EngineError> {
        let run = if self.decoded { &self.decode } else { &self.prefill };
        Ok(floats(&run.read(&self.model.gpu, 0)?, self.model.options.lower.activations))
    }

    /// The filled positions of a cache tensor, `[heads, past, head_dim]` as f32: for tests and inspection. Elements of keys
    /// held as f8 may lie in the order of the product's rows; see [`Cache::elem`](crate::plan::Cache::elem).
    ///
    /// # Errors
    /// When there is no such tensor, or the GPU fails.
    pub fn cache(&self, index: usize) -> Result<Vec<f32>, EngineError> {
        let (bytes, elem) = self.decode.cache(&self.model.gpu, index)?;
        let all = floats(&bytes, elem);
        let heads = self.model.cache_heads.max(1);
        let row = all.len() / heads;
        let length = self.model.window.or(self.model.room).unwrap_or(self.capacity);
        let filled = row / length * self.past.min(length);
        Ok(all.chunks(row.max(1)).flat_map(|head| head[..filled].to_vec()).collect())
    }
}

fn floats(bytes: &[u8], elem: Elem) -> Vec<f32> {
    match elem {
        Elem::F16 => {
            let halves = bytes.as_chunks::<2>().0.iter();
            halves.map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
        Elem::F8 => f8::unpack(bytes),
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}
