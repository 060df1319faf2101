// out[row, i] = (a[row, i] - mean) * weight[i] / sqrt(variance + eps) + bias[i]. One workgroup a row. shape and strides
// are of the rows; a row is contiguous.
#variant ELEM = f32 | f16
#variant BIAS = false | true
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
    a_offset: u32,
    weight_offset: u32,
#if BIAS
    bias_offset: u32,
#endif
    out_offset: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;
#endif

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
    let place = params.out_offset + row_start(row, params.shape, params.out_strides);
    var sum = 0.0;
    for (var i = lane.local; i < params.n; i += WG_X) { sum += f32(a[start + i]); }
    let mean = workgroup_sum(sum, lane) / f32(params.n);
    var square = 0.0;
    for (var i = lane.local; i < params.n; i += WG_X) {
        let x = f32(a[start + i]) - mean;
        square += x * x;
    }
    let factor = 1.0 / sqrt(workgroup_sum(square, lane) / f32(params.n) + params.eps);
    for (var i = lane.local; i < params.n; i += WG_X) {
        let x = (f32(a[start + i]) - mean) * factor * weight[params.weight_offset + i];
#if BIAS
        out[place + i] = Elem(x + bias[params.bias_offset + i]);
#else
        out[place + i] = Elem(x);
#endif
    }
}
