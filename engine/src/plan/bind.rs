//! Binding: numbers for the symbols. A bound plan is plain numbers, made once; a step re-evaluates in place only
//! what names the symbols that change, and allocates nothing.

mod advance;
#[cfg(any(debug_assertions, test))]
mod check;

use symbolic::{Bindings, Expr};

use advance::Changes;

use super::{Call, Place, Placed, Plan, Scalar, call::MAX_SLOTS};
use crate::{
    error::EngineError,
    op::{Elem, Grid, RootKind, Slot, Step, View, WeightId, WeightPart},
};

/// Workgroups in one dimension that every device allows.
const GRID_LIMIT: u64 = 65_535;

/// What a slot is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The session's arena.
    Arena,
    /// A cache of the session.
    Cache(usize),
    /// A constant of the model, read and written like the arena by the kernels' types.
    Constant(WeightId),
    /// A packed matrix of the model, read only.
    Weight(WeightId, WeightPart),
    /// The texture of a packed matrix.
    Texture(WeightId),
}

/// A range of a buffer, or a whole texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BoundSlot {
    /// The buffer or texture.
    pub memory: Memory,
    /// First byte, aligned as the device wants it.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// A kernel call in numbers.
#[derive(Clone, Debug)]
pub struct BoundCall {
    /// Slots in the order of the kernel's bindings.
    pub slots: Vec<BoundSlot>,
    /// First byte of its parameters in [`BoundPlan::params`].
    pub params_at: usize,
    /// Workgroups.
    pub workgroups: [u32; 3],
}

/// Elements that the CPU writes before the run.
#[derive(Clone, Debug)]
pub struct BoundFill {
    /// First byte in the arena.
    pub offset: u64,
    /// What to write.
    pub bytes: Vec<u8>,
}

/// A plan in numbers.
#[derive(Debug)]
pub struct BoundPlan {
    /// Calls in the order of [`Plan::calls`].
    pub calls: Vec<BoundCall>,
    /// Fills in the order of the plan's steps.
    pub fills: Vec<BoundFill>,
    /// Parameter blocks of all calls, each aligned for binding.
    pub params: Vec<u8>,
    /// Bytes the arena must have.
    pub arena_bytes: u64,
    /// Bytes each cache must have.
    pub cache_bytes: Vec<u64>,
    /// The numbers it was bound with.
    pub bindings: Bindings,
    /// The numbers by which memory is laid out: those of the largest step, so that nothing moves from step to step.
    layout: Bindings,
    align: u64,
    /// What differs from step to step.
    changes: Changes,
    /// Bytes of the parameter blocks that differ; they come first.
    changing: usize,
    rooms: Vec<(usize, i64)>,
}

impl Plan {
    /// Puts numbers in for the symbols. `align` is the device's alignment of binding offsets, in bytes.
    ///
    /// # Errors
    /// When a symbol is not bound, a size overflows, or sizes that the model takes to be equal are not; in debug
    /// builds also when the memory plan is unsound.
    pub fn bind(&self, bindings: &Bindings, align: u64) -> Result<BoundPlan, EngineError> {
        self.bind_within(bindings, bindings, align)
    }

    /// [`Plan::bind`] with memory laid out for other numbers: those of the largest step.
    ///
    /// # Errors
    /// As there, and when a buffer is larger in this step.
    pub fn bind_within(
        &self,
        bindings: &Bindings,
        layout: &Bindings,
        align: u64,
    ) -> Result<BoundPlan, EngineError> {
        self.check_pending(bindings)?;
        let rooms = self.rooms(layout)?;
        self.check_fits(bindings, &rooms)?;
        let slot = BoundSlot { memory: Memory::Arena, offset: 0, size: 0 };
        let unbound =
            |call: &Call| BoundCall { slots: vec![slot; call.slots.len()], params_at: 0, workgroups: [0; 3] };
        let mut calls: Vec<BoundCall> = self.calls.iter().map(unbound).collect();
        let (stepping, fixed): (Vec<usize>, Vec<usize>) =
            (0..calls.len()).partition(|call| self.names_stepping(*call));
        let mut params_at = 0;
        let mut place = |index: usize| {
            calls[index].params_at = params_at;
            let size = u64::from(self.calls[index].params_size).next_multiple_of(align.max(1));
            params_at += size as usize;
            params_at
        };
        let changing = stepping.iter().map(|call| place(*call)).last().unwrap_or(0);
        fixed.into_iter().for_each(|call| _ = place(call));
        let caches = self.roots.iter().filter(|r| matches!(r.kind, RootKind::Cache(_)));
        let cache_bytes = caches.map(|r| bytes(&r.len, r.elem, layout)).collect::<Result<_, _>>()?;
        let mut bound = BoundPlan {
            calls,
            fills: vec![BoundFill { offset: 0, bytes: Vec::new() }; self.fills().count()],
            params: vec![0; params_at],
            arena_bytes: self.arena_bytes(layout)?,
            cache_bytes,
            bindings: bindings.clone(),
            layout: layout.clone(),
            align: align.max(1),
            changes: Changes::default(),
            changing,
            rooms,
        };
        for index in 0..self.calls.len() {
            self.bind_call(index, bindings, &mut bound)?;
        }
        for index in stepping {
            self.note_changes(index, bindings, &mut bound)?;
        }
        self.bind_fills(bindings, &mut bound)?;
        #[cfg(debug_assertions)]
        self.check(bindings, &bound)?;
        Ok(bound)
    }

