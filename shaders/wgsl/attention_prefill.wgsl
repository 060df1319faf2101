// out = softmax(scale * q k^T + bias, masked) v; a workgroup takes ROWS rows of one key head (see lib/attention.wgsl).
// Workgroups: x over ceil(seq * group / ROWS), y over key heads, z over the batch. D16 is head_dim / 16. BROADCAST shares
// reads of q within subgroups of 8 to 32 threads.
#variant ELEM = f32 | f16
#variant D16 = 4 | 1 | 2 | 5 | 6 | 7 | 8 | 16
#variant HALF_ROWS = 8 | 4 | 2 | 1
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
    out_strides: vec4<u32>,
#if BIAS
    biases_strides: vec4<u32>,
#endif
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    out_offset: u32,
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
    scale: f32,
    softcap: f32,
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<Elem>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<Elem>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<Elem>>;
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
) {
#if !BROADCAST
    let lane = 0u;
#endif
    let row = workgroup.x * ROWS;
    let kv = workgroup.y;
    let batch = workgroup.z;
    let rows = params.seq * params.group;
    let after_first = row / params.group + params.past + 1u;
    let to = min(row + ROWS, rows) - 1u;
    let end = min(params.total, to / params.group + params.past + 1u);
    let begin = select(0u, (max(after_first, params.window) - params.window) / TILE * TILE, params.window > 0u);
#import attention_loop
#for r in 0..$D16
    if used$r && item$r.row < ROWS && row + item$r.row < rows {
        let sum = weight_sum[item$r.row];
        let place = row + item$r.row;
        let s = params.out_strides;
        let head = kv * params.group + place % params.group;
        let at = params.out_offset + batch * s.x + head * s.y + place / params.group * s.z;
        out[at / 4u + item$r.d] = vec4<Elem>(select(acc$r / sum, vec4<f32>(), sum == 0.0));
    }
#endfor
}
