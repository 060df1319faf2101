//! The plan: every step, every buffer and every size of a graph on a device, made once, as expressions.
//!
//! Lowering turns nodes into [`Step`]s over roots; the memory plan places the arena's roots; [`Plan::bind`] puts
//! numbers in for the symbols, and [`BoundPlan::advance`](bind::BoundPlan::advance) only re-evaluates what names
//! the symbols that change from step to step.

mod bind;
mod call;
mod memory;
mod place;
mod text;
mod work;

use std::collections::BTreeSet;

use symbolic::{Bindings, Equality, Expr, Symbol};

pub use bind::{BoundCall, BoundFill, BoundPlan, BoundSlot, Memory};
pub use call::{Call, Scalar};
pub use memory::{Arena, Place, Placed};
pub use work::Work;

use crate::{
    dtype::DType,
    error::{EngineError, OpError},
    graph::{Fact, Graph, ValueId},
    op::{
        Choice, Dim, Elem, LowerOptions, Lowering, Root, RootId, RootKind, Slot, Step, View, WeightUse,
        f8_copy, lower::Lowered,
    },
};

/// One tensor of the KV cache: `past` is read and `present` written in one allocation.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The graph input that holds what earlier steps computed, `[batch, heads, past, head_dim]`, or has room for all
    /// positions.
    pub past: ValueId,
    /// The graph output that holds it with the new positions behind.
    pub present: ValueId,
    /// The dimension of positions.
    pub axis: usize,
    /// How its floats are held: f8 or not at all, f16 where what writes it can.
    pub elem: Elem,
    /// Whether the elements of a head lie in the order of a product's rows, in which attention alone reads them.
    pub in_rows: bool,
}

/// An input or output of a run.
#[derive(Clone, Debug)]
pub struct Port {
    /// The model's name for it.
    pub name: String,
    /// Its type in the model.
    pub dtype: DType,
    /// Where its elements lie: row-major, from the start of a root of the arena.
    pub view: View,
}

/// What a plan is made for.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Device and element choices.
    pub lower: LowerOptions,
    /// KV caches kept on the device; inputs and outputs that are not named here go through the arena.
    pub caches: Vec<Cache>,
    /// Inputs that are given once for many runs: each in a buffer of its own, as caches are.
    pub kept: Vec<ValueId>,
    /// The symbol for the number of positions each cache has room for, unless its size is a number.
    pub capacity: Symbol,
    /// Symbols that change from step to step, with everything else as it was.
    pub stepping: Vec<Symbol>,
}

/// See the module.
#[derive(Debug)]
#[must_use]
pub struct Plan {
    /// Everything that happens in a run, in order, as lowering said it.
    pub steps: Vec<Step>,
    /// The kernel calls among the steps, ready to be bound.
    pub calls: Vec<Call>,
    /// All memory that views point into.
    pub roots: Vec<Root>,
    /// Constants needed on the device.
    pub weights: Vec<WeightUse>,
    /// What a run is given.
    pub inputs: Vec<Port>,
    /// What is given once for many runs, behind the caches in order.
    pub kept: Vec<Port>,
    /// What a run returns, caches left out.
    pub outputs: Vec<Port>,
    /// Which kernels were chosen, and which others there were.
    pub choices: Vec<Choice>,
    /// Where the arena's roots lie.
    pub arena: Arena,
    /// Sizes that a binding must make equal.
    pub pending: Vec<Equality>,
    stepping: Vec<Symbol>,
}

impl Plan {
    /// Plans a graph whose types are inferred.
    ///
    /// # Errors
    /// When an operator has no kernel for its node on this device, with the node's name.
    pub fn new(graph: &Graph, options: &PlanOptions) -> Result<Self, EngineError> {
        let mut lowered = Lowered::default();
        let kept = bring_kept(graph, options, &mut lowered)?;
        let inputs = bring_inputs(graph, options, &mut lowered)?;
        place::assign(graph, options, &mut lowered);
        for node in &graph.nodes {
            let known = node.outputs.iter().all(|o| graph.fact(*o).is_some_and(|f| f.content.is_some()));
            if known {
                continue;
            }
            let choices = lowered.choices.len();
            let mut cx = Lowering { graph, node, options: &options.lower, lowered: &mut lowered };
            node.op
                .lower(&mut cx)
                .map_err(|source| EngineError::at("plan", &node.name, node.op.name(), source))?;
            lowered.end_choice(choices);
        }
        let outputs = bring_outputs(graph, options, &mut lowered)?;
        let Lowered { roots, steps, weights, choices, .. } = lowered;
        let arena = Arena::new(&roots, &steps, &inputs, &outputs);
        let calls = call::compile(&steps)?;
        let stepping = options.stepping.clone();
        let pending = graph.pending.clone();
        Ok(Self { steps, calls, roots, weights, inputs, kept, outputs, choices, arena, pending, stepping })
    }

