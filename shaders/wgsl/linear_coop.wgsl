// sum_k x[m, k] * W[n, k] by cooperative matrices: products of f16, sums in f32; layouts, and what is done with the sums, in
// lib/linear.wgsl. k is a multiple of 32. x beyond the range of f16 counts as its end, +-65504.
// A workgroup computes WARPS_M * FRAGS_M * SIZE rows of x by WARPS_N * FRAGS_N * SIZE rows of W, each of its subgroups, which
// have LANES threads, FRAGS_M by FRAGS_N matrices of SIZE x SIZE. Workgroups: x along n, y along m.
// x and W go through shared memory in steps of 32 columns, as halves; the next step is read while one is multiplied, and has
// room of its own where STAGES is 2. Rows there are 16 bytes longer than need be, so that eight of them begin in different
// banks.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#exclude WEIGHT == f32
#variant ELEM = f32 | f16
#variant SIZE = 16 | 8
#variant FRAGS_M = 4 | 2
#variant FRAGS_N = 2 | 4
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant EPILOGUE = rows | gate | heads | rope
#exclude RESIDUAL && EPILOGUE != rows
#variant HELD = same | f16 | f8
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant NORM = false
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#exclude TEXTURE && !SCALED
enable f16;
enable wgpu_cooperative_matrix;
#if EPILOGUE == gate
#import float
#endif
#import linear
#import halves

override WARPS_M: u32 = 2;
override WARPS_N: u32 = 2;
override LANES: u32 = 32;
override STAGES: u32 = 2;
override THREADS: u32 = WARPS_M * WARPS_N * LANES;
override TILE_M: u32 = WARPS_M * ${FRAGS_M}u * ${SIZE}u;
override TILE_N: u32 = WARPS_N * ${FRAGS_N}u * ${SIZE}u;
// vec4s of a row in shared memory, of a step of x and of W there, and of a matrix of sums.
const ROW = 10u;
override X_STEP: u32 = TILE_M * ROW;
override W_STEP: u32 = TILE_N * ROW;
const SUMS = ${SIZE}u * ${SIZE}u / 4u;
override X_VEC4S: u32 = X_STEP * STAGES;
override W_VEC4S: u32 = W_STEP * STAGES;
override SUM_VEC4S: u32 = WARPS_M * WARPS_N * SUMS;
// vec4s of x that a thread brings there in a step, at most 16, and chunks of W, at most 2.
override X_ROUND: u32 = THREADS / 8u * ROW;
override X_LOADS: u32 = TILE_M * 8u / THREADS;
override W_LOADS: u32 = (TILE_N + THREADS - 1u) / THREADS;
var<workgroup> xs: array<vec4<f16>, X_VEC4S>;
var<workgroup> ws: array<vec4<f16>, W_VEC4S>;
var<workgroup> sums: array<vec4<f32>, SUM_VEC4S>;

alias MatrixA = coop_mat${SIZE}x$SIZE<f16, A>;
alias MatrixB = coop_mat${SIZE}x$SIZE<f16, B>;
alias MatrixC = coop_mat${SIZE}x$SIZE<f32, C>;

fn put_x(at: u32, value: vec4<Elem>) {
#if ELEM == f32
    xs[at] = vec4<f16>(clamp(value, vec4(-65504.0), vec4(65504.0)));
#else
    xs[at] = value;
#endif
}

// Four rows, from `at` on.
fn put_w(at: u32, c: Chunk) {
#for r in 0..4
    ws[at + ${r}u * ROW] = halves${r}0(c);
    ws[at + ${r}u * ROW + 1u] = halves${r}1(c);
#endfor
}

