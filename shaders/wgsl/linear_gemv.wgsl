// sum_k x[m, k] * W[n, k] for m < ROWS; layouts, and what is done with the sums, in lib/linear.wgsl. With NORM x is
// normalised first: x[m, k] * gain[k] / sqrt(mean_k x[m, k]^2 + eps), the root put on the sums. By REDUCE:
//   shared     LANES threads go along k for 4 rows of W and add up through shared memory; WG_X / LANES blocks of 4 rows
//              a workgroup
//   subgroup   all WG_X threads go along k, for one block of 4 rows a workgroup, and add up by subgroupAdd
//   none       each thread has a block of 4 rows to itself; WG_X blocks a workgroup
//   broadcast  likewise, and each thread reads a part of x for its subgroup of 8 threads or more (software Vulkan)
#variant WEIGHT = m0e4 | affine8 | f16 | f32
#variant ELEM = f32 | f16
#variant ROWS = 1 | 2 | 4
#variant REDUCE = shared | subgroup | none | broadcast
#variant BIAS = false | true
#variant RESIDUAL = false | true
#variant NORM = false | true
#variant EPILOGUE = rows | gate | heads | rope
#variant HELD = same | f16
#exclude HELD == f16 && (ELEM == f16 || EPILOGUE == rows || EPILOGUE == gate)
#exclude RESIDUAL && (NORM || EPILOGUE != rows)
#exclude NORM && ROWS != 1
#let HEADS = EPILOGUE == heads || EPILOGUE == rope
#let SCALED = WEIGHT == m0e4 || WEIGHT == affine8
#let SPLIT = REDUCE == shared || REDUCE == subgroup
#if ELEM == f16 || HELD == f16
enable f16;
#endif
#import grid
#if EPILOGUE == gate
#import float
#endif
#import linear

override WG_X: u32 = 64;
#if REDUCE == shared
override LANES: u32 = 16;
#endif

#if REDUCE == shared
var<workgroup> partial: array<vec4<f32>, WG_X>;
#elif REDUCE == subgroup
// Subgroups have 4 threads or more.
const SUBGROUPS_AT_MOST = 64u;
var<workgroup> partial: array<vec4<f32>, SUBGROUPS_AT_MOST>;
#endif
#if NORM && REDUCE == shared
var<workgroup> partial_square: array<f32, WG_X>;
#elif NORM && REDUCE == subgroup
var<workgroup> partial_square: array<f32, SUBGROUPS_AT_MOST>;
#endif

#if NORM
fn root(square: f32) -> f32 {
    return inverseSqrt(square / f32(params.k) + params.eps);
}
#endif

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
#if REDUCE == subgroup || REDUCE == broadcast
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
#endif
#if REDUCE == subgroup
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(workgroup, count);
    let blocks = (params.n + 3u) / 4u;
    let chunks = params.k / 8u;
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
#endif
    // A thread without rows computes the last block again, since all must meet at barriers and subgroup operations.
    let block = min(mine, blocks - 1u);
#for m in 0..$ROWS
    let row$m = x_row(min(${m}u, params.m - 1u));
    var acc$m = vec4<f32>();
#endfor
#if NORM
    var square = 0.0;
#endif
#if SPLIT
    // Adding the dot product last keeps M0E4 at 32 registers on a Mali-G720, not 36: more than 32 halve its threads.
    for (var j = lane; j < chunks; j += step) {
#if SCALED
        let s = load_scale(block, j);
#endif
        let w = words(block, j);
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
        acc$m += high(s) * add4(a$m + b$m) + low(s) * dot_chunk(w, a$m, b$m);
#else
        acc$m += dot_chunk(w, a$m, b$m);
#endif
#endfor
    }
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
        let w$c = words(block, j + ${c}u);
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
        let s = load_scale(block, j);
        let scale = low(s);
        let base = high(s);
#for m in 0..$ROWS
        acc$m += scale * part$m + base * add4(total$m);
#endfor
#else
#for m in 0..$ROWS
        acc$m += part$m;
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
        let s = load_scale(block, j);
#endif
        let w = words(block, j);
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
        acc$m += high(s) * add4(a$m + b$m) + low(s) * dot_chunk(w, a$m, b$m);
#else
        acc$m += dot_chunk(w, a$m, b$m);
#endif
#endfor
    }
#endif
#for m in 0..$ROWS
#if REDUCE == shared
    workgroupBarrier();
    partial[local] = acc$m;
#if NORM
    partial_square[local] = square;
#endif
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[local] += partial[local + half];
#if NORM
            partial_square[local] += partial_square[local + half];
#endif
        }
    }
#if NORM
    let whole$m = partial[local] * root(partial_square[local]);
#else
    let whole$m = partial[local];
#endif
    if lane == 0u && mine < blocks && ${m}u < params.m { store(${m}u, block, whole$m); }
#elif REDUCE == subgroup
    let sum$m = subgroupAdd(acc$m);
    workgroupBarrier();
#if NORM
    let squares = subgroupAdd(square);
    if subgroup_lane == 0u { partial_square[subgroup] = squares; }
#endif
    if subgroup_lane == 0u { partial[subgroup] = sum$m; }
    workgroupBarrier();
    if local == 0u && mine < blocks && ${m}u < params.m {
        var whole = partial[0];
        for (var i = 1u; i < subgroups; i++) { whole += partial[i]; }
#if NORM
        var all = partial_square[0];
        for (var i = 1u; i < subgroups; i++) { all += partial_square[i]; }
        whole *= root(all);
#endif
        store(${m}u, block, whole);
    }
#else
#if NORM
    acc$m *= root(square);
#endif
    if mine < blocks && ${m}u < params.m { store(${m}u, block, acc$m); }
#endif
#endfor
}
