// out[row, i] = x * weight[i] / sqrt(mean(x^2) + eps) with x = a[row, i], or x = a + residual, written to `sum` too.
// One workgroup a row. shape and strides are of the rows; a row is contiguous.
#variant ELEM = f32 | f16
#variant RESIDUAL = false | true
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
#if RESIDUAL
    residual_strides: vec4<u32>,
    sum_strides: vec4<u32>,
    residual_offset: u32,
    sum_offset: u32,
#endif
    rows: u32,
    n: u32,
    a_offset: u32,
    weight_offset: u32,
    out_offset: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
#if RESIDUAL
@group(0) @binding(3) var<storage, read_write> residual: array<Elem>;
@group(0) @binding(4) var<storage, read_write> sum: array<Elem>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
    let place = params.out_offset + row_start(row, params.shape, params.out_strides);
#if RESIDUAL
    let other = params.residual_offset + row_start(row, params.shape, params.residual_strides);
    let keep = params.sum_offset + row_start(row, params.shape, params.sum_strides);
#endif
    var square = 0.0;
    for (var i = lane.local; i < params.n; i += WG_X) {
#if RESIDUAL
        let x = f32(Elem(f32(a[start + i]) + f32(residual[other + i])));
        sum[keep + i] = Elem(x);
#else
        let x = f32(a[start + i]);
#endif
        square += x * x;
    }
    square = workgroup_sum(square, lane);
    let factor = 1.0 / sqrt(square / f32(params.n) + params.eps);
    for (var i = lane.local; i < params.n; i += WG_X) {
#if RESIDUAL
        let x = f32(sum[keep + i]);
#else
        let x = f32(a[start + i]);
#endif
        out[place + i] = Elem(x * factor * weight[params.weight_offset + i]);
    }
}