    /// What lies where in the arena.
    ///
    /// # Errors
    /// When a size cannot be computed.
    pub fn map(&self, bindings: &Bindings) -> Result<Vec<Placed>, EngineError> {
        let placed = |place: &Place| {
            let name = self.roots[place.root].name.clone();
            let (offset, bytes) =
                (unsigned(place.offset.eval(bindings)?)?, unsigned(place.size.eval(bindings)?)?);
            Ok(Placed { name, offset, bytes, first: place.first, last: place.last })
        };
        self.arena.places.iter().map(placed).collect()
    }

    fn check_pending(&self, bindings: &Bindings) -> Result<(), EngineError> {
        let mut pending = self.pending.iter();
        pending
            .try_for_each(|equality| equality.check(bindings))
            .map_err(|e| EngineError::model("bind", e.to_string()))
    }

    /// The roots of the arena that differ from step to step, of each length one, and how many elements there is room for.
    fn rooms(&self, layout: &Bindings) -> Result<Vec<(usize, i64)>, EngineError> {
        let mut rooms: Vec<(usize, i64)> = Vec::new();
        for root in self.arena.places.iter().map(|place| place.root) {
            let len = &self.roots[root].len;
            if self.differs(len) && rooms.iter().all(|(known, _)| self.roots[*known].len != *len) {
                rooms.push((root, len.eval(layout)?));
            }
        }
        Ok(rooms)
    }

    /// Whether every buffer has the room that this step needs.
    fn check_fits(&self, bindings: &Bindings, rooms: &[(usize, i64)]) -> Result<(), EngineError> {
        for (root, there) in rooms {
            let root = &self.roots[*root];
            let wanted = root.len.eval(bindings)?;
            if wanted > *there {
                let text = format!("{:?} has room for {there} elements, this step needs {wanted}", root.name);
                return Err(EngineError::model("bind", text));
            }
        }
        Ok(())
    }

    fn fills(&self) -> impl Iterator<Item = (&View, &[Expr])> {
        self.steps.iter().filter_map(|s| match s {
            Step::Fill { view, content } => Some((view, &**content)),
            Step::Dispatch { .. } => None,
        })
    }

    fn names_stepping(&self, call: usize) -> bool {
        let mut found = false;
        self.calls[call].for_each_expr(&mut |e| found |= self.differs(e));
        found
    }

    /// Whether an expression changes from step to step.
    fn differs(&self, e: &Expr) -> bool {
        self.stepping.iter().any(|s| e.contains(s))
    }