    /// Every symbol that a binding must give.
    #[must_use]
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut all = BTreeSet::new();
        let mut add = |e: &Expr| all.extend(e.symbols().cloned());
        for root in &self.roots {
            add(&root.len);
        }
        for call in &self.calls {
            call.for_each_expr(&mut add);
        }
        for step in &self.steps {
            if let Step::Fill { content, .. } = step {
                content.iter().for_each(&mut add);
            }
        }
        self.pending.iter().flat_map(|e| [&e.a, &e.b]).for_each(&mut add);
        all
    }

    /// Kernel calls in one run at most.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.calls.len()
    }

    /// Kernel calls in one run for a binding: those that have workgroups.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn dispatches_for(&self, bindings: &Bindings) -> Result<usize, EngineError> {
        self.calls.iter().try_fold(0, |n, call| Ok(n + usize::from(!call.grid.is_empty(bindings)?)))
    }

    /// Bytes of the arena for a binding.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn arena_bytes(&self, bindings: &Bindings) -> Result<u64, EngineError> {
        Ok(u64::try_from(self.arena.size.eval(bindings)?).unwrap_or(0))
    }

    /// The most bytes that are alive at once for a binding: no plan can do with less.
    ///
    /// # Errors
    /// When a symbol is not bound or a size overflows.
    pub fn lower_bound(&self, bindings: &Bindings) -> Result<u64, EngineError> {
        self.arena.lower_bound(&self.roots, bindings)
    }

    /// The symbols that change from step to step.
    #[must_use]
    pub fn stepping(&self) -> &[Symbol] {
        &self.stepping
    }
}

/// Everything that lives longer than a run.
fn bring_kept(graph: &Graph, options: &PlanOptions, lowered: &mut Lowered) -> Result<Vec<Port>, EngineError> {
    let links = graph.links();
    for (index, cache) in options.caches.iter().enumerate() {
        let fact = typed(graph, cache.past)?;
        let writer = links.producer(cache.present).map(|at| &graph.nodes[at]);
        let converts = writer.is_some_and(|node| node.op.converts());
        let elem = if converts { cache.elem } else { Elem::of(fact.dtype, options.lower.activations) };
        if cache.elem == Elem::F8 {
            check_words(graph, cache, converts)?;
        }
        let mut shape = fact.shape.clone();
        if shape[cache.axis].constant().is_none() {
            shape[cache.axis] = Expr::from(&options.capacity);
        }
        let len = shape.iter().fold(Expr::from(1), |n, d| &n * d);
        let name = graph.value(cache.present).name.clone();
        let root = lowered.root(Root { kind: RootKind::Cache(index), elem, len, name });
        let whole = View::contiguous(root, elem, &shape);
        lowered.views.insert(cache.past, prefix(&whole, fact));
        lowered.placements.insert(cache.present, prefix(&whole, typed(graph, cache.present)?));
    }
    let mut ports = Vec::new();
    for (index, id) in options.kept.iter().enumerate() {
        let fact = typed(graph, *id)?;
        let elem = Elem::of(fact.dtype, options.lower.activations);
        let (kind, name) = (RootKind::Cache(options.caches.len() + index), graph.value(*id).name.clone());
        let root = lowered.root(Root { kind, elem, len: fact.len(), name: name.clone() });
        let view = View::contiguous(root, elem, &fact.shape);
        lowered.views.insert(*id, view.clone());
        ports.push(Port { name, dtype: fact.dtype, view });
    }
    Ok(ports)
}

