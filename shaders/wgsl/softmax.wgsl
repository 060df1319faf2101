// out[row, i] = exp(a[row, i] - max) / sum, or its logarithm; one workgroup a row. shape and strides are of the rows;
// a_step and out_step are the strides along n.
#variant ELEM = f32 | f16
#variant LOG = false | true
#variant SUBGROUPS = false | true
#if ELEM == f16
enable f16;
#endif

override WG_X: u32 = 64;

#import grid
#import rows
#import combine

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    rows: u32,
    n: u32,
    a_step: u32,
    out_step: u32,
    a_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
    let place = params.out_offset + row_start(row, params.shape, params.out_strides);
    var largest = f32(a[start]);
    for (var i = lane.local; i < params.n; i += WG_X) {
        largest = max(largest, f32(a[start + i * params.a_step]));
    }
    largest = workgroup_max(largest, lane);
    var sum = 0.0;
    for (var i = lane.local; i < params.n; i += WG_X) {
        sum += exp(f32(a[start + i * params.a_step]) - largest);
    }
    sum = workgroup_sum(sum, lane);
    for (var i = lane.local; i < params.n; i += WG_X) {
        let x = f32(a[start + i * params.a_step]) - largest;
#if LOG
        out[place + i * params.out_step] = Elem(x - log(sum));
#else
        out[place + i * params.out_step] = Elem(exp(x) / sum);
#endif
    }
}
