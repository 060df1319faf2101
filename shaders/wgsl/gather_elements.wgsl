// out[o, i, r] = a[.., indices[o, i, r], ..] along one axis; all contiguous. indices and out have shape [shape..] of up to
// 4 dimensions (innermost last); a has the given strides, and `size` positions along `axis`. Negative indices count from
// the end. One thread: one element.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    total: u32,
    axis: u32,
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
    var at = indices[params.indices_offset + index];
    if at < 0 { at += i32(params.size); }
    var rest = index;
    var place = params.a_offset;
    for (var d = 4u; d > 0u; d--) {
        let axis = d - 1u;
        let own = rest % params.shape[axis];
        rest /= params.shape[axis];
        place += select(own, u32(clamp(at, 0, i32(params.size) - 1)), axis == params.axis) * params.a_strides[axis];
    }
    out[params.out_offset + index] = a[place];
}
