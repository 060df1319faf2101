// out[i, r] = data[indices[i, 0], .., indices[i, depth - 1], r]: one thread an element. All tensors are contiguous.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import coordinates

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    axis_sizes: vec4<u32>,
    axis_strides: vec4<u32>,
    total: u32,
    inner: u32,
    depth: u32,
    data_offset: u32,
    indices_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> data: array<Elem>;
@group(0) @binding(1) var<storage, read_write> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

#import tuples

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let start = slice_start(element / params.inner, opaque_one(workgroup));
    out[params.out_offset + element] = data[params.data_offset + start + element % params.inner];
}
