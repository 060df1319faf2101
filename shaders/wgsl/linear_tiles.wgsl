// sum_k x[m, k] * W[n, k]; layouts, and what is done with the sums, in lib/linear.wgsl. A workgroup computes WG_Y * TILE_M
// rows of x by WG_X * TILE_N rows of W: it brings 8 * CHUNKS columns of both to workgroup memory, the weights scaled, once
// for all its threads. A thread computes TILE_M rows of x, WG_Y apart, by TILE_N rows of W: blocks of 4, WG_X apart, so
// that neighbours read neighbours. Workgroups: x along n, y along m.
// With MATH = f16 what is brought, products, and sums of 8 * CHUNKS of them are f16.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#variant ELEM = f32 | f16
#variant TILE_M = 4 | 8
#variant TILE_N = 4 | 8
#variant MATH = f32 | f16
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant EPILOGUE = rows | gate | heads | rope
#exclude RESIDUAL && EPILOGUE != rows
#variant HELD = same | f16 | f8
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#exclude WEIGHT == f32 || MATH == f16 && ELEM != f16
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant NORM = false
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#exclude TEXTURE && !SCALED
#let WIDE = TILE_N == 8
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#if EPILOGUE == gate
#import float
#endif
#import linear

override WG_X: u32 = 16;
override WG_Y: u32 = 8;
override CHUNKS: u32 = 2;
// Rows of x are one vec4 longer, so that neighbours begin in other banks.
override X_VEC4S: u32 = WG_Y * ${TILE_M}u * (2u * CHUNKS + 1u);
override W_VEC4S: u32 = WG_X * ${TILE_N}u * 2u * CHUNKS;

alias Wide = vec4<$MATH>;
// [WG_Y * TILE_M, 2 * CHUNKS + 1]: 4 columns of a row of x.
var<workgroup> x_tile: array<Wide, X_VEC4S>;
// [8 * CHUNKS, WG_X * TILE_N / 4]: a column of 4 rows of W.
var<workgroup> w_tile: array<Wide, W_VEC4S>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let blocks = (params.n + 3u) / 4u;
    let chunks = params.k / 8u;
    let wide = WG_X * (${TILE_N}u / 4u);
    let n_group = workgroup.x * wide;
    let m_group = workgroup.y * WG_Y * ${TILE_M}u;
#for m in 0..$TILE_M
#for b in 0..2
#if b == 0 || WIDE
    var acc${m}_$b = vec4<f32>();
#endif
#endfor
#endfor
    for (var j = 0u; j < chunks; j += CHUNKS) {
        workgroupBarrier();
        for (var i = index; i < WG_Y * ${TILE_M}u * 2u * CHUNKS; i += WG_X * WG_Y) {
            let m = i / (2u * CHUNKS);
            let column = i % (2u * CHUNKS);
            let at = x_row(min(m_group + m, params.m - 1u)) + min(2u * j + column, 2u * chunks - 1u);
            x_tile[m * (2u * CHUNKS + 1u) + column] = select(Wide(), Wide(x[at]), 2u * j + column < 2u * chunks);
        }
        // x is zero beyond k, so a chunk there may be any.
        for (var i = index; i < wide * CHUNKS; i += WG_X * WG_Y) {
            let c = i / wide;
            let block = min(n_group + i % wide, blocks - 1u);
            let w = words(weight_row(block), min(j + c, chunks - 1u));
            let at = 8u * c * wide + i % wide;
#if SCALED
            let s = load_scale(scale_row(block), min(j + c, chunks - 1u));
            let scale = low(s);
            let base = high(s);
#endif
#for h in 0..2
#for p in 0..2
            let pair$h$p = pair$h${p}(w);
#if SCALED
            w_tile[at + (4u * ${h}u + 2u * ${p}u) * wide] = Wide(scale * pair$h$p.even + base);
            w_tile[at + (4u * ${h}u + 2u * ${p}u + 1u) * wide] = Wide(scale * pair$h$p.odd + base);
#else
            w_tile[at + (4u * ${h}u + 2u * ${p}u) * wide] = Wide(pair$h$p.even);
            w_tile[at + (4u * ${h}u + 2u * ${p}u + 1u) * wide] = Wide(pair$h$p.odd);
#endif
#endfor
#endfor
        }
        workgroupBarrier();
#for m in 0..$TILE_M
#for b in 0..2
#if MATH == f16 && (b == 0 || WIDE)
        var part${m}_$b = Wide();
#endif
#endfor
#endfor
        for (var c = 0u; c < 2u * CHUNKS; c++) {
#for m in 0..$TILE_M
            let x$m = x_tile[(local.y + ${m}u * WG_Y) * (2u * CHUNKS + 1u) + c];
#endfor
#for e in 0..4
#for b in 0..2
#if b == 0 || WIDE
            let w${e}_$b = w_tile[(4u * c + ${e}u) * wide + local.x + ${b}u * WG_X];
#endif
#endfor
#for m in 0..$TILE_M
#for b in 0..2
#if MATH == f16 && (b == 0 || WIDE)
            part${m}_$b += x$m[$e] * w${e}_$b;
#elif b == 0 || WIDE
            acc${m}_$b += x$m[$e] * w${e}_$b;
#endif
#endfor
#endfor
#endfor
        }
#for m in 0..$TILE_M
#for b in 0..2
#if MATH == f16 && (b == 0 || WIDE)
        acc${m}_$b += vec4<f32>(part${m}_$b);
#endif
#endfor
#endfor
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
