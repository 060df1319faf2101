// sum_k x[m, k] * W[n, k] by products in 8 bits (lib/bytes.wgsl); layouts, and what is done with the sums, in
// lib/linear.wgsl. A workgroup computes WG_Y * TILE_M rows of x by WG_X * TILE_N rows of W: it brings SPANS spans of both to
// workgroup memory, x in 8 bits, the codes as they are, once for all its threads. A thread computes TILE_M rows of x, WG_Y
// apart, by TILE_N rows of W: blocks of 4, WG_X apart, so that neighbours read neighbours. Workgroups: x along n, y along m.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#variant ELEM = f32 | f16
#variant TILE_M = 4 | 2 | 8
#variant TILE_N = 4 | 8
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant EPILOGUE = rows | gate | heads | rope
#variant HELD = same | f16 | f8
#exclude WEIGHT == f16 || WEIGHT == f32
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#exclude RESIDUAL && EPILOGUE != rows
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant MATH = i8
#variant DOT = signed
#variant NORM = false
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#let WIDE = TILE_N == 8
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#if EPILOGUE == gate
#import float
#endif
#import linear
#import bytes
#import opaque_one

override WG_X: u32 = 16;
override WG_Y: u32 = 4;
override SPANS: u32 = 2;
override X_ROWS: u32 = WG_Y * ${TILE_M}u;
override X_VEC4S: u32 = X_ROWS * 2u * SPANS;
override X_SPANS: u32 = X_ROWS * SPANS;
override W_CHUNKS: u32 = WG_X * ${TILE_N}u * SPANS;
override W_SPANS: u32 = WG_X * (${TILE_N}u / 4u) * SPANS;

// [2 * SPANS, WG_Y * TILE_M]: 16 columns of a row of x, and [SPANS, WG_Y * TILE_M]: what they are times.
var<workgroup> x_tile: array<vec4<u32>, X_VEC4S>;
var<workgroup> steps: array<vec2<f32>, X_SPANS>;
// [4 * SPANS, WG_X * TILE_N / 4]: a chunk of 4 rows of W, and [SPANS, WG_X * TILE_N / 4]: their scales.
var<workgroup> w_tile: array<Words, W_CHUNKS>;
var<workgroup> scale_tile: array<vec4<u32>, W_SPANS>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let blocks = (params.n + 3u) / 4u;
    let chunks = params.k / 8u;
    let one = opaque_one(workgroup);
    let wide = WG_X * (${TILE_N}u / 4u);
    let n_group = workgroup.x * wide;
    let m_group = workgroup.y * X_ROWS;
#for m in 0..$TILE_M
#for b in 0..2
#if b == 0 || WIDE
    var acc${m}_$b = vec4<f32>();
#endif
#endfor
#endfor
    for (var j = 0u; j < chunks; j += 4u * SPANS) {
        workgroupBarrier();
        for (var i = index; i < X_SPANS; i += WG_X * WG_Y) {
            let m = i % X_ROWS;
            let row = x_row(min(m_group + m, params.m - 1u));
            let first = 2u * j + i / X_ROWS * 8u;
            let top = top_of(row, first, one);
            var sum = 0;
            for (var c = 0u; c < 4u * one; c++) {
                let chunk = rounded(row, first + 2u * c, top);
                let at = (i / X_ROWS * 2u + c / 2u) * X_ROWS + m;
                x_tile[at][c % 2u * 2u] = chunk.x;
                x_tile[at][c % 2u * 2u + 1u] = chunk.y;
                sum = add8(chunk, sum);
            }
            steps[i] = times(top, sum);
        }
        // x is zero beyond k, so a chunk there may be any.
        for (var i = index; i < W_CHUNKS; i += WG_X * WG_Y) {
            let row = weight_row(min(n_group + i % wide, blocks - 1u));
            w_tile[i] = words(row, min(j + i / wide, chunks - 1u));
        }
        for (var i = index; i < W_SPANS; i += WG_X * WG_Y) {
            let row = scale_row(min(n_group + i % wide, blocks - 1u));
            scale_tile[i] = load_scale(row, min(j + i / wide * 4u, chunks - 1u));
        }
        workgroupBarrier();
        for (var s = 0u; s < SPANS * one; s++) {
#for b in 0..2
#if b == 0 || WIDE
#for m in 0..$TILE_M
            var products${m}_$b = vec4<i32>();
#endfor
#for h in 0..2
            let at${h}_$b = (4u * s + 2u * ${h}u) * wide + local.x + ${b}u * WG_X;
            let low${h}_$b = codes_of(w_tile[at${h}_$b]);
            let high${h}_$b = codes_of(w_tile[at${h}_$b + wide]);
#for m in 0..$TILE_M
            let x${m}_${h}_$b = x_tile[(2u * s + ${h}u) * X_ROWS + local.y + ${m}u * WG_Y];
            products${m}_$b = dots(low${h}_$b, x${m}_${h}_$b.xy, products${m}_$b);
            products${m}_$b = dots(high${h}_$b, x${m}_${h}_$b.zw, products${m}_$b);
#endfor
#endfor
            let scale_$b = scale_tile[s * wide + local.x + ${b}u * WG_X];
#for m in 0..$TILE_M
            acc${m}_$b += scaled(scale_$b, products${m}_$b, steps[s * X_ROWS + local.y + ${m}u * WG_Y]);
#endfor
#endif
#endfor
        }
    }
#for m in 0..$TILE_M
    let m$m = m_group + local.y + ${m}u * WG_Y;
    if m$m < params.m {
#for b in 0..2
#if b == 0 || WIDE
        let block${m}_$b = n_group + local.x + ${b}u * WG_X;
        if block${m}_$b < blocks { store(m$m, block${m}_$b, acc${m}_$b); }
#endif
#endfor
    }
#endfor
}
