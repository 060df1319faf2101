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
    /// Use products of packed 8-bit integers (SPV_KHR_integer_dot_product); else they are spelled out.
    pub integer_dot: bool,
    /// Let the driver zero workgroup memory (VK_KHR_zero_initialize_workgroup_memory); our kernels do not need it.
    pub zero_workgroup_memory: bool,
}

impl Default for SpirvOptions {
    fn default() -> Self {
        Self { version: (1, 3), check_bounds: true, integer_dot: false, zero_workgroup_memory: false }
    }
}

/// What our kernels may use where there are no products of packed integers.
const WITHOUT_DOT: [spv::Capability; 14] = [
    spv::Capability::Shader,
    spv::Capability::Float16,
    spv::Capability::StorageBuffer16BitAccess,
    spv::Capability::UniformAndStorageBuffer16BitAccess,
    spv::Capability::GroupNonUniform,
    spv::Capability::GroupNonUniformVote,
    spv::Capability::GroupNonUniformArithmetic,
    spv::Capability::GroupNonUniformBallot,
    spv::Capability::GroupNonUniformShuffle,
    spv::Capability::GroupNonUniformShuffleRelative,
    spv::Capability::CooperativeMatrixKHR,
    spv::Capability::VulkanMemoryModel,
    spv::Capability::StorageInputOutput16,
    spv::Capability::AtomicFloat32AddEXT,
];

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
        capabilities: (!options.integer_dot).then(|| WITHOUT_DOT.into_iter().collect()),
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
