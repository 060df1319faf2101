//! Kernel calls with their parameters laid out: which bytes of the parameter block hold which expression.

use std::collections::HashMap;
use std::sync::Arc;

use shaders::{FieldType, Kernel, KernelSpec};
use symbolic::Expr;

use crate::{
    error::{EngineError, invalid},
    op::{Dispatch, Grid, Param, Slot, Step},
};

/// What four bytes of a parameter block hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A count, index or stride.
    Int(Expr),
    /// A number.
    Float(f32),
    /// The first element of a slot's view, counted from where the slot is bound.
    OffsetOf(usize),
}

/// A kernel call whose parameters know their bytes.
#[derive(Clone, Debug)]
pub struct Call {
    /// The node it is for.
    pub node: String,
    /// The compiled kernel, shared by all calls of one spec.
    pub kernel: Arc<Kernel>,
    /// The spec it was compiled from.
    pub spec: KernelSpec,
    /// What each slot is bound to, in the order of the kernel's bindings, the parameter block left out.
    pub slots: Vec<Slot>,
    /// `(byte, what)` of the parameter block.
    pub scalars: Vec<(u32, Scalar)>,
    /// Bytes of the parameter block.
    pub params_size: u32,
    /// Workgroups.
    pub grid: Grid,
}

impl Call {
    /// Shows every expression of the call to `see`.
    pub fn for_each_expr(&self, see: &mut impl FnMut(&Expr)) {
        for slot in &self.slots {
            if let Slot::View(view) = slot {
                see(&view.offset);
            }
        }
        for (_, scalar) in &self.scalars {
            if let Scalar::Int(e) = scalar {
                see(e);
            }
        }
        match &self.grid {
            Grid::Linear(e) => see(e),
            Grid::Xyz(dims) => dims.iter().for_each(see),
        }
    }
}

/// Most slots of a kernel: what binding keeps the first elements of, without allocating.
pub(super) const MAX_SLOTS: usize = 12;

/// Compiles every dispatch among the steps.
pub(super) fn compile(steps: &[Step]) -> Result<Vec<Call>, EngineError> {
    let mut kernels: HashMap<KernelSpec, Arc<Kernel>> = HashMap::new();
    let mut calls = Vec::new();
    for step in steps {
        let Step::Dispatch { node, call } = step else { continue };
        let kernel = match kernels.get(&call.spec) {
            Some(kernel) => kernel.clone(),
            None => {
                let kernel = Arc::new(shaders::compile(&call.spec)?);
                kernels.insert(call.spec.clone(), kernel.clone());
                kernel
            }
        };
        let made = lay_out(node, call, kernel);
        calls.push(made.map_err(|e| EngineError::at("plan", node, "kernel", e))?);
    }
    Ok(calls)
}

fn lay_out(node: &str, call: &Dispatch, kernel: Arc<Kernel>) -> Result<Call, crate::error::OpError> {
    let reflection = &kernel.reflection;
    if reflection.slots.len() > MAX_SLOTS {
        let count = reflection.slots.len();
        return Err(invalid(format!("kernel {} has {count} slots, {MAX_SLOTS} are allowed", call.spec)));
    }
    let slots: Vec<Slot> = reflection
        .slots
        .iter()
        .map(|slot| {
            let found = call.slots.iter().find(|(name, _)| *name == slot.name);
            found.map(|(_, s)| s.clone()).ok_or_else(|| {
                invalid(format!(
                    "kernel {} has a slot {:?} that the operator does not bind",
                    call.spec, slot.name
                ))
            })
        })
        .collect::<Result<_, _>>()?;
    for (name, _) in &call.slots {
        if !reflection.slots.iter().any(|s| s.name == *name) {
            return Err(invalid(format!("kernel {} has no slot {name:?}", call.spec)));
        }
    }
    let mut scalars = Vec::new();
    let mut params_size = 0;
    if let Some(layout) = &reflection.params {
        params_size = layout.size;
        for field in &layout.fields {
            lay_out_field(call, reflection, field, &mut scalars)?;
        }
        for (name, _) in &call.params {
            if !layout.fields.iter().any(|f| f.name == *name) {
                return Err(invalid(format!("kernel {} has no parameter {name:?}", call.spec)));
            }
        }
    }
    let grid = call.grid.clone();
    Ok(Call { node: node.to_owned(), spec: call.spec.clone(), kernel, slots, scalars, params_size, grid })
}

fn lay_out_field(
    call: &Dispatch,
    reflection: &shaders::Reflection,
    field: &shaders::Field,
    scalars: &mut Vec<(u32, Scalar)>,
) -> Result<(), crate::error::OpError> {
    let named = call.params.iter().find(|(name, _)| *name == field.name).map(|(_, p)| p);
    let offset_of = field.name.strip_suffix("_offset").and_then(|slot| {
        let at = reflection.slots.iter().position(|s| s.name == slot)?;
        Some(Scalar::OffsetOf(at))
    });
    let fail = |text: &str| invalid(format!("kernel {}: parameter {:?} {text}", call.spec, field.name));
    match (named, offset_of, field.ty) {
        (None, Some(offset), FieldType::U32 | FieldType::I32) => scalars.push((field.offset, offset)),
        (Some(Param::Int(e)), _, FieldType::U32 | FieldType::I32) => {
            scalars.push((field.offset, Scalar::Int(e.clone())));
        }
        (Some(Param::Float(v)), _, FieldType::F32) => scalars.push((field.offset, Scalar::Float(*v))),
        (Some(Param::Ints(list)), _, ty) => {
            if ty.lanes() as usize != list.len() {
                return Err(fail(&format!("holds {} numbers, {} are given", ty.lanes(), list.len())));
            }
            for (index, e) in list.iter().enumerate() {
                scalars.push((field.offset + 4 * index as u32, Scalar::Int(e.clone())));
            }
        }
        (None, None, _) if field.name.starts_with("pad") => {}
        (None, _, _) => return Err(fail("is not given")),
        _ => return Err(fail("has another type in the kernel")),
    }
    Ok(())
}
