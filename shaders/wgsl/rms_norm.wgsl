// out[row, i] = x[row, i] * weight[i] / sqrt(mean(x^2) + eps) (+ residual[row, i]). One workgroup a row. shape and strides are of the rows; a row is
// contiguous. With WIDE threads take 4 elements at a time: offsets, strides and n are multiples of 4.
#variant ELEM = f32 | f16
#variant WIDE = false | true
#variant SUBGROUPS = false | true
#variant RESIDUAL = false | true
#if ELEM == f16
enable f16;
#endif

override WG_X: u32 = 64;

#import grid
#import rows
#import combine

#if WIDE
alias Elems = vec4<$ELEM>;
alias Floats = vec4<f32>;
const WIDTH = 4u;

fn squared(x: Floats) -> f32 {
    return dot(x, x);
}
#else
alias Elems = $ELEM;
alias Floats = f32;
const WIDTH = 1u;

fn squared(x: Floats) -> f32 {
    return x * x;
}
#endif

struct Params {
    shape: vec4<u32>,
    x_strides: vec4<u32>,
    out_strides: vec4<u32>,
    rows: u32,
    n: u32,
    x_offset: u32,
    weight_offset: u32,
    out_offset: u32,
    eps: f32,
#if RESIDUAL
    residual_offset: u32,
    residual_strides: vec4<u32>,
#endif
}

@group(0) @binding(0) var<storage, read_write> x: array<Elems>;
@group(0) @binding(1) var<storage, read> weight: array<Floats>;
@group(0) @binding(2) var<storage, read_write> out: array<Elems>;
#if RESIDUAL
@group(0) @binding(3) var<storage, read_write> residual: array<Elems>;
#endif
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let start = (params.x_offset + row_start(row, params.shape, params.x_strides)) / WIDTH;
    let place = (params.out_offset + row_start(row, params.shape, params.out_strides)) / WIDTH;
    let gain = params.weight_offset / WIDTH;
    let n = params.n / WIDTH;
    var square = 0.0;
    for (var i = lane.local; i < n; i += WG_X) { square += squared(Floats(x[start + i])); }
    let factor = 1.0 / sqrt(workgroup_sum(square, lane) / f32(params.n) + params.eps);
#if RESIDUAL
    let more = (params.residual_offset + row_start(row, params.shape, params.residual_strides)) / WIDTH;
#endif
    for (var i = lane.local; i < n; i += WG_X) {
        var value = Floats(x[start + i]) * factor * weight[gain + i];
#if RESIDUAL
        value += Floats(residual[more + i]);
#endif
        out[place + i] = Elems(value);
    }
}
