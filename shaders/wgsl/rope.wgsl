// out = a turned by the angles of its position: for each pair (i, j) of rotated elements
//   out[i] = a[i] * cos[i] - a[j] * sin[i],  out[j] = a[j] * cos[j] + a[i] * sin[j].
// One thread: one pair of one row of [batch, heads, seq, 2 * pairs]; pairs from `rotated` on are copied.
// Pairs are (p, p + rotated), or (2p, 2p + 1) where INTERLEAVED. Tables are [batch or 1, seq, 2 * rotated], or
// [.., rotated] where HALF_TABLE. Strides of a and out: batch, heads, seq, element; of the tables: batch, seq.
#variant ELEM = f32 | f16
#variant INTERLEAVED = false | true
#variant HALF_TABLE = false | true
#if ELEM == f16
enable f16;
#endif

override WG_X: u32 = 64;

#import grid

alias Elem = $ELEM;

struct Params {
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    cos_strides: vec2<u32>,
    sin_strides: vec2<u32>,
    total: u32,
    heads: u32,
    seq: u32,
    pairs: u32,
    rotated: u32,
    a_offset: u32,
    cos_offset: u32,
    sin_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> cos: array<Elem>;
@group(0) @binding(2) var<storage, read_write> sin: array<Elem>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let pair = index % params.pairs;
    var rest = index / params.pairs;
    let position = rest % params.seq;
    rest /= params.seq;
    let head = rest % params.heads;
    let batch = rest / params.heads;
    let from_row = params.a_offset + batch * params.a_strides.x + head * params.a_strides.y + position * params.a_strides.z;
    let to_row = params.out_offset + batch * params.out_strides.x + head * params.out_strides.y + position * params.out_strides.z;
    let rotates = pair < params.rotated;
#if INTERLEAVED
    let i = 2u * pair;
    let j = i + 1u;
#else
    let i = select(params.rotated + pair, pair, rotates);
    let j = select(params.pairs + pair, pair + params.rotated, rotates);
#endif
    let x = f32(a[from_row + i * params.a_strides.w]);
    let y = f32(a[from_row + j * params.a_strides.w]);
    if !rotates {
        out[to_row + i * params.out_strides.w] = Elem(x);
        out[to_row + j * params.out_strides.w] = Elem(y);
        return;
    }
    let cosines = params.cos_offset + batch * params.cos_strides.x + position * params.cos_strides.y;
    let sines = params.sin_offset + batch * params.sin_strides.x + position * params.sin_strides.y;
#if HALF_TABLE
    let at_i = pair;
    let at_j = pair;
#else
    let at_i = i;
    let at_j = j;
#endif
    out[to_row + i * params.out_strides.w] = Elem(x * f32(cos[cosines + at_i]) - y * f32(sin[sines + at_i]));
    out[to_row + j * params.out_strides.w] = Elem(y * f32(cos[cosines + at_j]) + x * f32(sin[sines + at_j]));
}
