// sum_k x[m, k] * W[n, k] for m < ROWS; layouts, and what is done with the sums, in lib/linear.wgsl. With NORM x is
// normalised first: x[m, k] * gain[k] / sqrt(mean_k x[m, k]^2 + eps), the root put on the sums, or, STAGED, into workgroup
// memory. A thread has BLOCKS blocks of 4 rows of W, and loads AHEAD chunks of 8 columns of each before it multiplies any.
// By REDUCE:
//   shared     LANES threads go along k and add up through shared memory; WG_X / LANES times the blocks a workgroup
//   shuffle    likewise, through subgroupShuffleXor: a subgroup has LANES threads or a multiple
//   subgroup   all WG_X threads go along k and add up by subgroupAdd
//   none       each thread goes along k alone; WG_X times the blocks a workgroup
//   broadcast  likewise, and each thread reads a part of x for its subgroup of 8 threads or more (software Vulkan)
// With MATH = f16 the products of a chunk, and sums of 4 of them, are f16. In 8 bits: linear_gemv_i8.
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant TEXTURE = false | true
#variant ELEM = f32 | f16
#variant ROWS = 1 | 2 | 4
#variant REDUCE = shared | subgroup | shuffle | none | broadcast
#variant BLOCKS = 1 | 2 | 4
#variant AHEAD = 1 | 2 | 4
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant NORM = false | true
#variant STAGED = false | true
#variant MATH = f32 | f16
#variant EPILOGUE = rows | gate | heads | rope
#variant HELD = same | f16 | f8
#exclude HELD == f16 && ELEM == f16 || HELD != same && (EPILOGUE == rows || EPILOGUE == gate)
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#exclude TEXTURE && !SCALED
#let SPLIT = REDUCE == shared || REDUCE == subgroup || REDUCE == shuffle
#let SUBGROUPS = REDUCE == subgroup || REDUCE == shuffle
#let LOOKS_AHEAD = AHEAD != 1
#let LOADS_FIRST = LOOKS_AHEAD || BLOCKS != 1
#let HALVES = WEIGHT == affine8 && STAGED && !LOADS_FIRST
#exclude RESIDUAL && (NORM || EPILOGUE != rows)
#exclude NORM && ROWS != 1
#exclude STAGED && !(NORM && SPLIT && SCALED)
#exclude REDUCE == shuffle && !SCALED
#exclude (BLOCKS != 1 || LOOKS_AHEAD) && !(ROWS == 1 && SPLIT && SCALED)
#exclude BLOCKS == 1 && AHEAD == 2 || BLOCKS == 2 && AHEAD == 4 || BLOCKS == 4 && (LOOKS_AHEAD || REDUCE != shuffle)
#exclude REDUCE == subgroup && (BLOCKS == 2 || AHEAD == 4) && (STAGED || BLOCKS == 2 && LOOKS_AHEAD)
#exclude MATH == f16 && !(ELEM == f16 && WEIGHT == m0e4 && ROWS == 1 && SPLIT)
#exclude MATH == f16 && NORM && !STAGED
#exclude MATH == f16 && REDUCE == subgroup && (BLOCKS != 1 || LOOKS_AHEAD)
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#import grid
#if EPILOGUE == gate
#import float
#endif
#import linear
#if MATH == f16
#import packed_half
#endif
#if HALVES
#import opaque_one
#endif

override WG_X: u32 = 64;
#if SPLIT
#import across
#endif
#if STAGED
#import combine
// k / 4.
override STAGE: u32 = 256;
var<workgroup> stage: array<vec4<Elem>, STAGE>;
#endif

#if MATH == f16
alias Wide = vec4<f16>;

fn product_at(row: u32, j: u32, a: vec4<f16>, b: vec4<f16>) -> vec4<f32> {
    return product(words(row, j), a, b);
}
#else
alias Wide = vec4<f32>;

fn product(w: Words, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return dot_chunk(w, a, b);
}

fn product_at(row: u32, j: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return dot_at(row, j, a, b);
}

fn total(a: vec4<f32>) -> f32 {
    return add4(a);
}
#endif

#if NORM
fn root(square: f32) -> f32 {
    return inverseSqrt(square / f32(params.k) + params.eps);
}
#endif


