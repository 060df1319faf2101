//! A model on a device, and sessions of it: each has its own cache and arena; weights, plans and pipelines are shared.

mod profile;

use std::sync::Arc;

use symbolic::{Bindings, Expr};

use crate::{
    error::EngineError,
    gpu::{Arena, Gpu, Run, Weights},
    graph::Graph,
    host::HostTensor,
    language::{LanguageModel, LanguageOptions, Phase, Prepared, Symbols},
    op::Elem,
    plan::Plan,
    weights::{WeightSource, held},
};

pub use crate::gpu::Progress;

/// A language model with its weights on a device.
#[derive(Debug)]
pub struct LoadedModel {
    gpu: Arc<Gpu>,
    weights: Weights,
    prefill: Phased,
    decode: Phased,
    symbols: Symbols,
    options: LanguageOptions,
    chunk: usize,
    vocabulary: usize,
    cache_heads: usize,
    /// Positions of caches that the model itself gives a length.
    room: Option<usize>,
    /// Positions that the shortest circular cache keeps.
    window: Option<usize>,
    inputs: InputNames,
    /// Of what the session remembers, the masks: 0 and 1 alone.
    masks: Vec<String>,
}

#[derive(Debug)]
struct Phased {
    graph: Graph,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct InputNames {
    tokens: String,
    mask: Option<String>,
    positions: Option<String>,
}

impl LoadedModel {
    /// Plans both phases, brings the weights to the device and makes the pipelines.
    ///
    /// # Errors
    /// When the model cannot be planned, weights are missing, or the device refuses.
    pub fn load(
        gpu: Arc<Gpu>,
        model: &LanguageModel,
        source: &WeightSource,
        mut options: LanguageOptions,
        chunk: usize,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Arc<Self>, EngineError> {
        options.context = options.context.min(model.room().unwrap_or(usize::MAX));
        let chunk = chunk.clamp(1, options.context.max(1));
        let prefill = phased(model.prepare(Phase::Prefill { chunk }, &options)?);
        let decode = phased(model.prepare(Phase::Decode, &options)?);
        let plans = [(&prefill.graph, &*prefill.plan), (&decode.graph, &*decode.plan)];
        let weights = Weights::upload(&gpu, &plans, source, progress)?;
        gpu.make_pipelines(&plans.map(|(_, plan)| plan), progress)?;
        let (tokens, mask, positions) = model.input_names();
        let inputs = InputNames {
            tokens: tokens.to_owned(),
            mask: mask.map(str::to_owned),
            positions: positions.map(str::to_owned),
        };
        let masks = model.memories().filter(|m| model.is_flag(m)).map(str::to_owned).collect();
        let vocabulary = model
            .vocabulary()
            .ok_or_else(|| EngineError::model("load", "the size of the vocabulary is not a number"))?;
        let cache_heads = model.cache_heads().unwrap_or(1);
        let symbols = Symbols::new(chunk, options.context);
        Ok(Arc::new(Self {
            gpu,
            weights,
            prefill,
            decode,
            symbols,
            options,
            chunk,
            vocabulary,
            cache_heads,
            room: model.room(),
            window: model.window(),
            inputs,
            masks,
        }))
    }

    /// The device it is on.
    #[must_use]
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Positions that the longest session may hold.
    #[must_use]
    pub fn context(&self) -> usize {
        self.options.context
    }

    /// Bytes of weights on the device.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// The plan of a phase: prefill, or decode.
    pub fn plan(&self, decode: bool) -> &Plan {
        if decode { &self.decode.plan } else { &self.prefill.plan }
    }

    /// Numbers for the plans' symbols.
    #[must_use]
    pub fn bindings(&self, seq: usize, past: usize, capacity: usize) -> Bindings {
        self.symbols.bindings(seq, past, capacity)
    }

    /// Names of the inputs that a session must be given before its first run; see [`Session::remember`].
    pub fn memories(&self) -> impl Iterator<Item = &str> {
        self.decode.plan.kept.iter().map(|port| port.name.as_str())
    }
}

fn phased(prepared: Prepared) -> Phased {
    Phased { graph: prepared.graph, plan: Arc::new(prepared.plan) }
}

/// One conversation: a cache, and how much of it is filled.
#[derive(Debug)]
pub struct Session {
    model: Arc<LoadedModel>,
    prefill: Run,
    decode: Run,
    bindings: Bindings,
    capacity: usize,
    past: usize,
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
        let scratch = Vec::new();
        Ok(Self { prefill, decode, bindings, capacity, past: 0, padding: 0, remembered, scratch, model })
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
        if length < self.past {
            let lost = self.model.window.is_some_and(|window| self.past > window);
            self.past = if lost { 0 } else { length };
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
        self.check(tokens)?;
        let (mut logits, mut rest) = (Vec::new(), tokens);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.at_once(rest.len()));
            let found = self.step(now)?;
            if self.model.options.all_logits {
                logits.extend(found);
            } else {
                logits = found;
            }
            rest = later;
        }
        Ok(logits)
    }

    /// Whether these tokens can be run now.
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

    fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.bring(tokens)?;
        let run = if tokens.len() == 1 { &mut self.decode } else { &mut self.prefill };
        let bytes = run.execute(&self.model.gpu, 0)?;
        self.past += tokens.len();
        Ok(floats(&bytes, self.model.options.lower.activations))
    }

    /// Gives the run of a step its numbers and inputs.
    fn bring(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.bindings.set(&self.model.symbols.seq, tokens.len() as i64);
        self.bindings.set(&self.model.symbols.past, self.past as i64);
        let run = if tokens.len() == 1 { &mut self.decode } else { &mut self.prefill };
        run.advance(&self.bindings)?;
        let (past, padding) = (self.past, self.padding);
        let names = &self.model.inputs;
        let gpu = &self.model.gpu;
        let int = |v: usize| (v as u32).to_le_bytes();
        self.scratch.clear();
        self.scratch.extend(tokens.iter().flat_map(|t| t.to_le_bytes()));
        run.write(gpu, &names.tokens, &self.scratch)?;
        if let Some(positions) = &names.positions {
            self.scratch.clear();
            let each = past..past + tokens.len();
            self.scratch.extend(each.flat_map(|p| int(p.saturating_sub(padding))));
            run.write(gpu, positions, &self.scratch)?;
        }
        if let Some(mask) = &names.mask {
            self.scratch.clear();
            let (seen, width) = (padding..past + tokens.len(), run.input_len(mask)?);
            self.scratch.extend((0..width).flat_map(|p| int(usize::from(seen.contains(&p)))));
            run.write(gpu, mask, &self.scratch)?;
        }
        Ok(())
    }

    /// The filled positions of a cache tensor, `[heads, past, head_dim]` as f32: for tests and inspection.
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
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}
