//! SPIR-V, for drivers that offer more than WGSL can ask for through wgpu.

use naga::{
    back::spv,
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
};

use crate::{Kernel, ShaderError};

/// How to translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpirvOptions {
    /// `(major, minor)` of SPIR-V; 1.3 goes with Vulkan 1.1.
    pub version: (u8, u8),
    /// Clamp every index of a buffer or array. Not needed where the device has robustBufferAccess2. Kernels read no texel
    /// outside of a texture.
    pub check_bounds: bool,
    /// Let the driver zero workgroup memory (VK_KHR_zero_initialize_workgroup_memory); our kernels do not need it.
    pub zero_workgroup_memory: bool,
}

impl Default for SpirvOptions {
    fn default() -> Self {
        Self { version: (1, 3), check_bounds: true, zero_workgroup_memory: false }
    }
}

/// Translates a kernel to SPIR-V with entry point `main`. Loops are not bounded and divisions not guarded: kernels
/// end and divide by what they have checked.
///
/// # Errors
/// When naga cannot express the kernel in this version.
pub fn spirv(kernel: &Kernel, options: SpirvOptions) -> Result<Vec<u32>, ShaderError> {
    let policy =
        if options.check_bounds { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = spv::Options {
        lang_version: options.version,
        flags: spv::WriterFlags::empty(),
        capabilities: None,
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: match options.zero_workgroup_memory {
            true => spv::ZeroInitializeWorkgroupMemoryMode::Native,
            false => spv::ZeroInitializeWorkgroupMemoryMode::None,
        },
        force_loop_bounding: false,
        emit_int_div_checks: false,
        use_storage_input_output_16: false,
        ..spv::Options::default()
    };
    spv::write_vec(&kernel.module, &kernel.info, &options, None)
        .map_err(|e| ShaderError::Spirv { kernel: kernel.spec.to_string(), message: e.to_string() })
}
