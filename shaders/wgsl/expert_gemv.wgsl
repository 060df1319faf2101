// y[r, n] = sum_k x[r, k] * W[indices[r], n, k]: each row by the matrix of its own expert. The experts' matrices lie one
// behind the other along n (layouts in lib/packed.wgsl), and n is a multiple of 4. Negative indices count from the end of
// `experts`. Only blocks block_start .. block_start + block_count of 4 rows, which weight and scales hold, are computed, so
// that matrices in several pieces take one run for each. By REDUCE:
//   shared    LANES threads go along k for 4 rows of W and add up through shared memory
//   subgroup  all WG_X threads go along k, for one block of 4 rows a workgroup, and add up by subgroupAdd
//   none      each thread has 4 rows of W to itself
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false
#variant ELEM = f32 | f16
#variant REDUCE = shared | subgroup | none
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates
#import packed

override WG_X: u32 = 64;
#if REDUCE != none
#import across
#endif

alias Elem = $ELEM;

// Offsets of weight and scales count vec4s; x_offset is a multiple of 4.
struct Params {
    rows: u32,
    n: u32,
    k: u32,
    experts: u32,
    block_start: u32,
    block_count: u32,
    x_offset: u32,
    indices_offset: u32,
    weight_offset: u32,
#if SCALED
    scales_offset: u32,
#endif
    y_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
#if WEIGHT == f32
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
#else
@group(0) @binding(3) var<storage, read> weight: array<vec4<u32>>;
#endif
#if SCALED
@group(0) @binding(4) var<storage, read> scales: array<vec4<u32>>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
#if REDUCE == subgroup
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(workgroup, count);
#if REDUCE == shared
    let mine = group * (WG_X / LANES) + local / LANES;
    let lane = local % LANES;
    let step = LANES;
#elif REDUCE == subgroup
    let mine = group;
    let lane = local;
    let step = WG_X;
#else
    let mine = group * WG_X + local;
    let lane = 0u;
    let step = 1u;
#endif
    let blocks = params.n / 4u;
    let r = mine / blocks;
    let expert = wrapped(indices[params.indices_offset + min(r, params.rows - 1u)], params.experts);
    // A block before the piece has wrapped around to a large number.
    let block = expert * blocks + mine % blocks - params.block_start;
    let has_rows = r < params.rows && block < params.block_count;
    // A thread without rows must still meet the others at barriers.
    let chunks = select(0u, params.k / 8u, has_rows);
    let row = (params.x_offset + r * params.k) / 4u;
    let weights = weight_row(block);
#if SCALED
    let scales = scale_row(block);
#endif
    var sum = vec4<f32>();
    for (var j = lane; j < chunks; j += step) {
        let a = vec4<f32>(x[row + 2u * j]);
        let b = vec4<f32>(x[row + 2u * j + 1u]);
#if SCALED
        let s = load_scale(scales, j);
        sum += high(s) * add4(a + b) + low(s) * dot_at(weights, j, a, b);
#else
        sum += dot_at(weights, j, a, b);
#endif
    }
#if REDUCE == shared
    sum = across(sum, local, lane);
#elif REDUCE == subgroup
    sum = across(sum, subgroup_lane, subgroup, subgroups);
#endif
    if has_rows && lane == 0u {
        let at = params.y_offset + r * params.n + mine % blocks * 4u;
        for (var i = 0u; i < 4u; i++) { y[at + i] = Elem(sum[i]); }
    }
}
