// out[indices[i, 0], .., indices[i, depth - 1], r] = updates[i, r]; out holds the data already. One thread an element; two
// updates of one place are written in any order. axis_sizes and axis_strides belong to the `depth` <= 4 leading axes of
// out. Negative indices count from the end.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    axis_sizes: vec4<u32>,
    axis_strides: vec4<u32>,
    total: u32,
    inner: u32,
    depth: u32,
    indices_offset: u32,
    updates_offset: u32,
    out_offset: u32,
    indices_stride: u32,
    out_inner_stride: u32,
    updates_stride: u32,
    updates_inner_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(1) var<storage, read_write> updates: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let i = element / params.inner;
    let r = element % params.inner;
    var at = params.out_offset + r * params.out_inner_stride;
    for (var axis = 0u; axis < params.depth; axis++) {
        let index = wrapped(indices[params.indices_offset + i * params.indices_stride + axis], params.axis_sizes[axis]);
        at += index * params.axis_strides[axis];
    }
    let other = params.updates_offset + i * params.updates_stride + r * params.updates_inner_stride;
    out[at] = updates[other];
}
