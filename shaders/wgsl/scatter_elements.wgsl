// out[c with indices[c] in place of one coordinate] meets updates[c]; out holds the data already. out_strides is 0 for the
// scattered axis, whose stride is out_axis_stride. One thread takes `walk` updates along that axis, one after the other: all
// of them where REDUCTION combines, so that repeated places need no atomics (two lines along the axis never meet); with
// walk 1, two updates of one place are written in any order. shape counts threads. Negative indices count from the end.
#variant ELEM = f32 | f16 | i32 | u32
#variant REDUCTION = none | add | mul | min | max
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import coordinates
#import float

override WG_X: u32 = 64;

alias Elem = $ELEM;

#import scatter

struct Params {
    shape: vec4<u32>,
    indices_strides: vec4<u32>,
    updates_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    walk: u32,
    indices_offset: u32,
    updates_offset: u32,
    out_offset: u32,
    axis_size: u32,
    indices_axis_stride: u32,
    updates_axis_stride: u32,
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
    let one = opaque_one(workgroup);
    let c = coordinates(element, params.shape);
    var place = params.indices_offset + position(c, params.indices_strides);
    var update = params.updates_offset + position(c, params.updates_strides);
    let line = params.out_offset + position(c, params.out_strides);
    for (var i = 0u; i < params.walk; i += one) {
        let at = line + wrapped(indices[place], params.axis_size) * params.out_axis_stride;
        out[at] = met(out[at], updates[update]);
        place += params.indices_axis_stride;
        update += params.updates_axis_stride;
    }
}
