// What attention kernels share. A row is a query of one of the `group` heads that share a key head: row r is position
// r / group, head r % group. All views are [batch, heads, position, dim] with strides in elements, multiples of 4, those of
// keys and values of 8, and the last one 1. Key j is visible at position i when j <= i + past (give past = total for no
// causal mask), j + window > i + past (window 0: no bound), and mask[batch, j] != 0. A row that sees nothing gives zeros.
// biases[batch, head, i, j] is added to the score.
//
// Loops count by one(), so that drivers do not unroll them and run out of registers.
//
// The kernel has `Held`, in which keys and values are read. With SPLIT it has a part of the keys, of `splits`: of more than one
// it writes to `partial` what attention_merge joins. Keys and values held as f8 are read as numbers / 256 (lib/f8.wgsl):
// `scale` makes up for the keys', UNIT for the values'.

alias Elem = $ELEM;
#if CACHE == f8
#import f8
const UNIT = F8_UNIT;
#else
const UNIT = 1.0;
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
#if SPLIT
    partial_offset: u32,
#endif
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
#if SPLIT
    splits: u32,
#endif
    scale: f32,
    softcap: f32,
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> k: array<Held>;
@group(0) @binding(2) var<storage, read_write> v: array<Held>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<Elem>>;
// Not every kernel has all of these: bindings have gaps.
#if PADDING
@group(0) @binding(4) var<storage, read_write> mask: array<i32>;
#endif
#if BIAS
@group(0) @binding(5) var<storage, read_write> biases: array<Elem>;
#endif
#if SPLIT
@group(0) @binding(6) var<storage, read_write> partial: array<vec4<f32>>;
#endif
@group(0) @binding(7) var<uniform> params: Params;

// Finite, since compilers may assume that infinity does not occur.
const HIDDEN = -1.0e30;

// Set from the workgroup's number: software Vulkan compiles a shader anew at every dispatch whose branches and loop bounds
// hang on uniforms alone.
var<private> hidden_one: u32;

// 1, but compilers do not know.
fn one() -> u32 {
    return hidden_one;
}

// The first element of a row of queries, biases or the output, whose offset and strides are given.
fn row_at(batch: u32, kv: u32, row: u32, offset: u32, strides: vec4<u32>) -> u32 {
    let head = kv * params.group + row % params.group;
    return offset + batch * strides.x + head * strides.y + row / params.group * strides.z;
}

fn q_at(batch: u32, kv: u32, row: u32) -> u32 {
    return row_at(batch, kv, min(row, params.seq * params.group - 1u), params.q_offset, params.q_strides) / 4u;
}

// Writes vec4 `d` of a row of the output: values that are weighted, and the sum of their weights.
fn write_out(batch: u32, kv: u32, row: u32, d: u32, values: vec4<f32>, weight: f32) {
    let at = row_at(batch, kv, row, params.out_offset, params.out_strides);
    out[at / 4u + d] = vec4<Elem>(select(values / weight, vec4<f32>(), weight == 0.0));
}

#if SPLIT
// Whether this part has all keys, and what it finds is the output.
fn alone() -> bool {
    return params.splits * one() == 1u;
}
#endif

#if BIAS
fn bias_at(batch: u32, kv: u32, row: u32, key: u32) -> f32 {
    let r = min(row, params.seq * params.group - 1u);
    let at = row_at(batch, kv, r, params.biases_offset, params.biases_strides);
    return f32(biases[at + min(key, params.total - 1u) * params.biases_strides.w]);
}
#endif

fn visible(batch: u32, row: u32, key: u32) -> bool {
    let last = row / params.group + params.past;
#if PADDING
    if mask[params.mask_offset + batch * params.mask_stride + min(key, params.total - 1u)] == 0 { return false; }
#endif
    return key < params.total && key <= last && (params.window == 0u || key + params.window > last);
}

// The score of a key, of which `dot` is the scaled product.
fn score(batch: u32, kv: u32, row: u32, key: u32, dot: f32) -> f32 {
    var s = dot;
    // The branch asks for the score too, lest it hang on a uniform alone; and drivers compute tanh by exp, which overflows.
    if params.softcap * abs(s) > 0.0 { s = params.softcap * tanh(clamp(s / params.softcap, -15.0, 15.0)); }
#if BIAS
    s += bias_at(batch, kv, row, key);
#endif
    return select(HIDDEN, s, visible(batch, row, key));
}
