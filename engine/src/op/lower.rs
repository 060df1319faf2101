//! Lowering: how operators say what happens on the GPU, as views and dispatches with symbolic sizes.

use std::{collections::BTreeMap, fmt::Display};

use symbolic::Expr;

use super::{
    Choice, Dispatch, Elem, Problem, Root, RootId, RootKind, Step, Target, View, WeightId, WeightPacking,
    WeightUse, converted,
};
use crate::{
    error::{OpError, invalid},
    graph::{Constant, Fact, Graph, Node, ValueId},
    host::HostTensor,
};

/// Choices that hold for a whole plan.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// What the device offers and prefers.
    pub target: Target,
    /// How activations are held: f32, or f16 where the device has it.
    pub activations: Elem,
}

/// What lowering has made so far.
#[derive(Debug, Default)]
pub(crate) struct Lowered {
    pub roots: Vec<Root>,
    pub steps: Vec<Step>,
    pub weights: Vec<WeightUse>,
    pub views: BTreeMap<ValueId, View>,
    pub placements: BTreeMap<ValueId, View>,
    pub choices: Vec<Choice>,
}

impl Lowered {
    pub fn root(&mut self, root: Root) -> RootId {
        self.roots.push(root);
        RootId(self.roots.len() as u32 - 1)
    }

    fn dispatches(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Dispatch { .. })).count()
    }

    /// What was dispatched since a choice was made belongs to it.
    pub fn end_choice(&mut self, before: usize) {
        let end = self.dispatches();
        self.choices[before..].iter_mut().for_each(|choice| choice.calls.end = end);
    }

    pub fn weight(&mut self, wanted: WeightUse) -> WeightId {
        let at = self.weights.iter().position(|w| *w == wanted).unwrap_or_else(|| {
            self.weights.push(wanted);
            self.weights.len() - 1
        });
        WeightId(at as u32)
    }
}

/// What an operator sees while its node is lowered.
#[derive(Debug)]
pub struct Lowering<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) node: &'a Node,
    pub(crate) options: &'a LowerOptions,
    pub(crate) lowered: &'a mut Lowered,
}

