// out = softmax(scale * q k^T + bias, masked) v; a workgroup takes ROWS rows of one key head (see lib/attention.wgsl), and 32
// keys at a time. Workgroups: x over ceil(seq * group / ROWS), y over key heads, z over the batch. D16 is head_dim / 16. STAGED
// brings keys to shared memory first, neighbours by neighbours; rows there are longer by one piece of 4, so that they begin in
// different banks. With SPLIT a workgroup takes one of `splits` parts of the keys, the split innermost in x, and writes what
// attention_decode does.
#variant ELEM = f32 | f16
#variant CACHE = f32 | f16 | f8
#variant D16 = 4 | 1 | 2 | 5 | 6 | 7 | 8 | 16
#variant HALF_ROWS = 8 | 4 | 2 | 1
#variant PADDING = false | true
#variant BIAS = false | true
#variant STAGED = false | true
#variant SPLIT = false | true
#exclude STAGED && SPLIT
#exclude STAGED && (CACHE == f32 || D16 == 16)
#let MIXED = D16 == 5 || D16 == 6 || D16 == 7
#if ELEM == f16 || CACHE == f16
enable f16;
#endif

#if CACHE == f8
alias Held = u32;
#else
alias Held = vec4<$CACHE>;
#endif

#import attention

fn wide(held: Held) -> vec4<f32> {
#if CACHE == f8
    return f8_read(held);
#else
    return vec4<f32>(held);
#endif
}

const HALF = ${HALF_ROWS}u;
const ROWS = 2u * HALF;
const HEAD_VEC4S = ${D16}u * 4u;
const WG_X = 64u;
const TILE = 32u;
var<workgroup> scores: array<f32, ROWS * TILE>;
var<workgroup> weights: array<vec4<f32>, ROWS * TILE / 4u>;
var<workgroup> largest: array<f32, ROWS>;
var<workgroup> weight_sum: array<f32, ROWS>;
var<workgroup> rescale: array<f32, ROWS>;
#if STAGED
const KEY = HEAD_VEC4S + 1u;
var<workgroup> keys: array<Held, TILE * KEY>;

// Brings keys first .. first + 32 to shared memory.
fn stage_keys(batch: u32, kv: u32, first: u32, local: u32) {
    let s = params.k_strides;
    let begin = params.k_offset + batch * s.x + kv * s.y;
    for (var i = local; i < TILE * HEAD_VEC4S; i += WG_X) {
        let j = i / HEAD_VEC4S;
        let d = i % HEAD_VEC4S;
        keys[j * KEY + d] = k[(begin + min(first + j, params.total - 1u) * s.z) / 4u + d];
    }
}
#endif

// Scores of keys first .. first + 32 for all rows.
fn score_tile(batch: u32, kv: u32, row: u32, first: u32, local: u32) {
    let j = local % TILE;
    let own = local / TILE * HALF;
    let key = first + j;
#if !STAGED
    let k_from = (params.k_offset + batch * params.k_strides.x + kv * params.k_strides.y
        + min(key, params.total - 1u) * params.k_strides.z) / 4u;
#endif
#for r in 0..$HALF_ROWS
    var dot$r = 0.0;
    let q$r = q_at(batch, kv, row + own + ${r}u);
#endfor
    for (var d = 0u; d < HEAD_VEC4S; d += one()) {
#if STAGED
        let kd = wide(keys[j * KEY + d]);
#else
        let kd = wide(k[k_from + d]);
#endif
#for r in 0..$HALF_ROWS
        dot$r += dot(vec4<f32>(q[q$r + d]), kd);
#endfor
    }
#for r in 0..$HALF_ROWS
    scores[(own + ${r}u) * TILE + j] = score(batch, kv, row + own + ${r}u, key, dot$r * params.scale);
#endfor
}

// Turns the scores of row `local` into weights and keeps its maximum and sum up to date.
fn weigh_tile(local: u32) {
    if local >= ROWS { return; }
    let old = largest[local];
    var top = old;
    for (var j = 0u; j < TILE; j += one()) { top = max(top, scores[local * TILE + j]); }
    var sum = 0.0;
    for (var j = 0u; j < TILE / 4u; j += one()) {
        let start = local * TILE + 4u * j;
        let s = vec4(scores[start], scores[start + 1u], scores[start + 2u], scores[start + 3u]);
        let w = select(exp(s - vec4(top)), vec4<f32>(), s <= vec4(HIDDEN));
        weights[local * (TILE / 4u) + j] = w;
        sum += w.x + w.y + w.z + w.w;
    }
    let factor = exp(old - top);
    largest[local] = top;
    weight_sum[local] = weight_sum[local] * factor + sum;
    rescale[local] = factor;
}

