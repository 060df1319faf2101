// 1, but compilers do not know. Loops whose bound is a uniform count by it: software Vulkan compiles a shader anew at every
// dispatch when a loop hangs on uniforms alone.

fn opaque_one(workgroup: vec3<u32>) -> u32 {
    return min(workgroup.x + 1u, 1u);
}
