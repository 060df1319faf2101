//! A language model among graphs: tokens and KV cache are found by structure, mask and positions by their names; and
//! the two plans that text generation runs.

mod edit;
mod roles;

use symbolic::{Bindings, Expr, Substitution, Symbol};

use crate::{
    error::EngineError,
    graph::{Fact, Graph, ValueId},
    infer,
    op::{Elem, LowerOptions},
    passes::{self, Cx, PassOptions, Report},
    plan::{Cache, Plan, PlanOptions},
};
use edit::{
    assume_ones, forget, forget_unchanged, last_position_only, one_batch, set_known, take_the_cache_branch,
};
use roles::{CachePort, Cursor, counts, find_cache, find_cursors, find_tokens};

/// A graph whose inputs and outputs have the roles of a language model: of a decoder alone, or of one that sees an
/// encoder's output through inputs that stay the same for all steps.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    graph: Graph,
    tokens: ValueId,
    mask: Option<ValueId>,
    positions: Option<ValueId>,
    logits: usize,
    caches: Vec<CachePort>,
    cursors: Vec<Cursor>,
    /// Inputs without another role: given once, the same for all steps.
    memories: Vec<ValueId>,
}

/// Infers types, and says what to do about tensors that a mixture of experts cuts by what its router chooses.
fn typed(graph: &mut Graph) -> Result<(), EngineError> {
    let chooses = graph.nodes.iter().any(|n| n.op.name() == "TopK");
    infer::infer(graph).map_err(|error| match &error {
        EngineError::Op { source, .. } if chooses && source.lacks_inputs() => EngineError::model(
            "roles",
            format!(
                "{error}; this looks like a mixture of experts that sorts tokens by expert, so that sizes depend on data: \
                 call model.set_experts_implementation(\"batched_mm\") before exporting it"
            ),
        ),
        _ => error,
    })
}

/// Which of the two plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Up to `chunk` new tokens at once.
    Prefill {
        /// Most tokens of one run.
        chunk: usize,
    },
    /// One new token.
    Decode,
}

/// What generation plans are made for.
#[derive(Clone, Debug)]
pub struct LanguageOptions {
    /// Device and element choices.
    pub lower: LowerOptions,
    /// Weight formats and fusion.
    pub passes: PassOptions,
    /// Positions that the longest session may hold.
    pub context: usize,
    /// How KV caches are held.
    pub cache: Elem,
    /// Whether some prompts are padded on the left; otherwise the mask input is known to be all ones.
    pub padding: bool,
    /// Whether logits of every new position are wanted, not only of the last.
    pub all_logits: bool,
}

/// A plan with the graph it was made from.
#[derive(Debug)]
pub struct Prepared {
    /// The fused graph.
    pub graph: Graph,
    /// What fusion did.
    pub report: Report,
    /// The plan.
    pub plan: Plan,
    /// What the plan is made for.
    pub options: PlanOptions,
}

/// Names of the symbols in generation plans.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// New positions of the run.
    pub seq: Symbol,
    /// Positions in the cache before the run.
    pub past: Symbol,
    /// Positions that the cache has room for.
    pub capacity: Symbol,
    /// Positions of what a session remembers of an encoder.
    pub memory: Symbol,
}

impl Symbols {
    /// For runs of up to `chunk` tokens in sessions of up to `context`.
    #[must_use]
    pub fn new(chunk: usize, context: usize) -> Self {
        Self {
            seq: Symbol::new("seq").with_range(1, chunk.max(1) as i64),
            past: Symbol::new("past").with_range(0, context as i64),
            capacity: Symbol::new("capacity").with_range(1, context.max(1) as i64),
            memory: Symbol::new("memory").with_range(1, context.max(1) as i64),
        }
    }

    /// Numbers for a run of `seq` positions after `past`, with room for `capacity`, as many of which are remembered.
    #[must_use]
    pub fn bindings(&self, seq: usize, past: usize, capacity: usize) -> Bindings {
        Bindings::new()
            .with(&self.seq, seq as i64)
            .with(&self.past, past as i64)
            .with(&self.capacity, capacity as i64)
            .with(&self.memory, capacity as i64)
    }
}