impl<'a> Lowering<'a> {
    /// What the device offers and prefers.
    #[must_use]
    pub fn target(&self) -> &'a Target {
        &self.options.target
    }

    /// Chooses among kernels that do the same, the one that the profile prefers first; once in a node, before its calls.
    pub fn choose<V: Copy + Display>(&mut self, problem: Problem, candidates: &[V]) -> Option<V> {
        let names: Vec<String> = candidates.iter().map(V::to_string).collect();
        let taken = self.target().choices.pick(&problem, &names);
        let first = self.lowered.dispatches();
        self.lowered.choices.push(Choice { problem, candidates: names, taken, calls: first..first });
        candidates.get(taken).copied()
    }

    /// How float activations are held.
    #[must_use]
    pub fn activations(&self) -> Elem {
        self.options.activations
    }

    /// Number of input positions, given or not.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// Whether input `index` is given.
    #[must_use]
    pub fn has_input(&self, index: usize) -> bool {
        self.node.input(index).is_some()
    }

    /// The fact of a required input.
    ///
    /// # Errors
    /// When it is left out.
    pub fn fact(&self, index: usize) -> Result<&'a Fact, OpError> {
        let id = self.node.input(index).ok_or(OpError::MissingInput { index })?;
        self.fact_of(id)
    }

    /// The fact of an output.
    ///
    /// # Errors
    /// When the operator has no such output.
    pub fn output_fact(&self, index: usize) -> Result<&'a Fact, OpError> {
        let id = self.node.outputs.get(index).copied();
        self.fact_of(id.ok_or_else(|| invalid(format!("output {index} does not exist")))?)
    }

    fn fact_of(&self, id: ValueId) -> Result<&'a Fact, OpError> {
        self.graph.fact(id).ok_or_else(|| invalid(format!("{:?} has no type yet", self.graph.value(id).name)))
    }

    /// Elements of an input that are known before the run.
    ///
    /// # Errors
    /// When they are not.
    pub fn content(&self, index: usize) -> Result<&'a [Expr], OpError> {
        self.fact(index)?.content.as_deref().ok_or(OpError::NotConstant { index })
    }

    /// The host data of a constant input.
    #[must_use]
    pub fn host(&self, index: usize) -> Option<&'a HostTensor> {
        self.graph.host(self.node.input(index)?)
    }

    /// Whether input `index` is data that the model carries.
    #[must_use]
    pub fn is_constant(&self, index: usize) -> bool {
        self.node.input(index).is_some_and(|id| self.graph.is_constant(id))
    }

    /// Where an input's elements lie; constants and known contents are brought to the device on first use.
    ///
    /// # Errors
    /// When it is left out, or no node before this one made it.
    pub fn input(&mut self, index: usize) -> Result<View, OpError> {
        let id = self.node.input(index).ok_or(OpError::MissingInput { index })?;
        self.view_of(id)
    }

    /// Like [`Lowering::input`], with one dimension of the view for each of the value's.
    ///
    /// # Errors
    /// As there, and when a copy that this takes cannot be made.
    pub fn shaped(&mut self, index: usize) -> Result<View, OpError> {
        let view = self.input(index)?;
        let shape = self.fact(index)?.shape.clone();
        if view.dims.len() == shape.len() { Ok(view) } else { self.reshaped(view, &shape) }
    }

    /// The view of an input as its elements follow each other, copied if they do not.
    ///
    /// # Errors
    /// As [`Lowering::shaped`].
    pub fn row_major(&mut self, index: usize) -> Result<View, OpError> {
        let view = self.shaped(index)?;
        self.contiguous(view)
    }

    pub(crate) fn view_of(&mut self, id: ValueId) -> Result<View, OpError> {
        let fact = self.fact_of(id)?;
        let elem = Elem::of(fact.dtype, self.options.activations);
        if let Some(view) = self.lowered.views.get(&id).cloned() {
            let other = fact.dtype.is_float() && view.elem.is_float();
            return if other && !self.node.op.converts() { converted(self, view, elem) } else { Ok(view) };
        }
        let value = self.graph.value(id);
        let name = value.name.clone();
        let view = if let Some(constant) = &value.constant {
            let len = fact.len();
            let k = len.constant().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            if matches!(constant, Constant::Host(t) if t.len() != k) {
                return Err(invalid(format!("constant {name:?} does not hold what its shape says")));
            }
            let weight =
                self.lowered.weight(WeightUse { value: id, packing: WeightPacking::Plain(elem), n: 1, k });
            let root = self.lowered.root(Root { kind: RootKind::Constant(weight), elem, len, name });
            View::contiguous(root, elem, &fact.shape)
        } else if let Some(content) = &fact.content {
            let root = self.lowered.root(Root { kind: RootKind::Arena, elem, len: fact.len(), name });
            let view = View::contiguous(root, elem, &fact.shape);
            self.lowered.steps.push(Step::Fill { view: view.clone(), content: content.clone() });
            view
        } else {
            return Err(invalid(format!("{name:?} is read before it is computed")));
        };
        self.lowered.views.insert(id, view.clone());
        Ok(view)
    }

    /// A constant input, row-major in an element type of the kernel's choice, for a slot that is only read.
    ///
    /// # Errors
    /// When it is not a constant of the model.
    pub fn constant(&mut self, index: usize, elem: Elem) -> Result<View, OpError> {
        let fact = self.fact(index)?;
        let value = self.node.input(index).ok_or(OpError::MissingInput { index })?;
        if !self.graph.is_constant(value) {
            return Err(OpError::NotConstant { index });
        }
        let len = fact.len();
        let k = len.constant().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let weight = self.lowered.weight(WeightUse { value, packing: WeightPacking::Plain(elem), n: 1, k });
        let name = self.graph.value(value).name.clone();
        let root = self.lowered.root(Root { kind: RootKind::Constant(weight), elem, len, name });
        Ok(View::contiguous(root, elem, &fact.shape))
    }

    /// The element of output `index` where it is to be written.
    ///
    /// # Errors
    /// When the operator has no such output.
    pub fn output_elem(&self, index: usize) -> Result<Elem, OpError> {
        let fact = self.output_fact(index)?;
        let place = self.lowered.placements.get(&self.node.outputs[index]);
        Ok(place.map_or_else(|| Elem::of(fact.dtype, self.options.activations), |view| view.elem))
    }

    /// Where a later operator wants output `index`, if one does.
    #[must_use]
    pub fn placement(&self, index: usize) -> Option<&View> {
        self.lowered.placements.get(self.node.outputs.get(index)?)
    }

    /// Where output `index` is to be written: where a later operator wants it, or memory of its own.
    /// The view may have more dimensions than the value; see [`View`].
    ///
    /// # Errors
    /// When the operator has no such output.
    pub fn output(&mut self, index: usize) -> Result<View, OpError> {
        let fact = self.output_fact(index)?;
        let id = self.node.outputs[index];
        let elem = Elem::of(fact.dtype, self.options.activations);
        let view = match self.lowered.placements.get(&id) {
            Some(view) => view.clone(),
            None => self.temporary(&self.graph.value(id).name.clone(), elem, &fact.shape),
        };
        self.lowered.views.insert(id, view.clone());
        Ok(view)
    }

    /// Memory for a value that lives inside this node only.
    pub fn temporary(&mut self, name: &str, elem: Elem, shape: &[Expr]) -> View {
        let len = shape.iter().fold(Expr::from(1), |n, d| &n * d);
        let root = self.lowered.root(Root { kind: RootKind::Arena, elem, len, name: name.to_owned() });
        View::contiguous(root, elem, shape)
    }

    /// Says that output `index` is `view`: nothing is computed, unless a later operator wants it elsewhere.
    ///
    /// # Errors
    /// When the copy to that other place cannot be made.
    pub fn alias(&mut self, index: usize, view: View) -> Result<(), OpError> {
        let Some(id) = self.node.outputs.get(index).copied() else { return Ok(()) };
        match self.lowered.placements.get(&id).cloned() {
            Some(wanted) if !wanted.is_same(&view) => {
                self.copy(&view, &wanted)?;
                self.lowered.views.insert(id, wanted);
            }
            _ => {
                self.lowered.views.insert(id, view);
            }
        }
        Ok(())
    }

    /// The view if it is row-major without gaps, else a copy of it that is, of activations where it is held as f8.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn contiguous(&mut self, view: View) -> Result<View, OpError> {
        if view.is_contiguous() {
            return Ok(view);
        }
        let elem = if view.elem == Elem::F8 { self.activations() } else { view.elem };
        let out = self.temporary("contiguous", elem, &view.shape());
        self.copy(&view, &out)?;
        Ok(out)
    }

    /// The view under another shape, copied if strides cannot say it.
    ///
    /// # Errors
    /// When the copy cannot be made or the sizes differ.
    pub fn reshaped(&mut self, view: View, shape: &[Expr]) -> Result<View, OpError> {
        if let Some(out) = view.reshape(shape) {
            return Ok(out);
        }
        let flat = self.contiguous(view)?;
        flat.reshape(shape).ok_or_else(|| invalid("a reshape changes the number of elements"))
    }

    /// Copies elements, converting their type, by a kernel.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn copy(&mut self, from: &View, to: &View) -> Result<(), OpError> {
        super::elementwise(self, "identity", std::slice::from_ref(from), to)
    }

    /// How many elements a root holds.
    #[must_use]
    pub fn root_len(&self, root: RootId) -> &Expr {
        &self.lowered.roots[root.0 as usize].len
    }

    /// Whether kernels can read or write a view in vectors of so many elements: neighbours of its last dimension are
    /// neighbours in memory, and every row, and its memory's end, lies on a whole vector.
    #[must_use]
    pub fn fits_vectors(&self, view: &View, elements: i64) -> bool {
        let whole = |e: &Expr| e.multiple_of() % elements == 0;
        let (outer, last) = view.dims.split_at(view.dims.len().saturating_sub(1));
        outer.iter().all(|d| d.size == Expr::ONE || whole(&d.stride))
            && last.iter().all(|d| d.stride == Expr::ONE)
            && whole(&view.offset)
            && whole(self.root_len(view.root))
    }

    /// Adds a kernel call.
    pub fn dispatch(&mut self, call: Dispatch) {
        self.lowered.steps.push(Step::Dispatch { node: self.node.name.clone(), call: Box::new(call) });
    }
}
