// out[c with starts[batch] added to the position along one axis] = updates[c]; out holds the data already. out_strides
// is 0 for that axis, whose stride is out_axis_stride. Behind the end, a circular tensor goes on at its beginning; in
// others nothing is written. One thread an update.
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
    updates_strides: vec4<u32>,
    out_strides: vec4<u32>,
    starts_strides: vec4<u32>,
    along: vec4<u32>,
    total: u32,
    starts_offset: u32,
    updates_offset: u32,
    out_offset: u32,
    axis_size: u32,
    out_axis_stride: u32,
    circular: u32,
}

@group(0) @binding(0) var<storage, read_write> starts: array<i32>;
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
    let start = starts[params.starts_offset + position(c, params.starts_strides)];
    var index = u32(max(start, 0)) + position(c, params.along);
    if params.circular != 0u { index = index % params.axis_size; }
    if index >= params.axis_size { return; }
    let at = params.out_offset + position(c, params.out_strides) + index * params.out_axis_stride;
    out[at] = updates[params.updates_offset + position(c, params.updates_strides)];
}