impl LanguageModel {
    /// Finds the roles in a graph whose types are inferred.
    ///
    /// # Errors
    /// When it is no decoder with a cache, with what is missing or in the way.
    pub fn recognise(mut graph: Graph) -> Result<Self, EngineError> {
        let chosen = take_the_cache_branch(&mut graph)?;
        let cursors = find_cursors(&graph);
        for cursor in &cursors {
            set_known(&mut graph, cursor.input, &Expr::from(&cursor.symbol()));
        }
        if chosen || graph.nodes.iter().flat_map(|n| &n.outputs).any(|o| graph.fact(*o).is_none()) {
            one_batch(&mut graph);
            typed(&mut graph)?;
        }
        passes::simplify(&mut graph)?;
        forget_unchanged(&mut graph)?;
        let fail = |text: String| EngineError::model("roles", text);
        let tokens = find_tokens(&graph).ok_or_else(|| {
            fail("no input is looked up in a constant table: there is no token input".to_owned())
        })?;
        let counted = counts(&graph, &cursors);
        forget(&mut graph, &counted)?;
        let cx = Cx::new(&graph);
        let caches: Vec<CachePort> = graph.inputs.iter().filter_map(|i| find_cache(&cx, *i)).collect();
        if caches.is_empty() {
            let text = "no input comes out again with new positions behind or in it: there is no KV cache; \
                        export the model with past_key_values";
            return Err(fail(text.to_owned()));
        }
        // What is as long as keys that stay the same is of the encoder, whatever it is called.
        let length = |i: ValueId, axis: usize| graph.fact(i).and_then(|f| f.shape.get(axis)?.as_symbol());
        let kept = |i: &ValueId| {
            graph.fact(*i).is_some_and(|f| f.rank() == 4) && !caches.iter().any(|c| c.past == *i)
        };
        let beside_memory = |i: ValueId| {
            let own = length(i, 1);
            own.is_some() && graph.inputs.iter().filter(|m| kept(m)).any(|m| length(*m, 2) == own)
        };
        let named = |part: &str| {
            let free = |i: &ValueId| *i != tokens && !cursors.iter().any(|c| c.input == *i);
            let own = |i: &ValueId| !graph.value(*i).name.contains("encoder_") && !beside_memory(*i);
            let called = |i: &ValueId| free(i) && own(i) && graph.value(*i).name.contains(part);
            graph.inputs.iter().copied().find(called)
        };
        let (mask, positions) = (named("mask"), named("position"));
        let known = |i: &ValueId| {
            *i == tokens
                || Some(*i) == mask
                || Some(*i) == positions
                || caches.iter().any(|c| c.past == *i)
                || cursors.iter().any(|c| c.input == *i)
        };
        let memories: Vec<ValueId> = graph.inputs.iter().copied().filter(|i| !known(i)).collect();
        let logits = (0..graph.outputs.len()).find(|o| caches.iter().all(|c| c.present != *o));
        let logits = logits.ok_or_else(|| fail("every output is a cache: there are no logits".to_owned()))?;
        let whole = |m: &ValueId| graph.fact(*m).is_some_and(|f| f.dtype.is_int());
        let masks = memories.iter().copied().filter(|m| graph.value(*m).name.contains("mask"));
        graph.flags = mask.into_iter().chain(masks).filter(whole).collect();
        Ok(Self { tokens, mask, positions, logits, caches, cursors, memories, graph })
    }

    /// Number of tensors in the cache, two for each layer.
    #[must_use]
    pub fn cache_count(&self) -> usize {
        self.caches.len()
    }

    /// Cache elements that one position takes, over all layers.
    #[must_use]
    pub fn cache_elements_per_token(&self) -> Option<i64> {
        let each = |c: &CachePort| {
            let shape = &self.graph.fact(c.past)?.shape;
            (1..shape.len()).filter(|a| *a != c.axis).map(|a| shape[a].constant()).product::<Option<i64>>()
        };
        self.caches.iter().map(each).sum()
    }

    /// Heads of a cache tensor, those of the first.
    #[must_use]
    pub fn cache_heads(&self) -> Option<usize> {
        let fact = self.graph.fact(self.caches.first()?.past)?;
        usize::try_from(fact.shape.get(1)?.constant()?).ok()
    }

