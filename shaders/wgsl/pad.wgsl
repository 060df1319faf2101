// out[c] = a[c - before] where that is inside a_shape; else `value`, or by MODE the nearest element (edge) or the mirrored
// one (reflect). before may be negative, which crops. One thread an element of out, whose shape is `shape`.
#variant ELEM = f32 | f16 | i32 | u32
#variant MODE = constant | edge | reflect
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    a_shape: vec4<i32>,
    before: vec4<i32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    a_offset: u32,
    out_offset: u32,
#if MODE == constant
    value: f32,
#endif
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let c = coordinates(element, params.shape);
    let last = params.a_shape - vec4(1);
    var source = vec4<i32>(c) - params.before;
    let place = params.out_offset + position(c, params.out_strides);
#if MODE == constant
    if any(source < vec4(0)) || any(source > last) {
        out[place] = Elem(params.value);
        return;
    }
#elif MODE == reflect
    source = last - abs(last - abs(source));
#endif
    let inside = vec4<u32>(clamp(source, vec4(0), last));
    out[place] = a[params.a_offset + position(inside, params.a_strides)];
}
