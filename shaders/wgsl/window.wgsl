// out[n, c, o] = OP over the taps k of x[n, c, k, o * stride + k * dilation - before], those outside of x left out; taps_strides
// are 0 where all taps see one x. `mean` divides by the taps in low..high; `argmax` writes where in x the first greatest is,
// by places, too; `dot` is biases[c] + sum over d < depth of filters[c, d, k] * x[n, c / rows * depth + d, ..]. One thread: a
// run of 4 neighbouring positions. strides are (channel, z, y, x).
#variant OP = max | argmax | sum | mean | dot
#variant ELEM = f32 | f16 | i32 | u32
#variant BIAS = false | true
#exclude BIAS && OP != dot
#exclude ELEM == u32 && (OP == sum || OP == mean || OP == dot)
#exclude ELEM == i32 && (OP == sum || OP == mean)
#let PICK = OP == max || OP == argmax
#let FLOAT = ELEM == f32 || ELEM == f16
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import window

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if FLOAT
alias Num = f32;
#else
alias Num = $ELEM;
#endif

struct Params {
    x_shape: vec3<u32>,
    runs: u32,
    out_shape: vec3<u32>,
    row_runs: u32,
    stride: vec3<i32>,
    channels: u32,
    dilation: vec3<i32>,
    x_batch: u32,
    before: vec3<i32>,
    taps: vec3<u32>,
    out_batch: u32,
    taps_strides: vec3<u32>,
    total: u32,
    x_strides: vec4<u32>,
    out_strides: vec4<u32>,
#if OP == mean
    low: vec3<i32>,
    high: vec3<i32>,
#endif
#if OP == argmax
    places: vec4<u32>,
    places_batch: u32,
    indices_offset: u32,
#endif
#if OP == dot
    filters_strides: vec4<u32>,
    filters_row: u32,
    rows: u32,
    depth: u32,
    filters_offset: u32,
#endif
#if BIAS
    biases_offset: u32,
#endif
#if PICK && FLOAT
    least: f32,
#endif
    x_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
#if OP == argmax
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
@group(0) @binding(3) var<uniform> params: Params;
#elif OP == dot && BIAS
@group(0) @binding(2) var<storage, read_write> filters: array<Elem>;
@group(0) @binding(3) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;
#elif OP == dot
@group(0) @binding(2) var<storage, read_write> filters: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;
#else
@group(0) @binding(2) var<uniform> params: Params;
#endif

#if OP == mean
// How many taps lie below a bound, along one axis, of positions that begin at `start`.
fn below(bound: i32, start: vec4<i32>, dilation: i32, taps: u32) -> vec4<i32> {
    return clamp((bound - start + dilation - 1) / dilation, vec4(0), vec4(i32(taps)));
}

fn covered(axis: u32, start: vec4<i32>, taps: u32) -> vec4<i32> {
    let dilation = params.dilation[axis];
    return below(params.high[axis], start, dilation, taps) - below(params.low[axis], start, dilation, taps);
}
#endif

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let row = index / params.runs;
    let n = row / params.channels;
    let c = row % params.channels;
    let place = run_start(index % params.runs, params.row_runs, params.out_shape);
    let start = origin(place, params.stride, params.before);
    let steps = vec4(0, 1, 2, 3) * params.stride.z;
#if OP == dot
    let x_base = params.x_offset + n * params.x_batch + c / params.rows * params.depth * params.x_strides.x;
    let filters_base = params.filters_offset + c * params.filters_row;
#else
    let x_base = params.x_offset + n * params.x_batch + c * params.x_strides.x;
#endif
#if PICK && FLOAT
    var value = vec4(params.least);
#elif PICK && ELEM == i32
    var value = vec4(-2147483647 - 1);
#else
    var value = vec4<Num>();
#endif
#if OP == argmax
    var best = vec4(-1);
#endif
    let one = opaque_one(workgroup);
#if OP == dot
    for (var d = 0u; d < params.depth; d += one) {
#else
    {
        let d = 0u;
#endif
        for (var z = 0u; z < params.taps.x; z += one) {
            let at_z = u32(start.x + i32(z) * params.dilation.x);
            if at_z >= params.x_shape.x { continue; }
            for (var y = 0u; y < params.taps.y; y += one) {
                let at_y = u32(start.y + i32(y) * params.dilation.y);
                if at_y >= params.x_shape.y { continue; }
                var line = x_base + d * params.x_strides.x + at_z * params.x_strides.y + at_y * params.x_strides.z
                    + z * params.taps_strides.x + y * params.taps_strides.y;
                var at = vec4<u32>(start.z + steps);
#if OP == dot
                var filter_at = filters_base + dot(vec3(d, z, y), params.filters_strides.xyz);
#endif
#if OP == argmax
                let there = n * params.places_batch + dot(vec3(c, at_z, at_y), params.places.xyz);
#endif
                for (var k = 0u; k < params.taps.z; k += one) {
                    let inside = at < vec4(params.x_shape.z);
                    let source = line + select(vec4(0u), at, inside) * params.x_strides.w;
                    let seen = vec4(Num(x[source.x]), Num(x[source.y]), Num(x[source.z]), Num(x[source.w]));
#if OP == max
                    value = select(value, max(value, seen), inside);
#elif OP == argmax
                    let better = inside & ((seen > value) | (best < vec4(0)));
                    value = select(value, seen, better);
                    best = select(best, vec4<i32>(there + at * params.places.w), better);
#elif OP == dot
                    value += Num(filters[filter_at]) * select(vec4<Num>(), seen, inside);
                    filter_at += params.filters_strides.w;
#else
                    value += select(vec4<Num>(), seen, inside);
#endif
                    at += u32(params.dilation.z);
                    line += params.taps_strides.z;
                }
            }
        }
    }
#if OP == mean
    value /= vec4<f32>(covered(0u, vec4(start.x), params.taps.x) * covered(1u, vec4(start.y), params.taps.y)
        * covered(2u, start.z + steps, params.taps.z));
#endif
#if BIAS
    value += Num(biases[params.biases_offset + c]);
#endif
    let to = params.out_offset + n * params.out_batch + c * params.out_strides.x
        + place.x * params.out_strides.y + place.y * params.out_strides.z + place.z * params.out_strides.w;
#if OP == argmax
    let first = params.indices_offset
        + (row * params.out_shape.x + place.x) * params.out_shape.y * params.out_shape.z
        + place.y * params.out_shape.z + place.z;
#endif
#for j in 0..4
    if place.z + ${j}u < params.out_shape.z {
        out[to + ${j}u * params.out_strides.w] = Elem(value[$j]);
#if OP == argmax
        indices[first + ${j}u] = best[$j];
#endif
    }
#endfor
}
