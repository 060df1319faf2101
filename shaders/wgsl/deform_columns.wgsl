// out[n, c * taps + k, o] = x[n, c] at o * stride + k * dilation - before + offsets[n, g * taps + k, :, o], linearly between
// elements and 0 outside, times masks[n, g * taps + k, o] where MASK; g = c / depth. All but x lies in its order without
// gaps. One thread: one element of out.
#variant ELEM = f32 | f16
#variant MASK = false | true
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    x_strides: vec4<u32>,
    x_shape: vec2<u32>,
    out_shape: vec2<u32>,
    stride: vec2<i32>,
    dilation: vec2<i32>,
    before: vec2<i32>,
    taps: vec2<u32>,
    channels: u32,
    depth: u32,
    total: u32,
    x_offset: u32,
    offsets_offset: u32,
    out_offset: u32,
#if MASK
    masks_offset: u32,
#endif
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> offsets: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
#if MASK
@group(0) @binding(3) var<storage, read_write> masks: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

fn element(base: u32, at: vec2<i32>) -> f32 {
    let place = vec2<u32>(at);
    if any(place >= params.x_shape) { return 0.0; }
    return f32(x[base + place.x * params.x_strides.z + place.y * params.x_strides.w]);
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let area = params.out_shape.x * params.out_shape.y;
    let position = index % area;
    let row = index / area;
    let taps = params.taps.x * params.taps.y;
    let k = row % taps;
    let c = row / taps % params.channels;
    let n = row / taps / params.channels;
    let groups = params.channels / params.depth;
    let line = (n * groups + c / params.depth) * taps + k;
    let o = vec2<i32>(vec2(position / params.out_shape.y, position % params.out_shape.y));
    let tap = vec2<i32>(vec2(k / params.taps.y, k % params.taps.y));
    let pair = params.offsets_offset + line * 2u * area + position;
    let moved = vec2(f32(offsets[pair]), f32(offsets[pair + area]));
    // Far outside is as good as just outside.
    let p = clamp(
        vec2<f32>(o * params.stride + tap * params.dilation - params.before) + moved,
        vec2(-2.0), vec2<f32>(params.x_shape) + 1.0);
    let low = floor(p);
    let part = p - low;
    let at = vec2<i32>(low);
    let base = params.x_offset + n * params.x_strides.x + c * params.x_strides.y;
    let top = mix(element(base, at), element(base, at + vec2(0, 1)), part.y);
    let bottom = mix(element(base, at + vec2(1, 0)), element(base, at + vec2(1, 1)), part.y);
    var value = mix(top, bottom, part.x);
#if MASK
    value *= f32(masks[params.masks_offset + line * area + position]);
#endif
    out[params.out_offset + index] = Elem(value);
}
