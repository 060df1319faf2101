// out[o, i, n] = sum over t of weight[i, t] * x[o, table[i, t], n], where an index below 0 stands for `fill`. One thread
// an element; shape is [1, o, i, n].
#variant ELEM = f32 | f16
#if ELEM == f16
enable f16;
#endif
#import grid
#import coordinates
#import opaque_one

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    x_strides: vec4<u32>,
    out_strides: vec4<u32>,
    total: u32,
    taps: u32,
    x_axis_stride: u32,
    fill: f32,
    x_offset: u32,
    table_offset: u32,
    weight_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read> table: array<i32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let c = coordinates(element, params.shape);
    let row = params.x_offset + position(c, params.x_strides);
    var sum = 0.0;
    for (var t = 0u; t < params.taps; t += opaque_one(workgroup)) {
        let tap = c.z * params.taps + t;
        let index = table[params.table_offset + tap];
        let there = f32(x[row + u32(max(index, 0)) * params.x_axis_stride]);
        sum += weight[params.weight_offset + tap] * select(there, params.fill, index < 0);
    }
    out[params.out_offset + position(c, params.out_strides)] = Elem(sum);
}
