//! A kernel's interface, read from its naga module.

use naga::{
    AddressSpace, ArraySize, ImageClass, ImageDimension, Module, ScalarKind, StorageAccess, Type, TypeInner,
    proc::IndexableLength,
};

use crate::params::{Field, FieldType, ParamLayout};

/// What a slot allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A storage buffer that is only read: weights and constants.
    Read,
    /// A storage buffer that may be written; activations and caches are bound so even where they are only read,
    /// since wgpu tracks usage by buffer.
    ReadWrite,
    /// A uniform buffer.
    Uniform,
    /// A texture of two dimensions whose texels are read as they are.
    Texture,
}

/// What four or two bytes of a buffer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarType {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
    /// `f16`
    F16,
}

/// One element of a slot's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElemType {
    /// Its lanes.
    pub scalar: ScalarType,
    /// How many: 1, 2, 3 or 4.
    pub lanes: u32,
}

impl ElemType {
    /// Its size in bytes.
    #[must_use]
    pub fn size(self) -> u32 {
        self.lanes * if self.scalar == ScalarType::F16 { 2 } else { 4 }
    }
}

/// A buffer or texture that a kernel is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name of the variable.
    pub name: String,
    /// Always 0.
    pub group: u32,
    /// The binding.
    pub binding: u32,
    /// How it is bound.
    pub access: Access,
    /// What it is an array of, or a texel.
    pub elem: ElemType,
}

/// Everything that whoever dispatches a kernel has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reflection {
    /// In the order of their bindings; the parameter block is not among them.
    pub slots: Vec<Slot>,
    /// The uniform `params`, if the kernel has one.
    pub params: Option<ParamLayout>,
    /// Threads by dimension, overrides resolved.
    pub workgroup_size: [u32; 3],
    /// The numbers in force, sorted by name.
    pub overrides: Vec<(String, u32)>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Whether it computes with, or stores, `f16`.
    pub uses_f16: bool,
    /// Whether it has subgroup operations.
    pub uses_subgroups: bool,
}

/// Reads the interface of a module without overrides; the error is a message.
pub(crate) fn reflect(module: &Module, overrides: Vec<(String, u32)>) -> Result<Reflection, String> {
    let [entry] = module.entry_points.as_slice() else {
        return Err(format!("{} entry points; a kernel has one", module.entry_points.len()));
    };
    let (mut slots, mut params, mut workgroup_bytes) = (Vec::new(), None, 0u32);
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        let ty = &module.types[variable.ty];
        if variable.space == AddressSpace::WorkGroup {
            workgroup_bytes += size(module, &ty.inner).next_multiple_of(16);
        }
        let Some(place) = variable.binding else { continue };
        if place.group != 0 {
            return Err(format!("{name} is in group {}; kernels use group 0", place.group));
        }
        if name == "params" {
            params = Some(param_layout(module, ty, place.binding)?);
            continue;
        }
        let access = match variable.space {
            AddressSpace::Uniform => Access::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::ReadWrite,
            AddressSpace::Storage { .. } => Access::Read,
            AddressSpace::Handle => Access::Texture,
            space => return Err(format!("{name} is in {space:?}; slots are storage, uniform or texture")),
        };
        let elem =
            slot_elem(module, ty).ok_or_else(|| format!("{name} is no array of numbers, and no texture"))?;
        slots.push(Slot { name, group: 0, binding: place.binding, access, elem });
    }
    slots.sort_by_key(|s| s.binding);
    let last = params.as_ref().map(|p: &ParamLayout| p.binding);
    let bindings: Vec<u32> = slots.iter().map(|s| s.binding).chain(last).collect();
    if !bindings.is_sorted_by(|a, b| a < b) {
        return Err("two slots have one binding, or params is not the last one".to_owned());
    }
    Ok(Reflection {
        slots,
        params,
        workgroup_size: entry.workgroup_size,
        overrides,
        workgroup_bytes,
        uses_f16: module
            .types
            .iter()
            .any(|(_, t)| scalar(&t.inner).is_some_and(|(s, _)| s == ScalarType::F16)),
        uses_subgroups: uses_subgroups(module),
    })
}

