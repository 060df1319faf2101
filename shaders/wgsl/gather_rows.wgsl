// out[i, :] = row indices[i] of a packed matrix [rows, k] (layouts in lib/packed.wgsl). Negative indices count from the end
// of `rows`. Only rows row_start .. row_start + row_count, which weight and scales hold, are written, so that a matrix
// in several pieces takes one run for each. One thread: 8 columns.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant ELEM = f32 | f16
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates

override WG_X: u32 = 64;
#if SCALED
override GROUP: u32 = 32;
#endif

alias Elem = $ELEM;

struct Params {
    count: u32,
    k: u32,
    rows: u32,
    row_start: u32,
    row_count: u32,
    indices_offset: u32,
    indices_stride: u32,
    weight_offset: u32,
#if SCALED
    scales_offset: u32,
#endif
    out_offset: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
#if WEIGHT == f32
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>;
#endif
#if SCALED
@group(0) @binding(3) var<storage, read> scales: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

// Element 8j + i of the row that is component `lane` of block `block`, its code not yet scaled.
fn element(block: u32, lane: u32, j: u32, i: u32) -> f32 {
#if WEIGHT == m0e4
    let word = weight[params.weight_offset + block * (params.k / 8u) + j][lane];
    let code = (word >> (i / 2u * 4u + i % 2u * 16u)) & 15u;
    return 1.0 + f32(code) / 16.0;
#elif WEIGHT == affine8
    let word = weight[params.weight_offset + block * (params.k / 4u) + j * 2u + i / 4u][lane];
    return f32((word >> (i % 4u * 8u)) & 255u);
#elif WEIGHT == f16
    let word = weight[params.weight_offset + block * (params.k / 2u) + j * 4u + i / 2u][lane];
    return unpack2x16float(word)[i % 2u];
#else
    return weight[params.weight_offset + block * params.k + j * 8u + i][lane];
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let chunks = params.k / 8u;
    let index = workgroup_index(workgroup, count) * WG_X + local;
    let i = index / chunks;
    let j = index % chunks;
    if i >= params.count { return; }
    let row = wrapped(indices[params.indices_offset + i * params.indices_stride], params.rows) - params.row_start;
    // A row before the piece has wrapped around to a large number.
    if row >= params.row_count { return; }
    let block = row / 4u;
    let lane = row % 4u;
#if SCALED
    let groups = (params.k + GROUP - 1u) / GROUP;
    let scale = unpack2x16float(scales[params.scales_offset + block * groups + j * 8u / GROUP][lane]);
#endif
    let at = params.out_offset + i * params.out_stride + j * 8u;
    for (var c = 0u; c < 8u; c++) {
#if SCALED
        out[at + c] = Elem(scale.x * element(block, lane, j, c) + scale.y);
#else
        out[at + c] = Elem(element(block, lane, j, c));
#endif
    }
}