    fn bind_call(&self, index: usize, bindings: &Bindings, bound: &mut BoundPlan) -> Result<(), EngineError> {
        let call = &self.calls[index];
        let align = bound.align;
        let to = &mut bound.calls[index];
        let mut firsts = [0u64; MAX_SLOTS];
        for (at, slot) in call.slots.iter().enumerate() {
            let (slot, first) = self.bind_slot(slot, bindings, &bound.layout, align)?;
            to.slots[at] = slot;
            firsts[at] = first;
        }
        for (byte, scalar) in &call.scalars {
            let word = match scalar {
                Scalar::Float(v) => v.to_bits(),
                Scalar::Int(e) => word(e.eval(bindings)?, &call.node)?,
                Scalar::OffsetOf(slot) => word(firsts[*slot] as i64, &call.node)?,
            };
            let at = to.params_at + *byte as usize;
            bound.params[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        to.workgroups = grid(&call.grid, bindings, &call.node)?;
        Ok(())
    }

    /// What a slot is bound to, and the element of it at which the view starts.
    fn bind_slot(
        &self,
        slot: &Slot,
        bindings: &Bindings,
        layout: &Bindings,
        align: u64,
    ) -> Result<(BoundSlot, u64), EngineError> {
        let view = match slot {
            Slot::View(view) => view,
            Slot::Weight { weight, part, first, count } => {
                return Ok(self.bind_weight(*weight, *part, *first, *count));
            }
        };
        let root = &self.roots[view.root.0 as usize];
        let size = bytes(&root.len, root.elem, layout)?.max(4);
        let (memory, start) = match root.kind {
            RootKind::Cache(cache) => (Memory::Cache(cache), 0),
            RootKind::Constant(weight) => (Memory::Constant(weight), 0),
            RootKind::Arena => {
                let place = self.arena.place(view.root.0 as usize);
                (Memory::Arena, unsigned(place.map_or(Ok(0), |p| p.offset.eval(layout))?)?)
            }
        };
        let aligned = start / align * align;
        let inside = unsigned(view.offset.eval(bindings)?)?;
        let first = (start - aligned) / root.elem.size() + inside;
        let size = (start - aligned + size).next_multiple_of(4);
        Ok((BoundSlot { memory, offset: aligned, size }, first))
    }

    /// Rows of a part of a packed matrix; of a texture, which is bound whole, the first row of texels.
    fn bind_weight(
        &self,
        weight: WeightId,
        part: WeightPart,
        first: usize,
        count: usize,
    ) -> (BoundSlot, u64) {
        let wanted = &self.weights[weight.0 as usize];
        if wanted.texels(part).is_some() {
            let size = wanted.bytes(part, wanted.n);
            return (BoundSlot { memory: Memory::Texture(weight), offset: 0, size }, first as u64 / 4);
        }
        let (offset, size) = (wanted.bytes(part, first), wanted.bytes(part, count));
        (BoundSlot { memory: Memory::Weight(weight, part), offset, size }, 0)
    }

    fn bind_fills(&self, bindings: &Bindings, bound: &mut BoundPlan) -> Result<(), EngineError> {
        for (at, (view, content)) in self.fills().enumerate() {
            let place = self.arena.place(view.root.0 as usize);
            let start = place.map_or(Ok(0), |p| p.offset.eval(&bound.layout))?;
            let fill = &mut bound.fills[at];
            fill.offset = unsigned(start)?;
            fill.bytes.clear();
            for e in content {
                let value = e.eval(bindings)?;
                match view.elem {
                    Elem::F32 => fill.bytes.extend((value as f32).to_le_bytes()),
                    Elem::F16 => fill.bytes.extend(half::f16::from_f64(value as f64).to_le_bytes()),
                    Elem::F8 => return Err(EngineError::model("bind", "a fill holds no floats of 8 bits")),
                    Elem::I32 | Elem::U32 => fill.bytes.extend(clamp(value).to_le_bytes()),
                }
            }
        }
        Ok(())
    }
}

impl BoundPlan {
    /// The numbers by which memory is laid out.
    #[must_use]
    pub fn layout(&self) -> &Bindings {
        &self.layout
    }
}

fn bytes(len: &Expr, elem: Elem, bindings: &Bindings) -> Result<u64, EngineError> {
    Ok(unsigned(len.eval(bindings)?)?.saturating_mul(elem.size()))
}

/// A size or a place, which an expression gives as a signed number.
fn unsigned(value: i64) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| EngineError::model("bind", format!("a size or place comes to {value}")))
}

/// int64 contents narrow to 32 bits: exporters write i64::MAX for "to the end".
fn clamp(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

fn word(value: i64, node: &str) -> Result<u32, EngineError> {
    let fits = u32::try_from(value).ok().or_else(|| i32::try_from(value).ok().map(|v| v as u32));
    fits.ok_or_else(|| EngineError::model("bind", format!("node {node:?}: {value} does not fit 32 bits")))
}

fn grid(grid: &Grid, bindings: &Bindings, node: &str) -> Result<[u32; 3], EngineError> {
    match grid {
        Grid::Linear(count) => {
            let count = unsigned(count.eval(bindings)?)?;
            let rows = count.div_ceil(GRID_LIMIT).max(1);
            let columns = count.div_ceil(rows);
            if rows > GRID_LIMIT {
                let text = format!("node {node:?} needs {count} workgroups, more than two dimensions hold");
                return Err(EngineError::model("bind", text));
            }
            Ok([word(columns as i64, node)?, word(rows as i64, node)?, u32::from(count > 0)])
        }
        Grid::Xyz(dims) => {
            let mut out = [0; 3];
            for (to, e) in out.iter_mut().zip(dims) {
                let value = unsigned(e.eval(bindings)?)?;
                if value > GRID_LIMIT {
                    let text = format!("node {node:?} needs {value} workgroups in one dimension");
                    return Err(EngineError::model("bind", text));
                }
                *to = value as u32;
            }
            Ok(out)
        }
    }
}
