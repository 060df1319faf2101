// Fields of the parameters that lib/heads.wgsl reads.
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    head_dim: u32,
    seq: u32,
    ends: vec2<u32>,
    q_strides: vec4<u32>,
    k_strides: vec4<u32>,
    v_strides: vec4<u32>,
#if EPILOGUE == rope
    rotations_offset: u32,
    rotary: u32,
    turned: u32,
    rotations_strides: vec3<u32>,
#endif
