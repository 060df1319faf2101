// out[i, :] = row indices[i] of a packed table, for rows row_start .. row_start + row_count, which this piece holds;
// others are left alone. Negative indices count from the end of all `rows`. One thread: 8 columns of one row.
// Layouts as in lib/linear.wgsl; k is a multiple of 8 except where the weights are f16 or f32.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant ELEM = f32 | f16
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;
override GROUP: u32 = 32;

alias Elem = $ELEM;

struct Params {
    total: u32,
    k: u32,
    rows: u32,
    row_start: u32,
    row_count: u32,
    indices_offset: u32,
    out_offset: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
#if WEIGHT == f32
@group(0) @binding(2) var<storage, read> weight: array<f32>;
#else
@group(0) @binding(2) var<storage, read> weight: array<u32>;
#endif
#if SCALED
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

// The weight at column c of row `row` of this piece.
fn element(row: u32, c: u32) -> f32 {
    let block = row / 4u;
    let lane = row % 4u;
#if WEIGHT == f32
    return weight[(block * params.k + c) * 4u + lane];
#elif WEIGHT == f16
    let pair = unpack2x16float(weight[(block * ((params.k + 1u) / 2u) + c / 2u) * 4u + lane]);
    return select(pair.x, pair.y, c % 2u == 1u);
#else
    let groups = (params.k + GROUP - 1u) / GROUP;
    let scale = unpack2x16float(scales[(block * groups + c / GROUP) * 4u + lane]);
#if WEIGHT == m0e4
    let word = weight[(block * (params.k / 8u) + c / 8u) * 4u + lane];
    let code = word >> (c % 8u / 2u * 4u + c % 2u * 16u) & 15u;
    return scale.x * (1.0 + f32(code) * 0.0625) + scale.y;
#else
    let word = weight[(block * (params.k / 4u) + c / 4u) * 4u + lane];
    return scale.x * f32(word >> (c % 4u * 8u) & 255u) + scale.y;
#endif
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    let pieces = (params.k + 7u) / 8u;
    let i = index / pieces;
    if i >= params.total { return; }
    var row = indices[params.indices_offset + i];
    if row < 0 { row += i32(params.rows); }
    let own = clamp(u32(row), 0u, params.rows - 1u) - params.row_start;
    if own >= params.row_count { return; }
    let first = index % pieces * 8u;
    for (var c = first; c < min(first + 8u, params.k); c++) {
        out[params.out_offset + i * params.out_stride + c] = Elem(element(own, c));
    }
}
