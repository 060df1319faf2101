// Joins the parts of attention_decode, or of attention_tiles: out[batch, head, seq, d] = sum_i e^(m_i - m) acc_i / sum_i e^(m_i - m) l_i.
// One workgroup a row, in the order in which attention_decode counts them; a thread takes 4 elements at a time.
#variant ELEM = f32 | f16
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    out_strides: vec4<u32>,
    partial_offset: u32,
    out_offset: u32,
    rows: u32,
    seq: u32,
    group: u32,
    kv_heads: u32,
    splits: u32,
    head_dim: u32,
}

@group(0) @binding(0) var<storage, read_write> partial: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<Elem>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let vec4s = params.head_dim / 4u;
    let at = params.partial_offset / 4u + row * params.splits * (vec4s + 1u);
    // Software Vulkan compiles a shader anew at every dispatch whose loops are bounded by a uniform alone.
    let splits = params.splits * min(workgroup.x + 1u, 1u);
    var top = partial[at + vec4s].x;
    for (var i = 1u; i < splits; i++) { top = max(top, partial[at + i * (vec4s + 1u) + vec4s].x); }
    let r = row % (params.seq * params.group);
    let kv = row / (params.seq * params.group) % params.kv_heads;
    let batch = row / (params.seq * params.group) / params.kv_heads;
    let s = params.out_strides;
    let head = kv * params.group + r % params.group;
    let place = params.out_offset + batch * s.x + head * s.y + r / params.group * s.z;
    for (var d = local; d < vec4s; d += WG_X) {
        var sum = vec4<f32>();
        var weight = 0.0;
        for (var i = 0u; i < splits; i++) {
            let part = at + i * (vec4s + 1u);
            let factor = exp(partial[part + vec4s].x - top);
            sum += factor * partial[part + d];
            weight += factor * partial[part + vec4s].y;
        }
        out[place / 4u + d] = vec4<Elem>(select(sum / weight, vec4<f32>(), weight == 0.0));
    }
}