// Writes a matrix of sums, which begins there in shared memory, to rows m .. of y and blocks of columns block .. .
fn store_sums(begin: u32, lane: u32, m: u32, block: u32) {
    for (var i = lane; i < SUMS; i += LANES) {
        let row = m + i / (${SIZE}u / 4u);
        let column = block + i % (${SIZE}u / 4u);
        if row < params.m && column < (params.n + 3u) / 4u { store(row, column, sums[begin + i]); }
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let steps = params.k / 32u;
    let x_to = index / 8u * ROW + index % 8u;
#for j in 0..16
    let m$j = workgroup.y * TILE_M + index / 8u + ${j}u * (THREADS / 8u);
    let x_at$j = x_row(min(m$j, params.m - 1u)) + index % 8u;
    var v$j = vec4<Elem>();
#endfor
    // Rows that do not exist are other ones again.
    let blocks = (params.n + 3u) / 4u;
#for j in 0..2
    let i$j = index + ${j}u * THREADS;
    let block$j = min(workgroup.x * (TILE_N / 4u) + i$j / 4u, blocks - 1u);
    let w_to$j = i$j / 4u * (4u * ROW) + i$j % 4u * 2u;
    var c$j: Chunk;
#endfor

    let warp_m = subgroup / WARPS_N * (${FRAGS_M}u * ${SIZE}u);
    let warp_n = subgroup % WARPS_N * (${FRAGS_N}u * ${SIZE}u);
#for a in 0..$FRAGS_M
#for b in 0..$FRAGS_N
    var sum${a}_$b = MatrixC();
#endfor
#endfor

#for j in 0..16
    if ${j}u < X_LOADS { put_x(x_to + ${j}u * X_ROUND, x[x_at$j]); }
#endfor
#for j in 0..2
    if ${j}u < W_LOADS && i$j < TILE_N { put_w(w_to$j, chunk(block$j, index % 4u)); }
#endfor
    workgroupBarrier();
    for (var step = 0u; step < steps; step++) {
        // The last step is brought once more.
        let next = min(step + 1u, steps - 1u);
#for j in 0..16
        if ${j}u < X_LOADS { v$j = x[x_at$j + 8u * next]; }
#endfor
#for j in 0..2
        if ${j}u < W_LOADS && i$j < TILE_N { c$j = chunk(block$j, 4u * next + index % 4u); }
#endfor
        let x_from = step % STAGES * X_STEP + warp_m * ROW;
        let w_from = step % STAGES * W_STEP + warp_n * ROW;
#for s in 0..4
#if SIZE == 8 || s == 0 || s == 1
#for a in 0..$FRAGS_M
        let a${s}_$a = coopLoadT<MatrixA>(&xs[x_from + ${a}u * ${SIZE}u * ROW + ${s}u * ${SIZE}u / 4u], ROW);
#endfor
#for b in 0..$FRAGS_N
        let b${s}_$b = coopLoad<MatrixB>(&ws[w_from + ${b}u * ${SIZE}u * ROW + ${s}u * ${SIZE}u / 4u], ROW);
#for a in 0..$FRAGS_M
        sum${a}_$b = coopMultiplyAdd(a${s}_$a, b${s}_$b, sum${a}_$b);
#endfor
#endfor
#endif
#endfor
        if STAGES == 1u { workgroupBarrier(); }
        let stage = (step + 1u) % STAGES;
#for j in 0..16
        if ${j}u < X_LOADS { put_x(stage * X_STEP + x_to + ${j}u * X_ROUND, v$j); }
#endfor
#for j in 0..2
        if ${j}u < W_LOADS && i$j < TILE_N { put_w(stage * W_STEP + w_to$j, c$j); }
#endfor
        workgroupBarrier();
    }

    let own = subgroup * SUMS;
    let m_first = workgroup.y * TILE_M + warp_m;
    let block_first = (workgroup.x * TILE_N + warp_n) / 4u;
#for a in 0..$FRAGS_M
#for b in 0..$FRAGS_N
    coopStoreT(sum${a}_$b, &sums[own], ${SIZE}u / 4u);
    workgroupBarrier();
    store_sums(own, lane, m_first + ${a}u * ${SIZE}u, block_first + ${b}u * ${SIZE}u / 4u);
    workgroupBarrier();
#endfor
#endfor
}