/// Bytes of a variable in workgroup memory; the length of an array may be an override.
fn size(module: &Module, inner: &TypeInner) -> u32 {
    match (inner, inner.indexable_length_resolved(module)) {
        (TypeInner::Array { stride, .. }, Ok(IndexableLength::Known(length))) => stride * length,
        _ => inner.size(module.to_ctx()),
    }
}

/// The scalar type and lane count of a scalar or vector.
fn scalar(inner: &TypeInner) -> Option<(ScalarType, u32)> {
    let (scalar, lanes) = match *inner {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => (scalar, 1),
        TypeInner::Vector { size, scalar } => (scalar, size as u32),
        _ => return None,
    };
    let scalar = match (scalar.kind, scalar.width) {
        (ScalarKind::Uint, 4) => ScalarType::U32,
        (ScalarKind::Sint, 4) => ScalarType::I32,
        (ScalarKind::Float, 4) => ScalarType::F32,
        (ScalarKind::Float, 2) => ScalarType::F16,
        _ => return None,
    };
    Some((scalar, lanes))
}

fn slot_elem(module: &Module, ty: &Type) -> Option<ElemType> {
    const TEXELS: ImageClass = ImageClass::Sampled { kind: ScalarKind::Uint, multi: false };
    match ty.inner {
        TypeInner::Array { base, .. } => {
            scalar(&module.types[base].inner).map(|(scalar, lanes)| ElemType { scalar, lanes })
        }
        TypeInner::Image { dim: ImageDimension::D2, arrayed: false, class: TEXELS } => {
            Some(ElemType { scalar: ScalarType::U32, lanes: 4 })
        }
        _ => None,
    }
}

fn param_layout(module: &Module, ty: &Type, binding: u32) -> Result<ParamLayout, String> {
    let TypeInner::Struct { members, span } = &ty.inner else {
        return Err("params is not a struct".to_owned());
    };
    let mut fields = Vec::new();
    for member in members {
        let name = member.name.clone().unwrap_or_default();
        let ty = field_type(module, &module.types[member.ty].inner);
        let ty = ty.ok_or_else(|| format!("params.{name} is no number, vector or array of vectors of 4"))?;
        fields.push(Field { name, offset: member.offset, ty });
    }
    if fields.len() > 64 {
        return Err(format!("params has {} members; at most 64", fields.len()));
    }
    Ok(ParamLayout { binding, size: span.next_multiple_of(16), fields })
}

fn field_type(module: &Module, inner: &TypeInner) -> Option<FieldType> {
    let (inner, count) = match *inner {
        TypeInner::Array { base, size: ArraySize::Constant(count), .. } => {
            (&module.types[base].inner, count.get())
        }
        _ => (inner, 1),
    };
    Some(match (scalar(inner)?, count) {
        ((ScalarType::U32, 1), 1) => FieldType::U32,
        ((ScalarType::I32, 1), 1) => FieldType::I32,
        ((ScalarType::F32, 1), 1) => FieldType::F32,
        ((ScalarType::U32, lanes), 1) => FieldType::U32s(lanes),
        ((ScalarType::I32, lanes), 1) => FieldType::I32s(lanes),
        ((ScalarType::F32, lanes), 1) => FieldType::F32s(lanes),
        ((ScalarType::U32, 4), n) => FieldType::U32s(4 * n),
        ((ScalarType::I32, 4), n) => FieldType::I32s(4 * n),
        ((ScalarType::F32, 4), n) => FieldType::F32s(4 * n),
        _ => return None,
    })
}

fn uses_subgroups(module: &Module) -> bool {
    use naga::Expression::{SubgroupBallotResult, SubgroupOperationResult};
    let functions = module.functions.iter().map(|(_, f)| f);
    let mut functions = functions.chain(module.entry_points.iter().map(|e| &e.function));
    functions.any(|f| {
        f.expressions.iter().any(|(_, e)| matches!(e, SubgroupBallotResult | SubgroupOperationResult { .. }))
    })
}
