//! Kernels as SPIR-V, past wgpu's WGSL: for recordings, and for f16 where the driver has it and wgpu does not offer it.

use shaders::{Kernel, ShaderError, SpirvOptions, spirv};

use super::vulkan::Offer;

/// `OpCapability`, an instruction of two words.
const OP_CAPABILITY: u32 = 2 << 16 | 17;
const UNIFORM_AND_STORAGE_BUFFER_16_BIT_ACCESS: u32 = 4434;

/// A kernel's words for a device; those of a kernel in f16 need `shaderFloat16` and `storageBuffer16BitAccess` alone. Bounds are
/// checked in the words unless the device itself answers reads beyond a binding.
pub(super) fn words(kernel: &Kernel, offer: &Offer) -> Result<Vec<u32>, ShaderError> {
    let Offer { robust_buffers, integer_dot, .. } = *offer;
    let options = SpirvOptions { check_bounds: !robust_buffers, integer_dot, ..SpirvOptions::default() };
    Ok(without_uniform_16(spirv(kernel, options)?))
}

/// naga declares 16-bit uniforms wherever there is an f16, and drivers without them need not take such a module. Our
/// parameter blocks hold words of 32 bits, so nothing relies on the declaration.
fn without_uniform_16(mut words: Vec<u32>) -> Vec<u32> {
    let unwanted = [OP_CAPABILITY, UNIFORM_AND_STORAGE_BUFFER_16_BIT_ACCESS];
    // Five words of header; capabilities come first.
    let capabilities = words.get(5..).unwrap_or_default().as_chunks::<2>().0;
    let declared = capabilities.iter().take_while(|c| c[0] == OP_CAPABILITY).position(|c| *c == unwanted);
    if let Some(index) = declared {
        words.drain(5 + 2 * index..7 + 2 * index);
    }
    words
}

#[allow(unsafe_code)]
pub(super) fn module(
    device: &wgpu::Device,
    kernel: &Kernel,
    label: &str,
    words: &[u32],
) -> wgpu::ShaderModule {
    let [x, y, z] = kernel.reflection.workgroup_size;
    let entry = wgpu::PassthroughShaderEntryPoint { name: "main".into(), workgroup_size: (x, y, z) };
    let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
        label: Some(label),
        entry_points: std::slice::from_ref(&entry).into(),
        spirv: Some(words.into()),
        ..wgpu::ShaderModuleDescriptorPassthrough::default()
    };
    // SAFETY: naga wrote these words from a module that it validated, the device was opened with the features that
    // they use, and reads beyond a binding are answered by the device or clamped in the words.
    unsafe { device.create_shader_module_passthrough(descriptor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(words: &[u32]) -> Vec<u32> {
        let pairs = words[5..].as_chunks::<2>().0.iter();
        pairs.take_while(|c| c[0] == OP_CAPABILITY).map(|c| c[1]).collect()
    }

    #[test]
    fn only_the_16_bit_uniforms_are_struck_out() {
        let spec = shaders::KernelSpec::new("elementwise").with("OP", "add").with("ELEM", "f16");
        let kernel = shaders::compile(&spec).expect("compiles");
        let before =
            spirv(&kernel, SpirvOptions { check_bounds: false, ..SpirvOptions::default() }).expect("SPIR-V");
        let after = words(&kernel, &Offer { robust_buffers: true, ..Offer::default() }).expect("SPIR-V");
        let mut wanted = capabilities(&before);
        assert!(
            wanted.contains(&UNIFORM_AND_STORAGE_BUFFER_16_BIT_ACCESS),
            "naga has changed: drop the striking out"
        );
        wanted.retain(|c| *c != UNIFORM_AND_STORAGE_BUFFER_16_BIT_ACCESS);
        assert_eq!(capabilities(&after), wanted);
        assert!(wanted.contains(&4433), "StorageBuffer16BitAccess is declared");
        assert_eq!(after.len() + 2, before.len());
        let count = capabilities(&before).len() * 2 + 5;
        assert_eq!(before[count..], after[count - 2..]);
        assert_eq!(without_uniform_16(after.clone()), after);
        assert_eq!(without_uniform_16(vec![1, 2]), [1, 2]);
    }
}
