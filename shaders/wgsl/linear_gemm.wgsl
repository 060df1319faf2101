// sum_k x[m, k] * W[n, k]; layouts, and what is done with the sums, in lib/linear.wgsl. A thread computes TILE_M rows of
// x by TILE_N rows of W; a workgroup WG_Y * TILE_M by WG_X * TILE_N. Workgroups: x along n, y along m.
//   X = shared     x goes through shared memory, 32 columns at a time
//   X = none       each thread reads x itself
//   X = broadcast  each thread reads a part of x for its subgroup of 8 threads or more, no barriers; WG_Y = 1 (software
//                  Vulkan)
// With MATH = f16 products, and sums of 32 of them, are f16. A thread decodes AT_ONCE columns of W at a time: 4 take fewer
// registers (4 by 4 on an Adreno 660 16, not 21, so that 8 waves run, not 6) but more instructions. Where weights go through shared memory too: linear_tiles.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#variant ELEM = f32 | f16
#variant TILE_M = 4 | 2 | 8 | 16
#variant TILE_N = 4 | 8
#variant X = shared | none | broadcast
#variant MATH = f32 | f16
#variant AT_ONCE = 8 | 4
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant EPILOGUE = rows | gate | heads | rope
#variant HELD = same | f16 | f8
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#exclude RESIDUAL && EPILOGUE != rows
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant NORM = false
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#exclude TEXTURE && !SCALED
#let WIDE = TILE_N == 8
#exclude TILE_N == 8 && (TILE_M == 8 && X != broadcast || X == none || !SCALED)
#exclude TILE_M == 16 && (X != broadcast || TILE_N == 4)
#exclude X == none && !SCALED
#exclude MATH == f16 && !(ELEM == f16 && WEIGHT == m0e4 && X != broadcast && TILE_N == 4)
#exclude AT_ONCE == 4 && !(SCALED && X == shared && MATH == f32 && TILE_N == 4)
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#if EPILOGUE == gate
#import float
#endif
#import linear

#if MATH == f16
#import packed_half
alias Wide = vec4<f16>;
#else
alias Wide = vec4<f32>;
#endif

#if X == broadcast
override WG_X: u32 = 64;
const WG_Y = 1u;
#else
override WG_X: u32 = 16;
override WG_Y: u32 = 4;
#endif
#if X == shared
override TILE_VEC4S: u32 = WG_Y * ${TILE_M}u * 8u;
var<workgroup> tile: array<Wide, TILE_VEC4S>;
#endif

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
#if X == broadcast
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let blocks = (params.n + 3u) / 4u;
    let chunks = params.k / 8u;
    let first = (workgroup.x * WG_X + local.x) * (${TILE_N}u / 4u);
    // Beyond the last row a thread computes the last one again, since all must meet at barriers.
    let block0 = min(first, blocks - 1u);
#if WIDE
    let block1 = min(first + 1u, blocks - 1u);
#endif
    let m_group = workgroup.y * WG_Y * ${TILE_M}u;
    let m_first = m_group + local.y * ${TILE_M}u;
#for m in 0..$TILE_M
#if X != shared
    let row$m = x_row(min(m_first + ${m}u, params.m - 1u));
#endif
#for b in 0..2
#if b == 0 || WIDE
    var acc${m}_$b = vec4<f32>();
