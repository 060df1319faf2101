// One part of the attention of a single query over many keys: parts[row, split] = (sum of exp(score - m) * v, m, sum
// of exp(score - m)) over keys split * length .. (split + 1) * length, D + 2 numbers.
// One workgroup: one row (batch, head, query) and one split. It walks over its keys, WG_X at a time: first each thread
// has a key, then each has elements of the head. Strides: batch, heads, positions; the last dimension is contiguous.
#variant ELEM = f32 | f16
#variant D = 16 | 32 | 64 | 80 | 96 | 112 | 128 | 256
#variant CAUSAL = false | true
#variant WINDOW = false | true
#variant PADDING = false | true
#variant SUBGROUPS = false | true
#exclude WINDOW && !CAUSAL
#if ELEM == f16
enable f16;
#endif

override WG_X: u32 = 64;

#import float
#import mask
#import combine

alias Elem = $ELEM;

const QUADS = ${D}u / 4u;
const HIDDEN = -3.0e38;

struct Params {
    q_strides: vec4<u32>,
    k_strides: vec4<u32>,
    v_strides: vec4<u32>,
    heads: u32,
    share: u32,
    queries: u32,
    keys: u32,
    splits: u32,
    length: u32,
    past: i32,
    window: i32,
    mask_stride: u32,
    scale: f32,
    softcap: f32,
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    mask_offset: u32,
    partial_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> q: array<Elem>;
@group(0) @binding(1) var<storage, read_write> k: array<Elem>;
@group(0) @binding(2) var<storage, read_write> v: array<Elem>;
@group(0) @binding(3) var<storage, read_write> parts: array<f32>;
#if PADDING
@group(0) @binding(4) var<storage, read_write> mask: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

var<workgroup> query: array<vec4<f32>, QUADS>;
var<workgroup> weights: array<f32, WG_X>;

fn score(base: u32) -> f32 {
    var dots = vec4(0.0);
    for (var d = 0u; d < QUADS; d++) {
        let at = base + d * 4u;
        dots += query[d] * vec4(f32(k[at]), f32(k[at + 1u]), f32(k[at + 2u]), f32(k[at + 3u]));
    }
    let sum = dots.x + dots.y + dots.z + dots.w;
    if params.softcap > 0.0 { return params.softcap * safe_tanh(sum / params.softcap); }
    return sum;
}

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>) {
    let local = lane.local;
    let split = workgroup.x;
    let row = workgroup.y;
    let position = row % params.queries;
    let head = row / params.queries % params.heads;
    let batch = row / params.queries / params.heads;
    let group = head / params.share;
    let rule = Rule(params.keys, params.past, params.window);
    let q_base = params.q_offset + batch * params.q_strides.x + head * params.q_strides.y + position * params.q_strides.z;
    let k_base = params.k_offset + batch * params.k_strides.x + group * params.k_strides.y;
    let v_base = params.v_offset + batch * params.v_strides.x + group * params.v_strides.y;
    for (var d = local; d < QUADS; d += WG_X) {
        let at = q_base + d * 4u;
        query[d] = vec4(f32(q[at]), f32(q[at + 1u]), f32(q[at + 2u]), f32(q[at + 3u])) * params.scale;
    }
    workgroupBarrier();

    let begin = max(split * params.length, first_key(position, rule));
    let end = min((split + 1u) * params.length, last_key(position, rule));
    var largest = HIDDEN;
    var total = 0.0;
    var sums: array<f32, 4>; // WG_X is at least D / 4
    for (var first = begin; first < end; first += WG_X) {
        let key = first + local;
        var own = HIDDEN;
        if key < end {
#if PADDING
            if mask[params.mask_offset + batch * params.mask_stride + key] != 0u {
                own = score(k_base + key * params.k_strides.z);
            }
#else
            own = score(k_base + key * params.k_strides.z);
#endif
        }
        let highest = max(largest, workgroup_max(own, lane));
        let weight = select(exp(own - highest), 0.0, own == HIDDEN);
        let shrink = exp(largest - highest);
        largest = highest;
        total = total * shrink + workgroup_sum(weight, lane);
        weights[local] = weight;
        workgroupBarrier();
        let count = min(WG_X, end - first);
        var slot = 0u;
        for (var d = local; d < ${D}u; d += WG_X) {
            var sum = sums[slot] * shrink;
            for (var j = 0u; j < count; j++) {
                sum += weights[j] * f32(v[v_base + (first + j) * params.v_strides.z + d]);
            }
            sums[slot] = sum;
            slot++;
        }
        workgroupBarrier();
    }
    let place = params.partial_offset + (row * params.splits + split) * (${D}u + 2u);
    var slot = 0u;
    for (var d = local; d < ${D}u; d += WG_X) {
        parts[place + d] = sums[slot];
        slot++;
    }
    if local == 0u {
        parts[place + ${D}u] = largest;
        parts[place + ${D}u + 1u] = total;
    }
}
