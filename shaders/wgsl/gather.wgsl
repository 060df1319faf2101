// out[o, i, r] = a[o, indices[i], r]: whole slices along one axis of a, which is [outer, size, inner] with strides
// (o, axis, r); out has strides (o, i, r). Negative indices count from the end; others are held inside.
// One thread: one element.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    count: u32,
    inner: u32,
    size: u32,
    a_offset: u32,
    indices_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let r = index % params.inner;
    let i = index / params.inner % params.count;
    let o = index / params.inner / params.count;
    var at = indices[params.indices_offset + i];
    if at < 0 { at += i32(params.size); }
    let held = u32(clamp(at, 0, i32(params.size) - 1));
    let from_index = o * params.a_strides.x + held * params.a_strides.y + r * params.a_strides.z;
    let to_index = o * params.out_strides.x + i * params.out_strides.y + r * params.out_strides.z;
    out[params.out_offset + to_index] = a[params.a_offset + from_index];
}
