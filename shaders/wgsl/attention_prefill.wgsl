// out[b, h, i, :] = softmax over visible keys j of (scale * q[b, h, i] . k[b, g, j]) times v[b, g, j, :], g = h / share.
// One workgroup: TILE queries of one head. It walks over the visible keys, KEYS at a time, with a running maximum and
// sum (flash attention). Thread t owns query t / 4 and, of every 16 elements of the head, the four from 4 * (t % 4) on.
// A query that sees no key gets zeros. Strides: batch, heads, positions; the last dimension is contiguous.
#variant ELEM = f32 | f16
#variant D = 16 | 32 | 64 | 80 | 96 | 112 | 128 | 256
#variant CAUSAL = false | true
#variant WINDOW = false | true
#variant PADDING = false | true
#exclude WINDOW && !CAUSAL
#if ELEM == f16
enable f16;
#endif
#import float
#import mask

alias Elem = $ELEM;

const WG_X = 64u;
const TILE = 16u;
const QUADS = ${D}u / 4u;
const OWN = ${D}u / 16u;
#if D == 128 || D == 256
const KEYS = 8u;
#else
const KEYS = 16u;
#endif
const HIDDEN = -3.0e38;

struct Params {
    q_strides: vec4<u32>,
    k_strides: vec4<u32>,
    v_strides: vec4<u32>,
    out_strides: vec4<u32>,
    heads: u32,
    share: u32,
    queries: u32,
    keys: u32,
    past: i32,
    window: i32,
    mask_stride: u32,
    scale: f32,
    softcap: f32,
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    mask_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> q: array<Elem>;
@group(0) @binding(1) var<storage, read_write> k: array<Elem>;
@group(0) @binding(2) var<storage, read_write> v: array<Elem>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
#if PADDING
@group(0) @binding(4) var<storage, read_write> mask: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

var<workgroup> query_tile: array<vec4<f32>, TILE * QUADS>;
var<workgroup> tile: array<vec4<f32>, KEYS * QUADS>;
var<workgroup> scores: array<f32, TILE * KEYS>;

fn quad_q(at: u32) -> vec4<f32> {
    return vec4(f32(q[at]), f32(q[at + 1u]), f32(q[at + 2u]), f32(q[at + 3u]));
}

fn quad_k(at: u32) -> vec4<f32> {
    return vec4(f32(k[at]), f32(k[at + 1u]), f32(k[at + 2u]), f32(k[at + 3u]));
}

fn quad_v(at: u32) -> vec4<f32> {
    return vec4(f32(v[at]), f32(v[at + 1u]), f32(v[at + 2u]), f32(v[at + 3u]));
}

fn visible(batch: u32, query: u32, key: u32, rule: Rule) -> bool {
    if query >= params.queries || key >= last_key(query, rule) || key < first_key(query, rule) { return false; }
#if PADDING
    return mask[params.mask_offset + batch * params.mask_stride + key] != 0u;
#else
    return true;
#endif
}

fn capped(score: f32) -> f32 {
    if params.softcap > 0.0 { return params.softcap * safe_tanh(score / params.softcap); }
    return score;
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let batch = workgroup.z;
    let head = workgroup.y;
    let group = head / params.share;
    let first_query = workgroup.x * TILE;
    let rule = Rule(params.keys, params.past, params.window);
    let q_base = params.q_offset + batch * params.q_strides.x + head * params.q_strides.y;
    let k_base = params.k_offset + batch * params.k_strides.x + group * params.k_strides.y;
    let v_base = params.v_offset + batch * params.v_strides.x + group * params.v_strides.y;

    for (var i = local; i < TILE * QUADS; i += WG_X) {
        let query = min(first_query + i / QUADS, params.queries - 1u);
        query_tile[i] = quad_q(q_base + query * params.q_strides.z + i % QUADS * 4u) * params.scale;
    }

    let row = local / 4u;
    let part = local % 4u;
    var sums: array<vec4<f32>, OWN>;
    for (var i = 0u; i < OWN; i++) { sums[i] = vec4(0.0); }
    var largest = HIDDEN;
    var total = 0.0;

    let end = last_key(min(first_query + TILE, params.queries) - 1u, rule);
    let start = first_key(first_query, rule) / KEYS * KEYS;
    for (var key = start; key < end; key += KEYS) {
        workgroupBarrier();
        for (var i = local; i < KEYS * QUADS; i += WG_X) {
            let position = min(key + i / QUADS, params.keys - 1u);
            tile[i] = quad_k(k_base + position * params.k_strides.z + i % QUADS * 4u);
        }
        workgroupBarrier();
        for (var i = local; i < TILE * KEYS; i += WG_X) {
            var dots = vec4(0.0);
            let a = i / KEYS * QUADS;
            let b = i % KEYS * QUADS;
            for (var d = 0u; d < QUADS; d++) { dots += query_tile[a + d] * tile[b + d]; }
            let score = capped(dots.x + dots.y + dots.z + dots.w);
            scores[i] = select(HIDDEN, score, visible(batch, first_query + i / KEYS, key + i % KEYS, rule));
        }
        workgroupBarrier();
        for (var i = local; i < KEYS * QUADS; i += WG_X) {
            let position = min(key + i / QUADS, params.keys - 1u);
            tile[i] = quad_v(v_base + position * params.v_strides.z + i % QUADS * 4u);
        }
        workgroupBarrier();
        var highest = largest;
        for (var i = 0u; i < KEYS; i++) { highest = max(highest, scores[row * KEYS + i]); }
        let shrink = exp(largest - highest);
        largest = highest;
        total *= shrink;
        for (var i = 0u; i < OWN; i++) { sums[i] *= shrink; }
        for (var j = 0u; j < KEYS; j++) {
            let score = scores[row * KEYS + j];
            let weight = select(exp(score - highest), 0.0, score == HIDDEN);
            total += weight;
            for (var i = 0u; i < OWN; i++) { sums[i] += weight * tile[j * QUADS + i * 4u + part]; }
        }
    }

    let query = first_query + row;
    if query >= params.queries { return; }
    let factor = select(1.0 / total, 0.0, total == 0.0);
    let place = params.out_offset + batch * params.out_strides.x + head * params.out_strides.y + query * params.out_strides.z;
    for (var i = 0u; i < OWN; i++) {
        let x = sums[i] * factor;
        let at = place + i * 16u + part * 4u;
        out[at] = Elem(x.x);
        out[at + 1u] = Elem(x.y);
        out[at + 2u] = Elem(x.z);
        out[at + 3u] = Elem(x.w);
    }
}