    /// Positions that the model itself makes room for: its caches are of a fixed length.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        self.shortest(|c| c.roomy && !c.circular)
    }

    /// Positions that the shortest cache keeps of those that went by, where positions behind its last begin again at
    /// the first.
    #[must_use]
    pub fn window(&self) -> Option<usize> {
        self.shortest(|c| c.circular)
    }

    fn shortest(&self, of: impl Fn(&&CachePort) -> bool) -> Option<usize> {
        let room = |c: &CachePort| self.graph.fact(c.past)?.shape[c.axis].constant();
        let least = self.caches.iter().filter(of).filter_map(room).min()?;
        usize::try_from(least).ok()
    }

    /// Size of the vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> Option<usize> {
        let fact = self.graph.fact(*self.graph.outputs.get(self.logits)?)?;
        usize::try_from(fact.shape.last()?.constant()?).ok()
    }

    /// The model's names of its inputs: tokens, mask, positions.
    #[must_use]
    pub fn input_names(&self) -> (&str, Option<&str>, Option<&str>) {
        let name = |id: ValueId| self.graph.value(id).name.as_str();
        (name(self.tokens), self.mask.map(name), self.positions.map(name))
    }

    /// Inputs that a session is given once, such as the keys and values of an encoder, and its mask.
    pub fn memories(&self) -> impl Iterator<Item = &str> {
        self.memories.iter().map(|m| self.graph.value(*m).name.as_str())
    }

    /// Whether an input holds nothing but 0 and 1.
    #[must_use]
    pub fn is_flag(&self, input: &str) -> bool {
        self.graph.flags.iter().any(|f| self.graph.value(*f).name == input)
    }

    /// Fuses and plans one phase.
    ///
    /// # Errors
    /// When types do not fit once batch is 1, an operator has no kernel, or prompts are to be padded and nothing in the
    /// model reads a mask: it would attend to the padding.
    pub fn prepare(&self, phase: Phase, options: &LanguageOptions) -> Result<Prepared, EngineError> {
        let chunk = if let Phase::Prefill { chunk } = phase { chunk } else { 1 };
        let symbols = Symbols::new(chunk, options.context);
        let seq = if phase == Phase::Decode { Expr::from(1) } else { Expr::from(&symbols.seq) };
        let mut graph = self.graph.clone();
        let past = Expr::from(&symbols.past);
        let total = &past + &seq;
        infer::specialise(&mut graph, &self.substitution(&seq, &past, &symbols));
        graph.inputs.retain(|i| self.cursors.iter().all(|c| c.input != *i));
        let of_positions = |m: &ValueId| graph.fact(*m).is_some_and(|f| f.shape.get(1) == Some(&total));
        if let Some(mask) = self.mask.filter(|m| !options.padding && of_positions(m)) {
            assume_ones(&mut graph, mask)?;
        }
        typed(&mut graph)?;
        let report = passes::run(&mut graph, &options.passes)?;
        if options.padding {
            self.check_mask_is_read(&graph)?;
        }
        if !options.all_logits {
            last_position_only(&mut graph, self.logits, &seq)?;
        }
        let caches = self.caches_of(&mut graph, options.cache);
        let options = PlanOptions {
            lower: options.lower.clone(),
            caches,
            kept: self.memories.clone(),
            capacity: symbols.capacity.clone(),
            stepping: vec![symbols.past, symbols.seq, symbols.memory],
        };
        let plan = Plan::new(&graph, &options)?;
        Ok(Prepared { graph, report, plan, options })
    }

    /// The caches of a fused graph. Words of 8-bit floats are made of what a thread of a product has.
    fn caches_of(&self, graph: &mut Graph, elem: Elem) -> Vec<Cache> {
        let ports: Vec<_> = self.caches.iter().map(|c| (c.past, graph.outputs[c.present])).collect();
        let in_rows = if elem == Elem::F8 { passes::rows::run(graph, &ports) } else { Vec::new() };
        let of = |(c, (past, present)): (&CachePort, _)| Cache {
            past,
            present,
            axis: c.axis,
            elem,
            in_rows: in_rows.contains(&(past, present)),
        };
        self.caches.iter().zip(ports).map(of).collect()
    }

    fn check_mask_is_read(&self, planned: &Graph) -> Result<(), EngineError> {
        let why = match self.mask {
            Some(mask) if !planned.links().consumers(mask).is_empty() => return Ok(()),
            Some(mask) => format!("its input {:?} only counts positions", planned.value(mask).name),
            None => "it has no mask input".to_owned(),
        };
        let text = format!("this model would attend to padding on the left of a prompt: {why}");
        Err(EngineError::model("padding", text))
    }

    /// Batch 1, and one name for each length however the exporter called it.
    fn substitution(&self, seq: &Expr, past: &Expr, symbols: &Symbols) -> Substitution {
        let mut put = Substitution::new();
        let one = Expr::from(1);
        let total = past + seq;
        let capacity = &Expr::from(&symbols.capacity);
        for memory in &self.memories {
            self.put(&mut put, *memory, 0, &one);
            let rank = self.graph.fact(*memory).map_or(0, Fact::rank);
            (1..rank).for_each(|axis| self.put(&mut put, *memory, axis, &Expr::from(&symbols.memory)));
        }
        if let Some(mask) = self.mask {
            self.put(&mut put, mask, 0, &one);
            self.put(&mut put, mask, 1, &total);
        }
        for cache in &self.caches {
            self.put(&mut put, cache.past, 0, &one);
            self.put(&mut put, cache.past, cache.axis, if cache.roomy { capacity } else { past });
        }
        for cursor in &self.cursors {
            put.set(&cursor.symbol(), if cursor.total { total.clone() } else { past.clone() });
        }
        for id in [Some(self.tokens), self.positions].into_iter().flatten() {
            self.put(&mut put, id, 0, &one);
            self.put(&mut put, id, 1, seq);
        }
        put
    }

    fn put(&self, into: &mut Substitution, id: ValueId, axis: usize, by: &Expr) {
        let dim = self.graph.fact(id).and_then(|f| f.shape.get(axis));
        if let Some(symbol) = dim.and_then(Expr::as_symbol) {
            into.set(symbol, by.clone());
        }
    }
}