/// Whether a cache can be held in words of four neighbours of a head.
fn check_words(graph: &Graph, cache: &Cache, converts: bool) -> Result<(), EngineError> {
    let (name, fact) = (&graph.value(cache.present).name, typed(graph, cache.past)?);
    let last = fact.shape.len().saturating_sub(1);
    let text = match fact.shape.last() {
        _ if !converts => "what writes it knows of no other floats than those of activations".to_owned(),
        Some(size) if cache.axis == last || size.multiple_of() % f8_copy::WORD != 0 => {
            format!("it is {fact}, whose last dimension is not of heads of a multiple of {}", f8_copy::WORD)
        }
        _ => return Ok(()),
    };
    let text = format!("the KV cache {name:?} cannot be held in 8 bits, but in f16 or f32: {text}");
    Err(EngineError::model("plan", text))
}

fn bring_inputs(
    graph: &Graph,
    options: &PlanOptions,
    lowered: &mut Lowered,
) -> Result<Vec<Port>, EngineError> {
    let mut ports = Vec::new();
    for id in &graph.inputs {
        if lowered.views.contains_key(id) {
            continue;
        }
        let fact = typed(graph, *id)?;
        let elem = Elem::of(fact.dtype, options.lower.activations);
        let name = graph.value(*id).name.clone();
        let root = lowered.root(Root { kind: RootKind::Arena, elem, len: fact.len(), name: name.clone() });
        let view = View::contiguous(root, elem, &fact.shape);
        lowered.views.insert(*id, view.clone());
        ports.push(Port { name, dtype: fact.dtype, view });
    }
    Ok(ports)
}

/// The first positions of a cache: its strides, the value's sizes.
fn prefix(whole: &View, fact: &Fact) -> View {
    let dims = whole.dims.iter().zip(&fact.shape);
    let dims = dims.map(|(d, size)| Dim { size: size.clone(), stride: d.stride.clone() }).collect();
    View { dims, ..whole.clone() }
}

fn bring_outputs(
    graph: &Graph,
    options: &PlanOptions,
    lowered: &mut Lowered,
) -> Result<Vec<Port>, EngineError> {
    let mut ports = Vec::new();
    for id in &graph.outputs {
        if options.caches.iter().any(|c| c.present == *id) {
            continue;
        }
        let fact = typed(graph, *id)?;
        let node = crate::graph::Node {
            name: graph.value(*id).name.clone(),
            op: std::sync::Arc::new(ReadBack),
            inputs: vec![Some(*id)],
            outputs: Vec::new(),
        };
        let mut cx = Lowering { graph, node: &node, options: &options.lower, lowered };
        let view = cx.view_of(*id).and_then(|view| {
            let at_start =
                cx.lowered.roots[view.root.0 as usize].kind == RootKind::Arena && view.offset == Expr::ZERO;
            if at_start && view.is_contiguous() {
                return Ok(view);
            }
            let out = cx.temporary(&node.name, view.elem, &view.shape());
            cx.copy(&view, &out).map(|()| out)
        });
        let view = view.map_err(|e| EngineError::at("plan", &node.name, "output", e))?;
        ports.push(Port { name: node.name, dtype: fact.dtype, view });
    }
    Ok(ports)
}

fn typed(graph: &Graph, id: ValueId) -> Result<&Fact, EngineError> {
    let name = &graph.value(id).name;
    graph
        .fact(id)
        .ok_or_else(|| EngineError::model("plan", format!("value {name:?} has no type: infer first")))
}

/// Stands for the reading of an output when its copy is planned.
#[derive(Debug)]
struct ReadBack;

impl crate::op::Op for ReadBack {
    fn name(&self) -> &'static str {
        "output"
    }

    fn infer(&self, _: &mut crate::op::Infer<'_>) -> Result<Vec<Fact>, OpError> {
        Ok(Vec::new())
    }

    fn reference(
        &self,
        _: &[Option<&crate::host::HostTensor>],
    ) -> Result<Vec<crate::host::HostTensor>, OpError> {
        Ok(Vec::new())
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Ok(())
    }
}

/// The views that a step touches.
pub(crate) fn touched(step: &Step) -> impl Iterator<Item = RootId> + '_ {
    let (slots, fill): (&[(&str, Slot)], Option<RootId>) = match step {
        Step::Dispatch { call, .. } => (&call.slots, None),
        Step::Fill { view, .. } => (&[], Some(view.root)),
    };
    let views = slots.iter().filter_map(|(_, slot)| match slot {
        Slot::View(view) => Some(view.root),
        Slot::Weight { .. } => None,
    });
    views.chain(fill)
}
