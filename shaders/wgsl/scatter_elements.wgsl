// out[c with indices[c] in place of one coordinate] = updates[c]; out holds the data already. out_strides is 0 for the
// scattered axis, whose stride is out_axis_stride. Negative indices count from the end. One thread an update; two
// updates of one place are written in any order.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    indices_strides: vec4<u32>,
    updates_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    indices_offset: u32,
    updates_offset: u32,
    out_offset: u32,
    axis_size: u32,
    out_axis_stride: u32,
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
    let c = coordinates(element, params.shape);
    let index = wrapped(indices[params.indices_offset + position(c, params.indices_strides)], params.axis_size);
    let at = params.out_offset + position(c, params.out_strides) + index * params.out_axis_stride;
    out[at] = updates[params.updates_offset + position(c, params.updates_strides)];
}