@compute @workgroup_size(WG_X)
fn main(
#if STAGED
    thread: Lane,
#else
    @builtin(local_invocation_index) local: u32,
#if SUBGROUPS || REDUCE == broadcast
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
#endif
#if SUBGROUPS
    @builtin(subgroup_id) subgroup: u32,
#endif
#if REDUCE == subgroup
    @builtin(num_subgroups) subgroups: u32,
#endif
#endif
#if REDUCE == shuffle
    @builtin(subgroup_size) subgroup_size: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
#if STAGED
    let local = thread.local;
#if SUBGROUPS
    let subgroup_lane = thread.lane;
    let subgroup = thread.subgroup;
#endif
#if REDUCE == subgroup
    let subgroups = thread.subgroups;
#endif
#endif
    let group = workgroup_index(workgroup, count);
    let blocks = (params.n + 3u) / 4u;
    let chunks = params.k / 8u;
#if HALVES
    let one = opaque_one(workgroup);
#endif
#if REDUCE == shared
    let mine = group * (WG_X / LANES) + local / LANES;
    let lane = local % LANES;
    let step = LANES;
#elif REDUCE == shuffle
    let at = subgroup * subgroup_size + subgroup_lane;
    let mine = group * (WG_X / LANES) + at / LANES;
    let lane = at % LANES;
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
    // A thread without rows computes the last block again, since all must meet at barriers and subgroup operations.
#for b in 0..$BLOCKS
    let block$b = min(mine * ${BLOCKS}u + ${b}u, blocks - 1u);
#endfor
#for m in 0..$ROWS
    let row$m = x_row(min(${m}u, params.m - 1u));
#for b in 0..$BLOCKS
    var acc${m}_$b = vec4<f32>();
#endfor
#endfor
#if STAGED
    var square = 0.0;
    for (var i = local; i < params.k / 4u; i += WG_X) {
        let u = vec4<f32>(x[row0 + i]);
        square += dot(u, u);
    }
    let factor = root(workgroup_sum(square, thread));
    for (var i = local; i < params.k / 4u; i += WG_X) {
        stage[i] = vec4<Elem>(vec4<f32>(x[row0 + i]) * factor * gain[params.gain_offset / 4u + i]);
    }
    workgroupBarrier();
#elif NORM
    var square = 0.0;
#endif
#for b in 0..$BLOCKS
    let weights$b = weight_row(block$b);
#if SCALED
    let scales$b = scale_row(block$b);
#endif
#endfor
#if SPLIT
    var j = lane;
#for turn in 0..2
#if turn == 0 || LOOKS_AHEAD
#if turn == 0
    for (; j + (${AHEAD}u - 1u) * step < chunks; j += ${AHEAD}u * step) {
#else
    for (; j < chunks; j += step) {
#endif
#if HALVES
        // Unrolled, this takes 37 registers on a Mali, and more than 32 halve its threads.
        var part = vec4<f32>();
        var sum = 0.0;
        for (var i = 2u * j; i < 2u * j + 2u * one; i++) {
            let a = vec4<f32>(stage[i]);
            part = dot_half(code_words(weights0, i), a, part);
            sum += total(a);
        }
        let s = load_scale(scales0, j);
        acc0_0 += high(s) * sum + low(s) * part;
#else
#for c in 0..$AHEAD
#if LOADS_FIRST && (turn == 0 || c == 0)
#for b in 0..$BLOCKS
        let w${c}_$b = words(weights$b, j + ${c}u * step);
        let s${c}_$b = load_scale(scales$b, j + ${c}u * step);
#endfor
#endif
#endfor
#for c in 0..$AHEAD
#if turn == 0 || c == 0
#for m in 0..$ROWS
        let at${c}_$m = 2u * (j + ${c}u * step);
#if STAGED
        let a${c}_$m = Wide(stage[at${c}_$m]);
        let b${c}_$m = Wide(stage[at${c}_$m + 1u]);
#elif NORM
        let u${c}_$m = vec4<f32>(x[row$m + at${c}_$m]);
        let v${c}_$m = vec4<f32>(x[row$m + at${c}_$m + 1u]);
        square += dot(u${c}_$m, u${c}_$m) + dot(v${c}_$m, v${c}_$m);
        let a${c}_$m = u${c}_$m * gain[params.gain_offset / 4u + at${c}_$m];
        let b${c}_$m = v${c}_$m * gain[params.gain_offset / 4u + at${c}_$m + 1u];
#else
        let a${c}_$m = Wide(x[row$m + at${c}_$m]);
        let b${c}_$m = Wide(x[row$m + at${c}_$m + 1u]);
#endif
#for b in 0..$BLOCKS
        // Adding the dot product last keeps M0E4 at 32 registers on a Mali-G720, not 36: more than 32 halve its threads.
#if LOADS_FIRST
        acc${m}_$b += high(s${c}_$b) * total(a${c}_$m + b${c}_$m) + low(s${c}_$b) * product(w${c}_$b, a${c}_$m, b${c}_$m);
#elif SCALED
        // Behind x: else Adreno's compiler decodes all weights while it waits for x, in 16 registers or more, and 16 waves run
        // with no more than 8 on a 660, 12 on a 740, 750 or 830.
        let s${m}_$b = load_scale(scales$b, j);
        acc${m}_$b += high(s${m}_$b) * total(a${c}_$m + b${c}_$m)
            + low(s${m}_$b) * product_at(weights$b, j, a${c}_$m, b${c}_$m);
#else
        acc${m}_$b += product_at(weights$b, j, a${c}_$m, b${c}_$m);
#endif
#endfor
#endfor
#endif
#endfor
#endif
    }
#endif
#endfor
#else
    var j = 0u;
    for (; j + 4u <= chunks; j += 4u) {
#for m in 0..$ROWS
#if REDUCE == broadcast
        let u$m = vec4<f32>(x[row$m + 2u * j + subgroup_lane % 8u]);
#if NORM
        square += dot(u$m, u$m);
        let v$m = u$m * gain[params.gain_offset / 4u + 2u * j + subgroup_lane % 8u];
#else
        let v$m = u$m;
#endif
#endif
        var part$m = vec4<f32>();
        var total$m = vec4<f32>();
#endfor
#for c in 0..4
        let w$c = words(weights0, j + ${c}u);
#for m in 0..$ROWS
#if REDUCE == broadcast
        let a${m}_$c = subgroupBroadcast(v$m, 2u * ${c}u);
        let b${m}_$c = subgroupBroadcast(v$m, 2u * ${c}u + 1u);
#elif NORM
        let u${m}_$c = vec4<f32>(x[row$m + 2u * (j + ${c}u)]);
        let v${m}_$c = vec4<f32>(x[row$m + 2u * (j + ${c}u) + 1u]);
        square += dot(u${m}_$c, u${m}_$c) + dot(v${m}_$c, v${m}_$c);
        let a${m}_$c = u${m}_$c * gain[params.gain_offset / 4u + 2u * (j + ${c}u)];
        let b${m}_$c = v${m}_$c * gain[params.gain_offset / 4u + 2u * (j + ${c}u) + 1u];
#else
        let a${m}_$c = vec4<f32>(x[row$m + 2u * (j + ${c}u)]);
        let b${m}_$c = vec4<f32>(x[row$m + 2u * (j + ${c}u) + 1u]);
#endif
        part$m += dot_chunk(w$c, a${m}_$c, b${m}_$c);
        total$m += a${m}_$c + b${m}_$c;
#endfor
#endfor
#if SCALED
        let s = load_scale(scales0, j);
        let scale = low(s);
        let base = high(s);
#for m in 0..$ROWS
        acc${m}_0 += scale * part$m + base * add4(total$m);
#endfor
#else
#for m in 0..$ROWS
        acc${m}_0 += part$m;
#endfor
#endif
    }
#if NORM && REDUCE == broadcast
    // Each of 8 threads has squared an eighth; what is left they all do.
    let own = square;
    square = 0.0;
#for i in 0..8
    square += subgroupBroadcast(own, ${i}u);
#endfor
#endif
    for (; j < chunks; j++) {
#if SCALED
        let s = load_scale(scales0, j);
#endif
        let w = words(weights0, j);
#for m in 0..$ROWS
#if NORM
        let u$m = vec4<f32>(x[row$m + 2u * j]);
        let v$m = vec4<f32>(x[row$m + 2u * j + 1u]);
        square += dot(u$m, u$m) + dot(v$m, v$m);
        let a$m = u$m * gain[params.gain_offset / 4u + 2u * j];
        let b$m = v$m * gain[params.gain_offset / 4u + 2u * j + 1u];
#else
        let a$m = vec4<f32>(x[row$m + 2u * j]);
        let b$m = vec4<f32>(x[row$m + 2u * j + 1u]);
#endif
#if SCALED
        acc${m}_0 += high(s) * add4(a$m + b$m) + low(s) * dot_chunk(w, a$m, b$m);
#else
        acc${m}_0 += dot_chunk(w, a$m, b$m);
#endif
#endfor
    }
#endif
#if NORM && !STAGED
#if REDUCE == shared
    let factor = root(across(vec4(square), local, lane).x);
#elif REDUCE == subgroup
    let factor = root(across(vec4(square), subgroup_lane, subgroup, subgroups).x);
#elif REDUCE == shuffle
    let factor = root(across(vec4(square)).x);
#else
    let factor = root(square);
#endif
#endif
#for m in 0..$ROWS
#for b in 0..$BLOCKS
#if REDUCE == shared
    var sum${m}_$b = across(acc${m}_$b, local, lane);
#elif REDUCE == subgroup
    var sum${m}_$b = across(acc${m}_$b, subgroup_lane, subgroup, subgroups);
#elif REDUCE == shuffle
    var sum${m}_$b = across(acc${m}_$b);
#else
    var sum${m}_$b = acc${m}_$b;
#endif
#if NORM && !STAGED
    sum${m}_$b *= factor;
#endif
    if lane == 0u && mine * ${BLOCKS}u + ${b}u < blocks && ${m}u < params.m { store(${m}u, block$b, sum${m}_$b); }
#endfor
#endfor
}
