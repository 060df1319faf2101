// Attention of ROWS = 2 * HALF_ROWS rows of one key head over a range of keys, 32 keys at a time, with an online softmax.
//
// A row is a query of one of the `group` heads that share a key head: row r is position r / group, head r % group. All
// views are [batch, heads, position, dim] with strides in elements, multiples of 4, and the last one 1. Key j is visible
// at position i when j <= i + past (give past = total for no causal mask), j + window > i + past (window 0: no bound),
// and mask[batch, j] != 0. A row that sees nothing gives zeros. biases[batch, head, i, j] is added to the score.
//
// Loops count by one(), so that drivers do not unroll them and run out of registers.
//
// Scores: thread t takes key t % 32 and half of the rows. Output: thread t takes elements 4d .. 4d+4 of a row for every
// item t + 64 * r, with item = row * HEAD_VEC4S + d.

alias Elem = $ELEM;

const HALF = ${HALF_ROWS}u;
const ROWS = 2u * HALF;
const HEAD_VEC4S = ${D16}u * 4u;
const WG_X = 64u;
const TILE = 32u;
// Finite, since compilers may assume that infinity does not occur.
const HIDDEN = -1.0e30;

var<workgroup> score: array<f32, ROWS * TILE>;
var<workgroup> weights: array<vec4<f32>, ROWS * TILE / 4u>;
var<workgroup> largest: array<f32, ROWS>;
var<workgroup> weight_sum: array<f32, ROWS>;
var<workgroup> rescale: array<f32, ROWS>;

// Set from the workgroup's number: software Vulkan compiles a shader anew at every dispatch whose branches and loop bounds
// hang on uniforms alone.
var<private> hidden_one: u32;

// 1, but compilers do not know.
fn one() -> u32 {
    return hidden_one;
}

fn q_at(batch: u32, kv: u32, row: u32) -> u32 {
    let r = min(row, params.seq * params.group - 1u);
    let head = kv * params.group + r % params.group;
    let s = params.q_strides;
    return (params.q_offset + batch * s.x + head * s.y + r / params.group * s.z) / 4u;
}

#if BIAS
fn bias_at(batch: u32, kv: u32, row: u32, key: u32) -> f32 {
    let r = min(row, params.seq * params.group - 1u);
    let head = kv * params.group + r % params.group;
    let s = params.biases_strides;
    return f32(biases[params.biases_offset + batch * s.x + head * s.y + r / params.group * s.z
        + min(key, params.total - 1u) * s.w]);
}
#endif

fn visible(batch: u32, row: u32, key: u32) -> bool {
    let last = row / params.group + params.past;
#if PADDING
    if mask[params.mask_offset + batch * params.mask_stride + min(key, params.total - 1u)] == 0 { return false; }
#endif
    return key < params.total && key <= last && (params.window == 0u || key + params.window > last);
}

// Scores of keys first .. first + 32 for all rows.
fn score_tile(batch: u32, kv: u32, row: u32, first: u32, local: u32, lane: u32) {
    let j = local % TILE;
    let own = local / TILE * HALF;
    let key = first + j;
    let k_from = (params.k_offset + batch * params.k_strides.x + kv * params.k_strides.y
        + min(key, params.total - 1u) * params.k_strides.z) / 4u;
#if BROADCAST
    let q_mine = q_at(batch, kv, row + own + lane % HALF);
#endif
#for r in 0..$HALF_ROWS
    var dot$r = 0.0;
#if !BROADCAST
    let q$r = q_at(batch, kv, row + own + ${r}u);
#endif
#endfor
    for (var d = 0u; d < HEAD_VEC4S; d += one()) {
        let kd = vec4<f32>(k[k_from + d]);
#if BROADCAST
        let qd = vec4<f32>(q[q_mine + d]);
#endif
#for r in 0..$HALF_ROWS
#if BROADCAST
        dot$r += dot(subgroupBroadcast(qd, ${r}u), kd);
#else
        dot$r += dot(vec4<f32>(q[q$r + d]), kd);
#endif
#endfor
    }
    // The branch asks for the score too, lest it hang on a uniform alone; and drivers compute tanh by exp, which overflows.
#for r in 0..$HALF_ROWS
    var s$r = dot$r * params.scale;
    if params.softcap * abs(s$r) > 0.0 { s$r = params.softcap * tanh(clamp(s$r / params.softcap, -15.0, 15.0)); }
#if BIAS
    s$r += bias_at(batch, kv, row + own + ${r}u, key);
#endif
    score[(own + ${r}u) * TILE + j] = select(HIDDEN, s$r, visible(batch, row + own + ${r}u, key));
#endfor
}

// Turns the scores of row `local` into weights and keeps its maximum and sum up to date.
fn weigh_tile(local: u32) {
    if local >= ROWS { return; }
    let old = largest[local];
    var top = old;
    for (var j = 0u; j < TILE; j += one()) { top = max(top, score[local * TILE + j]); }
    var sum = 0.0;
    for (var j = 0u; j < TILE / 4u; j += one()) {
        let start = local * TILE + 4u * j;
        let s = vec4(score[start], score[start + 1u], score[start + 2u], score[start + 3u]);
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
