// Rotary embedding of a [batch, heads, seq, dim] view: out = a * cos + rotated(a) * sin in the first `rotary` elements,
// the rest copied. Pairs are (i, i + rotary/2), or (2i, 2i+1) where INTERLEAVED. cos and sin are [batch, seq, rotary], or
// [.., rotary/2] where HALF_TABLE; their strides are (batch, heads, seq, last). With POSITIONS the row of the table is
// positions[batch, seq] instead of seq. One thread: two elements.
#variant ELEM = f32 | f16
#variant TABLE = elem | f32
#variant HALF_TABLE = false | true
#variant INTERLEAVED = false | true
#variant POSITIONS = false | true
#exclude ELEM == f32 && TABLE == f32
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if TABLE == f32
alias Table = f32;
#else
alias Table = $ELEM;
#endif

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    cos_strides: vec4<u32>,
    sin_strides: vec4<u32>,
    out_strides: vec4<u32>,
    rotary: u32,
    a_offset: u32,
    cos_offset: u32,
    sin_offset: u32,
    out_offset: u32,
#if POSITIONS
    positions_offset: u32,
    positions_batch_stride: u32,
    positions_seq_stride: u32,
#endif
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> cos: array<Table>;
@group(0) @binding(2) var<storage, read_write> sin: array<Table>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
#if POSITIONS
@group(0) @binding(4) var<storage, read_write> positions: array<i32>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

fn at(strides: vec4<u32>, b: u32, h: u32, s: u32, d: u32) -> u32 {
    return b * strides.x + h * strides.y + s * strides.z + d * strides.w;
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let pairs = params.shape.w / 2u;
    let index = workgroup_index(workgroup, count) * WG_X + local.x;
    let i = index % pairs;
    let s = index / pairs % params.shape.z;
    let h = index / pairs / params.shape.z % params.shape.y;
    let b = index / pairs / params.shape.z / params.shape.y;
    if b >= params.shape.x { return; }
    let half = params.rotary / 2u;
    let rotates = i < half;
#if INTERLEAVED
    let d0 = 2u * i;
    let d1 = d0 + 1u;
#else
    let d0 = select(2u * i, i, rotates);
    let d1 = select(d0 + 1u, i + half, rotates);
#endif
    let x0 = a[params.a_offset + at(params.a_strides, b, h, s, d0)];
    let x1 = a[params.a_offset + at(params.a_strides, b, h, s, d1)];
    let to = params.out_offset + at(params.out_strides, b, h, s, 0u);
    if !rotates {
        out[to + d0 * params.out_strides.w] = x0;
        out[to + d1 * params.out_strides.w] = x1;
        return;
    }
#if POSITIONS
    let place = params.positions_offset + b * params.positions_batch_stride + s * params.positions_seq_stride;
    let row = u32(positions[place]);
#else
    let row = s;
#endif
    let cos_at = params.cos_offset + at(params.cos_strides, b, h, row, 0u);
    let sin_at = params.sin_offset + at(params.sin_strides, b, h, row, 0u);
#if HALF_TABLE
    let t0 = i;
    let t1 = i;
#else
    let t0 = d0;
    let t1 = d1;
#endif
    let y0 = f32(x0) * f32(cos[cos_at + t0 * params.cos_strides.w]) - f32(x1) * f32(sin[sin_at + t0 * params.sin_strides.w]);
    let y1 = f32(x1) * f32(cos[cos_at + t1 * params.cos_strides.w]) + f32(x0) * f32(sin[sin_at + t1 * params.sin_strides.w]);
    out[to + d0 * params.out_strides.w] = Elem(y0);
    out[to + d1 * params.out_strides.w] = Elem(y1);
}
