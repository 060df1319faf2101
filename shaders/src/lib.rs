//! WGSL kernels: `.wgsl` files with a small template language, validated by naga when this crate is built.
//!
//! A kernel is one file in `shaders/wgsl`, and nothing else: the build script lists the folder. Its header declares
//! what can be chosen, and the build renders and validates every combination:
//!
//! ```wgsl
//! #variant ELEM = f32 | f16          // types and structure: template axes; the first value is the default
//! #variant SUBGROUPS = false | true
//! #let HALF = ELEM == f16            // a flag that follows from them
//! #exclude HALF && SUBGROUPS         // what does not exist
//! #if HALF
//! enable f16;
//! #endif
//! #import grid                       // wgsl/lib/grid.wgsl
//! override WG_X: u32 = 64;           // numbers: override constants
//! alias Elem = $ELEM;                // $NAME and ${NAME} are replaced
//! #for i in 0..4                     // repeats lines, for what must be unrolled
//! var sum$i = 0.0;
//! #endfor
//! ```
//!
//! Conventions, checked by reflection: one entry point; group 0; the uniform `params` has the last binding. Whatever
//! lives in the activation arena or the KV cache is `read_write` (wgpu tracks usage by buffer); only `weight`,
//! `scales`, `bias`, `table` and the like are `read`, or `weight` is a texture. Bindings are rounded down to the
//! device's alignment, so each slot `x` has a parameter `x_offset`, counted in the slot's scalars, in 16-byte words where
//! it is packed, in rows of texels where it is a texture.
//! Workgroups are numbered `x + y * num_workgroups.x`, since one dimension ends at 65535.
//!
//! ```
//! use shaders::{KernelSpec, SpirvOptions, compile, spirv};
//!
//! # fn main() -> Result<(), shaders::ShaderError> {
//! let spec = KernelSpec::new("elementwise").with("OP", "add").with("ELEM", "f32").set("WG_X", 128);
//! let kernel = compile(&spec)?;
//! assert_eq!(kernel.reflection.workgroup_size, [128, 1, 1]);
//! let names: Vec<_> = kernel.reflection.slots.iter().map(|s| s.name.as_str()).collect();
//! assert_eq!(names, ["a", "b", "out"]);
//!
//! let layout = kernel.reflection.params.as_ref().expect("elementwise has parameters");
//! let mut block = vec![0; layout.size as usize];
//! let mut params = layout.writer(&mut block)?;
//! params.u32("total", 1000)?;
//! params.u32s("shape", &[1, 1, 10, 100])?;
//! assert!(params.f32("total", 1.0).is_err());
//!
//! let words = spirv(&kernel, SpirvOptions::default())?;
//! assert_eq!(words[0], 0x0723_0203);
//! # Ok(())
//! # }
//! ```
//!
//! Where to go next: [`variants`] lists a kernel's forms, [`Reflection`] says how to bind it; `cargo run -p shaders
//! --example render -- linear_gemv WEIGHT=m0e4` prints what the GPU sees.

#![forbid(unsafe_code)]

mod axes;
mod condition;
mod error;
mod kernel;
mod library;
mod params;
mod reflect;
mod spec;
mod spirv;
mod template;
mod validate;

pub use axes::Axis;
pub use error::ShaderError;
pub use kernel::{Kernel, axes, compile, kernels, variants};
pub use library::library_hash;
pub use params::{Field, FieldType, ParamLayout, ParamWriter};
pub use reflect::{Access, ElemType, Reflection, ScalarType, Slot};
pub use spec::KernelSpec;
pub use spirv::{SpirvOptions, spirv};
