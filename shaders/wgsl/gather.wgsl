// out[c] = data[c with indices[c] in place of one coordinate]: ONNX Gather, where indices have stride 0 along the
// coordinates of data, and GatherElements. data_strides is 0 for the gathered axis, whose stride is data_axis_stride.
// Negative indices count from the end; others outside are brought inside. One thread an element.
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
    data_strides: vec4<u32>,
    indices_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    data_offset: u32,
    indices_offset: u32,
    out_offset: u32,
    axis_size: u32,
    data_axis_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> data: array<Elem>;
@group(0) @binding(1) var<storage, read_write> indices: array<i32>;
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
    let at = params.data_offset + position(c, params.data_strides) + index * params.data_axis_stride;
    out[params.out_offset + position(c, params.out_strides)] = data[at];
}
