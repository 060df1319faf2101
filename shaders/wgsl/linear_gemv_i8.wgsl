// sum_k x[k] * W[n, k] by products in 8 bits (lib/bytes.wgsl); layouts, and what is done with the sums, in lib/linear.wgsl.
// With NORM x is normalised first: x[k] * gain[k] / sqrt(mean_k x[k]^2 + eps). A workgroup brings x to workgroup memory in 8
// bits, all of it or, in PARTS, STAGE spans at a time; a thread has BLOCKS blocks of 4 rows of W. By REDUCE:
//   shared     LANES threads go along k and add up through shared memory; WG_X / LANES times the blocks a workgroup
//   shuffle    likewise, through subgroupShuffleXor: a subgroup has LANES threads or a multiple
//   none       each thread goes along k alone; WG_X times the blocks a workgroup
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#variant ELEM = f32 | f16
#variant REDUCE = shared | shuffle | none | subgroup
#variant BLOCKS = 1 | 2
#variant PARTS = false | true
#variant DOT = signed | unsigned
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant NORM = false | true
#variant EPILOGUE = rows | gate | heads | rope
#variant HELD = same | f16 | f8
#exclude WEIGHT == f16 || WEIGHT == f32 || REDUCE == subgroup
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#exclude RESIDUAL && (NORM || EPILOGUE != rows)
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#variant MATH = i8
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#let SPLIT = REDUCE == shared || REDUCE == shuffle
#let SUBGROUPS = REDUCE == shuffle
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#import grid
#if EPILOGUE == gate
#import float
#endif
#import linear
#import bytes
#import opaque_one

override WG_X: u32 = 64;
#if SPLIT
#import across
#endif
#import combine
// Spans of k: what lies of x in 8 bits, and what products of a span are times.
override STAGE: u32 = 64;
#if DOT == signed
override STAGE_VEC4S: u32 = 2u * STAGE;
var<workgroup> stage: array<vec4<u32>, STAGE_VEC4S>;
#else
override STAGE_CHUNKS: u32 = 4u * STAGE;
var<workgroup> stage: array<vec2<u32>, STAGE_CHUNKS>;
#endif
var<workgroup> steps: array<vec2<f32>, STAGE>;

@compute @workgroup_size(WG_X)
fn main(
    thread: Lane,
#if REDUCE == shuffle
    @builtin(subgroup_size) subgroup_size: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let local = thread.local;
    let group = workgroup_index(workgroup, count);
    let blocks = (params.n + 3u) / 4u;
    let one = opaque_one(workgroup);
#if REDUCE == shared
    let mine = group * (WG_X / LANES) + local / LANES;
    let lane = local % LANES;
    let step = LANES;
#elif REDUCE == shuffle
    let at = thread.subgroup * subgroup_size + thread.lane;
    let mine = group * (WG_X / LANES) + at / LANES;
    let lane = at % LANES;
    let step = LANES;
#else
    let mine = group * WG_X + local;
    let lane = 0u;
    let step = 1u;
#endif
    // A thread without rows computes the last block again, since all must meet at barriers and subgroup operations.
#for b in 0..$BLOCKS
    let block$b = min(mine * ${BLOCKS}u + ${b}u, blocks - 1u);
    var acc$b = vec4<f32>();
#endfor
    let row = x_row(0u);
    var factor = 1.0;
#if NORM
    var square = 0.0;
    for (var i = local; i < params.k / 4u; i += WG_X) {
        let u = vec4<f32>(x[row + i]);
        square += dot(u, u);
    }
    factor = inverseSqrt(workgroup_sum(square, thread) / f32(params.k) + params.eps);
#endif
    let spans = (params.k + SPAN - 1u) / SPAN;
#if PARTS
#for b in 0..$BLOCKS
    let weights$b = weight_row(block$b);
    let scales$b = scale_row(block$b);
#endfor
    for (var first = 0u; first < spans; first += STAGE) {
        let end = min(first + STAGE, spans);
        workgroupBarrier();
#else
    let first = 0u;
    let end = spans;
    {
#endif
        for (var i = first + local; i < end; i += WG_X) {
            let at = i - first;
            let top = top_of(row, 8u * i, one);
            var sum = 0;
            for (var c = 0u; c < 4u * one; c++) {
                let chunk = rounded(row, 8u * i + 2u * c, top);
#if DOT == signed
                stage[2u * at + c / 2u][c % 2u * 2u] = chunk.x;
                stage[2u * at + c / 2u][c % 2u * 2u + 1u] = chunk.y;
#else
                stage[4u * at + c] = chunk;
#endif
                sum = add8(chunk, sum);
            }
            steps[at] = times(top, sum) * factor;
        }
        workgroupBarrier();
#if !PARTS
        // Found behind x: else bytes take 37 registers on a Mali-G610, and more than 32 halve its threads.
#for b in 0..$BLOCKS
        let weights$b = weight_row(block$b);
        let scales$b = scale_row(block$b);
#endfor
#endif
        // x is zero beyond k, so a chunk there may be any.
        for (var i = first + lane; i < end; i += step) {
#if DOT == signed
            let at = i - first;
#for b in 0..$BLOCKS
#for c in 0..4
            let w${c}_$b = words(weights$b, 4u * i + ${c}u);
#endfor
            let s$b = load_scale(scales$b, 4u * i);
#endfor
            let front = stage[2u * at];
            let back = stage[2u * at + 1u];
            let times = steps[at];
#for b in 0..$BLOCKS
            var products$b = dots(codes_of(w0_$b), front.xy, vec4<i32>());
            products$b = dots(codes_of(w1_$b), front.zw, products$b);
            products$b = dots(codes_of(w2_$b), back.xy, products$b);
            products$b = dots(codes_of(w3_$b), back.zw, products$b);
            acc$b += scaled(s$b, products$b, times);
#endfor
#else
#for b in 0..$BLOCKS
            var products$b = vec4<u32>();
            var sums$b = vec4<u32>();
#endfor
            // Unrolled, this takes more registers than leave an Adreno 660 all its waves.
            for (var c = 0u; c < 4u * one; c++) {
                let x = stage[4u * (i - first) + c];
#for b in 0..$BLOCKS
                let codes$b = codes_of(words(weights$b, 4u * i + c));
                products$b = dots(codes$b, x, products$b);
                sums$b = add_codes(codes$b, sums$b);
#endfor
            }
#for b in 0..$BLOCKS
            acc$b += scaled(load_scale(scales$b, 4u * i), signed(products$b, sums$b), steps[i - first]);
#endfor
#endif
        }
    }
#for b in 0..$BLOCKS
#if REDUCE == shared
    let sum$b = across(acc$b, local, lane);
#elif REDUCE == shuffle
    let sum$b = across(acc$b);
#else
    let sum$b = acc$b;
#endif
    if lane == 0u && mine * ${BLOCKS}u + ${b}u < blocks { store(0u, block$b, sum$b); }
#endfor
}
