// Attention of few rows over one of `splits` parts of the keys: writes, unscaled, the weighted values of part i of row r
// to partial[(r * splits + i) * (head_dim + 4) ..], followed by the maximum and the sum of weights; attention_merge joins
// them. Row r of key head kv of the batch counts (batch * kv_heads + kv) * seq * group + r. Workgroups: x over
// ceil(seq * group / ROWS) * splits with the split innermost, y over key heads, z over the batch. A part has `part` keys,
// a multiple of 32. See lib/attention.wgsl. D16 is head_dim / 16. BROADCAST shares reads of q within subgroups of 8 to 32
// threads.
#variant ELEM = f32 | f16
#variant D16 = 4 | 1 | 2 | 5 | 6 | 7 | 8 | 16
#variant HALF_ROWS = 2 | 1 | 4 | 8
#variant PADDING = false | true
#variant BIAS = false | true
#variant BROADCAST = false | true
#let MIXED = D16 == 5 || D16 == 6 || D16 == 7
#if ELEM == f16
enable f16;
#endif

struct Params {
    q_strides: vec4<u32>,
    k_strides: vec4<u32>,
    v_strides: vec4<u32>,
#if BIAS
    biases_strides: vec4<u32>,
#endif
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    partial_offset: u32,
#if PADDING
    mask_offset: u32,
    mask_stride: u32,
#endif
#if BIAS
    biases_offset: u32,
#endif
    seq: u32,
    total: u32,
    past: u32,
    group: u32,
    window: u32,
    splits: u32,
    part: u32,
    scale: f32,
    softcap: f32,
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<Elem>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<Elem>>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;
#if PADDING && BIAS
@group(0) @binding(4) var<storage, read_write> mask: array<i32>;
@group(0) @binding(5) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(6) var<uniform> params: Params;
#elif PADDING
@group(0) @binding(4) var<storage, read_write> mask: array<i32>;
@group(0) @binding(5) var<uniform> params: Params;
#elif BIAS
@group(0) @binding(4) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

#import attention

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
#if BROADCAST
    @builtin(subgroup_invocation_id) lane: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
#if !BROADCAST
    let lane = 0u;
#endif
    let split = workgroup.x % params.splits;
    let row = workgroup.x / params.splits * ROWS;
    let kv = workgroup.y;
    let batch = workgroup.z;
    let rows = params.seq * params.group;
    let begin = split * params.part;
    let end = min(params.total, begin + params.part);
#import attention_loop
    let base = (batch * count.y + kv) * rows + row;
#for r in 0..$D16
    if used$r && item$r.row < ROWS && row + item$r.row < rows {
        let at = params.partial_offset / 4u + ((base + item$r.row) * params.splits + split) * (HEAD_VEC4S + 1u);
        partial[at + item$r.d] = acc$r;
        if item$r.d == 0u {
            partial[at + HEAD_VEC4S] = vec4(largest[item$r.row], weight_sum[item$r.row], 0.0, 0.0);
        }
    }
#endfor
}