#endif
#endfor
#endfor
    for (var j = 0u; j < chunks; j += 4u) {
        let here = min(4u, chunks - j);
#if X == shared
        workgroupBarrier();
        for (var i = index; i < TILE_VEC4S; i += WG_X * WG_Y) {
            let m = min(m_group + i / 8u, params.m - 1u);
            let column = 2u * j + i % 8u;
            tile[i] = select(Wide(), Wide(x[x_row(m) + min(column, 2u * chunks - 1u)]), column < 2u * chunks);
        }
        workgroupBarrier();
#elif X == broadcast
#for m in 0..$TILE_M
        let column$m = 2u * j + subgroup_lane % 8u;
        let v$m = select(
            vec4<f32>(), vec4<f32>(x[row$m + min(column$m, 2u * chunks - 1u)]), column$m < 2u * chunks);
#endfor
#endif
#if SCALED
#for b in 0..2
#if b == 0 || WIDE
        let s$b = load_scale(scale_row(block$b), j);
#if MATH == f32
        let scale$b = low(s$b);
        let base$b = high(s$b);
#endif
#endif
#endfor
#endif
#if MATH == f16
#for m in 0..$TILE_M
#for r in 0..4
        var part${m}_$r = vec2<f16>();
#endfor
#endfor
#for r in 0..4
        let scale_base$r = pair(s0[$r]);
#endfor
        for (var c = 0u; c < here; c++) {
            let w = words(weight_row(block0), j + c);
#for i in 0..4
            let pairs$i = codes${i}(w);
#for r in 0..4
            let w${i}_$r = pair(pairs$i[$r]) * scale_base$r.x + scale_base$r.y;
#endfor
#for m in 0..$TILE_M
#if i == 0 || i == 2
#if X == shared
            let x${i}_$m = tile[(local.y * ${TILE_M}u + ${m}u) * 8u + 2u * c + ${i}u / 2u];
#else
            let x${i}_$m = x[row$m + 2u * (j + c) + ${i}u / 2u];
#endif
#endif
#for r in 0..4
#if i == 0
            part${m}_$r += w${i}_$r * x0_$m.xy;
#elif i == 1
            part${m}_$r += w${i}_$r * x0_$m.zw;
#elif i == 2
            part${m}_$r += w${i}_$r * x2_$m.xy;
#else
            part${m}_$r += w${i}_$r * x2_$m.zw;
#endif
#endfor
#endfor
#endfor
        }
#for m in 0..$TILE_M
        acc${m}_0 += vec4(
#for r in 0..4
            f32(part${m}_$r.x) + f32(part${m}_$r.y),
#endfor
        );
#endfor
#elif AT_ONCE == 4
        let codes = weight_row(block0);
        let x_first = local.y * ${TILE_M}u * 8u;
        for (var i = 0u; i < 2u * here; i++) {
            let w = half_words(codes, 2u * j + i);
#for p in 0..2
            let c$p = half_pair${p}(w);
            let even$p = scale0 * c$p.even + base0;
            let odd$p = scale0 * c$p.odd + base0;
#endfor
#for m in 0..$TILE_M
            let x$m = tile[x_first + 8u * ${m}u + i];
#for p in 0..2
            acc${m}_0 += x$m[2u * ${p}u] * even$p;
            acc${m}_0 += x$m[2u * ${p}u + 1u] * odd$p;
#endfor
#endfor
        }
#elif X != broadcast
        // Four chunks unless k ends here. A bound that is not constant also keeps Apple's compiler from unrolling M0E4.
        for (var c = 0u; c < here; c++) {
#for b in 0..2
#if b == 0 || WIDE
            let w$b = words(weight_row(block$b), j + c);
#endif
#endfor
#for h in 0..2
#for p in 0..2
#for b in 0..2
#if b == 0 || WIDE
            let c${h}${p}_$b = pair$h${p}(w$b);
#if SCALED
            let even${h}${p}_$b = scale$b * c${h}${p}_$b.even + base$b;
            let odd${h}${p}_$b = scale$b * c${h}${p}_$b.odd + base$b;
#else
            let even${h}${p}_$b = c${h}${p}_$b.even;
            let odd${h}${p}_$b = c${h}${p}_$b.odd;
#endif
#endif
#endfor
#endfor
#for m in 0..$TILE_M
#if X == shared
            let x${h}_$m = tile[(local.y * ${TILE_M}u + ${m}u) * 8u + 2u * c + ${h}u];
#else
            let x${h}_$m = Wide(x[row$m + 2u * (j + c) + ${h}u]);
#endif
#for p in 0..2
#for b in 0..2
#if b == 0 || WIDE
            acc${m}_$b += x${h}_$m[2u * ${p}u] * even${h}${p}_$b;
            acc${m}_$b += x${h}_$m[2u * ${p}u + 1u] * odd${h}${p}_$b;
#endif
#endfor
#endfor
#endfor
#endfor
        }
#else
#for m in 0..$TILE_M
#for b in 0..2
#if b == 0 || WIDE
        var part${m}_$b = vec4<f32>();
#endif
#endfor
#endfor
#for c in 0..4
        // x is zero beyond k, so a chunk there may be any.
        let at$c = j + min(${c}u, here - 1u);
#for b in 0..2
#if b == 0 || WIDE
        let w${c}_$b = words(weight_row(block$b), at$c);
#endif
#endfor
#for m in 0..$TILE_M
        let a${c}_$m = subgroupBroadcast(v$m, 2u * ${c}u);
        let b${c}_$m = subgroupBroadcast(v$m, 2u * ${c}u + 1u);
#for b in 0..2
#if b == 0 || WIDE
        part${m}_$b += dot_chunk(w${c}_$b, a${c}_$m, b${c}_$m);
#endif
#endfor
#endfor
#endfor
#for m in 0..$TILE_M
#if SCALED
        let own$m = add4(v$m);
        var sum$m = 0.0;
#for i in 0..8
        sum$m += subgroupBroadcast(own$m, ${i}u);
#endfor
#endif
#for b in 0..2
#if SCALED && (b == 0 || WIDE)
        acc${m}_$b += scale$b * part${m}_$b + base$b * sum$m;
#elif b == 0 || WIDE
        acc${m}_$b += part${m}_$b;
#endif
#endfor
#endfor
#endif
    }
#for m in 0..$TILE_M
    if m_first + ${m}u < params.m {
#for b in 0..2
#if b == 0 || WIDE
        if first + ${b}u < blocks { store(m_first + ${m}u, block$b, acc${m}_$b); }
#endif
#endfor
    }
#endfor
}