fn v_at(batch: u32, kv: u32, key: u32, d: u32) -> u32 {
    let s = params.v_strides;
    return (params.v_offset + batch * s.x + kv * s.y + min(key, params.total - 1u) * s.z) / 4u + d;
}

// What thread `local` adds up of the output, for one item.
struct Item {
    row: u32,
    d: u32,
}

fn item(local: u32, r: u32) -> Item {
    let i = local + WG_X * r;
    return Item(i / HEAD_VEC4S, i % HEAD_VEC4S);
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
#if SPLIT
    @builtin(num_workgroups) count: vec3<u32>,
#endif
) {
#if SPLIT
    let split = workgroup.x % params.splits;
    let row = workgroup.x / params.splits * ROWS;
#else
    let row = workgroup.x * ROWS;
#endif
    let kv = workgroup.y;
    let batch = workgroup.z;
    let rows = params.seq * params.group;
    let after_first = row / params.group + params.past + 1u;
    let to = min(row + ROWS, rows) - 1u;
    let behind = min(params.total, to / params.group + params.past + 1u);
    let oldest = select(0u, (max(after_first, params.window) - params.window) / TILE * TILE, params.window > 0u);
#if SPLIT
    let seen = behind - min(behind, oldest);
    let part = ((seen + params.splits - 1u) / params.splits + TILE - 1u) / TILE * TILE;
    let begin = oldest + split * part;
    let end = min(behind, begin + part);
#else
    let begin = oldest;
    let end = behind;
#endif
    hidden_one = min(workgroup.x + 1u, 1u);
    if local < ROWS {
        largest[local] = HIDDEN;
        weight_sum[local] = 0.0;
    }
#for r in 0..$D16
    var acc$r = vec4<f32>();
    let item$r = item(local, ${r}u);
    const used$r = ${r}u * WG_X < ROWS * HEAD_VEC4S;
#endfor
    for (var first = begin; first < end; first += TILE) {
#if STAGED
        stage_keys(batch, kv, first, local);
        workgroupBarrier();
#endif
        score_tile(batch, kv, row, first, local);
        workgroupBarrier();
        weigh_tile(local);
        workgroupBarrier();
#for r in 0..$D16
        if used$r && item$r.row < ROWS { acc$r *= rescale[item$r.row]; }
#endfor
        for (var j = 0u; j < TILE / 4u && first + 4u * j < end; j += one()) {
#for i in 0..4
            let v${i}_0 = wide(v[v_at(batch, kv, first + 4u * j + ${i}u, item0.d)]);
#endfor
#for r in 0..$D16
#if r != 0 && MIXED
            if used$r && item$r.row < ROWS {
#for i in 0..4
                let v${i}_$r = wide(v[v_at(batch, kv, first + 4u * j + ${i}u, item$r.d)]);
#endfor
                let w = weights[item$r.row * (TILE / 4u) + j];
                acc$r += w.x * v0_$r + w.y * v1_$r + w.z * v2_$r + w.w * v3_$r;
            }
#else
            // Every item of this thread has the same d.
            if used$r && item$r.row < ROWS {
                let w = weights[item$r.row * (TILE / 4u) + j];
                acc$r += w.x * v0_0 + w.y * v1_0 + w.z * v2_0 + w.w * v3_0;
            }
#endif
#endfor
        }
        workgroupBarrier();
    }
#if SPLIT
    let base = (batch * count.y + kv) * rows + row;
#endif
#for r in 0..$D16
    if used$r && item$r.row < ROWS && row + item$r.row < rows {
        let sum = weight_sum[item$r.row];
#if SPLIT
        if !alone() {
            let at = params.partial_offset / 4u + ((base + item$r.row) * params.splits + split) * (HEAD_VEC4S + 1u);
            partial[at + item$r.d] = acc$r * UNIT;
            if item$r.d == 0u { partial[at + HEAD_VEC4S] = vec4(largest[item$r.row], sum, 0.0, 0.0); }
        } else {
#else
        {
#endif
            write_out(batch, kv, row + item$r.row, item$r.d, acc$r * UNIT, sum);
        }
    }
#endfor
}
