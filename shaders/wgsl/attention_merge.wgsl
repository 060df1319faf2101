// out[row, d] = the parts of attention_decode put together: each weighted by exp(its maximum - the common maximum).
// One workgroup: one row (batch, head, query); one thread: elements of the head. Strides: batch, heads, positions.
#variant ELEM = f32 | f16
#if ELEM == f16
enable f16;
#endif

override WG_X: u32 = 64;

alias Elem = $ELEM;

const HIDDEN = -3.0e38;

struct Params {
    out_strides: vec4<u32>,
    heads: u32,
    queries: u32,
    splits: u32,
    d: u32,
    partial_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
    let row = workgroup.x;
    let position = row % params.queries;
    let head = row / params.queries % params.heads;
    let batch = row / params.queries / params.heads;
    let width = params.d + 2u;
    let base = params.partial_offset + row * params.splits * width;
    var largest = HIDDEN;
    for (var i = 0u; i < params.splits; i++) { largest = max(largest, parts[base + i * width + params.d]); }
    var total = 0.0;
    for (var i = 0u; i < params.splits; i++) {
        let m = parts[base + i * width + params.d];
        total += exp(m - largest) * parts[base + i * width + params.d + 1u];
    }
    let factor = select(1.0 / total, 0.0, total == 0.0);
    let place = params.out_offset + batch * params.out_strides.x + head * params.out_strides.y + position * params.out_strides.z;
    for (var d = local; d < params.d; d += WG_X) {
        var sum = 0.0;
        for (var i = 0u; i < params.splits; i++) {
            sum += exp(parts[base + i * width + params.d] - largest) * parts[base + i * width + d];
        }
        out[place + d] = Elem(sum * factor);
    }
}
