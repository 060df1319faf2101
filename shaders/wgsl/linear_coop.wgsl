// sum_k x[m, k] * W[n, k] by cooperative matrices: products of f16, sums in f32; layouts, and what is done with the sums, in
// lib/linear.wgsl. k is a multiple of STEP. x beyond the range of f16 counts as its end, +-65504.
// A workgroup computes WARPS_M * FRAGS_M * SIZE rows of x by WARPS_N * FRAGS_N * SIZE rows of W, each of its subgroups, which
// have LANES threads, FRAGS_M by FRAGS_N matrices of SIZE x SIZE. Workgroups: x along n, y along m.
// x and W go through shared memory in steps of STEP columns, 32 or 64, as halves; the next step is read while one is
// multiplied, and has room of its own where STAGES is 2. Rows there are 16 bytes longer than need be, so that eight of them
// begin in different banks. Where WORDS, W is written there by 16 bytes at a time, which a matrix is loaded from whatever
// type they have.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#exclude WEIGHT == f32
#variant ELEM = f32 | f16
#variant SIZE = 16 | 8
#variant FRAGS_M = 4 | 2
#variant FRAGS_N = 2 | 4
#variant WORDS = false | true
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant EPILOGUE = rows | gate | heads | rope
#exclude RESIDUAL && EPILOGUE != rows
#variant HELD = same | f16
#exclude HELD == f16 && (ELEM == f16 || EPILOGUE == rows || EPILOGUE == gate)
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant NORM = false
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
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
override STEP: u32 = 32;
override THREADS: u32 = WARPS_M * WARPS_N * LANES;
override TILE_M: u32 = WARPS_M * ${FRAGS_M}u * ${SIZE}u;
override TILE_N: u32 = WARPS_N * ${FRAGS_N}u * ${SIZE}u;
// Elements of x of a step in a row, which are vec4s, and those of a row in shared memory.
override X_COLUMNS: u32 = STEP / 4u;
override X_ROW: u32 = X_COLUMNS + 2u;
// Chunks of W of a step in a row, and elements of a row in shared memory, of which a chunk has CHUNK.
override W_COLUMNS: u32 = STEP / 8u;
#if WORDS
alias Part = vec4<u32>;
const CHUNK = 1u;
#else
alias Part = vec4<f16>;
const CHUNK = 2u;
#endif
override W_ROW: u32 = (W_COLUMNS + 1u) * CHUNK;
override X_STEP: u32 = TILE_M * X_ROW;
override W_STEP: u32 = TILE_N * W_ROW;
// vec4s of a matrix of sums.
const SUMS = ${SIZE}u * ${SIZE}u / 4u;
override X_PARTS: u32 = X_STEP * STAGES;
override W_PARTS: u32 = W_STEP * STAGES;
override SUM_VEC4S: u32 = WARPS_M * WARPS_N * SUMS;
// vec4s of x that a thread brings there in a step, at most 16, and chunks of W, at most 2.
override X_ROUND: u32 = THREADS / X_COLUMNS * X_ROW;
override X_LOADS: u32 = TILE_M * X_COLUMNS / THREADS;
override W_CHUNKS: u32 = TILE_N / 4u * W_COLUMNS;
override W_LOADS: u32 = (W_CHUNKS + THREADS - 1u) / THREADS;
var<workgroup> xs: array<vec4<f16>, X_PARTS>;
var<workgroup> ws: array<Part, W_PARTS>;
var<workgroup> sums: array<vec4<f32>, SUM_VEC4S>;

alias MatrixA = coop_mat${SIZE}x$SIZE<f16, A>;
alias MatrixB = coop_mat${SIZE}x$SIZE<f16, B>;
alias MatrixC = coop_mat${SIZE}x$SIZE<f32, C>;

fn put_x(at: u32, value: vec4<Elem>) {
#if ELEM == f32
    // Beyond the range lies infinity.
    xs[at] = clamp(vec4<f16>(value), vec4(-65504.0h), vec4(65504.0h));
#else
    xs[at] = value;
#endif
}

// Four rows, from `at` on.
fn put_w(at: u32, c: Chunk) {
#for r in 0..4
#if WORDS
    ws[at + ${r}u * W_ROW] = packed$r(c);
#else
    ws[at + ${r}u * W_ROW] = halves${r}0(c);
    ws[at + ${r}u * W_ROW + 1u] = halves${r}1(c);
#endif
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
    let steps = params.k / STEP;
    let x_to = index / X_COLUMNS * X_ROW + index % X_COLUMNS;
#for j in 0..16
    let m$j = workgroup.y * TILE_M + index / X_COLUMNS + ${j}u * (THREADS / X_COLUMNS);
    let x_at$j = x_row(min(m$j, params.m - 1u)) + index % X_COLUMNS;
    var v$j = vec4<Elem>();
#endfor
    // Rows that do not exist are other ones again.
    let blocks = (params.n + 3u) / 4u;
#for j in 0..2
    let i$j = index + ${j}u * THREADS;
    let block$j = min(workgroup.x * (TILE_N / 4u) + i$j / W_COLUMNS, blocks - 1u);
    let w_to$j = i$j / W_COLUMNS * (4u * W_ROW) + i$j % W_COLUMNS * CHUNK;
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
    if ${j}u < W_LOADS && i$j < W_CHUNKS { put_w(w_to$j, chunk(block$j, index % W_COLUMNS)); }
#endfor
    workgroupBarrier();
    for (var step = 0u; step < steps; step++) {
        // The last step is brought once more.
        let next = min(step + 1u, steps - 1u);
#for j in 0..16
        if ${j}u < X_LOADS { v$j = x[x_at$j + X_COLUMNS * next]; }
#endfor
#for j in 0..2
        if ${j}u < W_LOADS && i$j < W_CHUNKS { c$j = chunk(block$j, W_COLUMNS * next + index % W_COLUMNS); }
#endfor
        let x_from = step % STAGES * X_STEP + warp_m * X_ROW;
        let w_from = step % STAGES * W_STEP + warp_n * W_ROW;
#for s in 0..8
#if SIZE == 8 || s == 0 || s == 1 || s == 2 || s == 3
        if ${s}u * ${SIZE}u < STEP {
#for a in 0..$FRAGS_M
            let a$a = coopLoadT<MatrixA>(&xs[x_from + ${a}u * ${SIZE}u * X_ROW + ${s}u * ${SIZE}u / 4u], X_ROW);
#endfor
#for b in 0..$FRAGS_N
            let b$b = coopLoad<MatrixB>(&ws[w_from + ${b}u * ${SIZE}u * W_ROW + ${s}u * ${SIZE}u / 8u * CHUNK], W_ROW);
#for a in 0..$FRAGS_M
            sum${a}_$b = coopMultiplyAdd(a$a, b$b, sum${a}_$b);
#endfor
#endfor
        }
#endif
#endfor
        if STAGES == 1u { workgroupBarrier(); }
        let stage = (step + 1u) % STAGES;
#for j in 0..16
        if ${j}u < X_LOADS { put_x(stage * X_STEP + x_to + ${j}u * X_ROUND, v$j); }
#endfor
#for j in 0..2
        if ${j}u < W_LOADS && i$j < W_CHUNKS { put_w(stage * W_STEP + w_to$j, c$j); }
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
