// out[i, j, m, n] = a[i, j, m, n] where n - m >= diagonal (UPPER) or <= diagonal, else 0. One thread an element.
#variant ELEM = f32 | f16 | i32 | u32
#variant UPPER = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    a_offset: u32,
    out_offset: u32,
    diagonal: i32,
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
    let distance = i32(c.w) - i32(c.z);
#if UPPER
    let keep = distance >= params.diagonal;
#else
    let keep = distance <= params.diagonal;
#endif
    let x = a[params.a_offset + position(c, params.a_strides)];
    out[params.out_offset + position(c, params.out_strides)] = select(Elem(0), x, keep);
}
