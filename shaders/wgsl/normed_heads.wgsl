// Queries, keys and values [batch, head, position, element] out of rows [m, n], which are their heads: lib/heads.wgsl. Queries
// and keys are normalised first, x / sqrt(mean(x^2) + eps) * gain, each head by itself; gain is that of queries and, behind it,
// that of keys. One workgroup a head of one m, one thread four rows at a time. Offset and stride of x are multiples of 4.
#variant ELEM = f32 | f16
#variant HELD = same | f16 | f8
#variant EPILOGUE = rope | heads
#variant SUBGROUPS = false | true
#exclude HELD == f16 && ELEM == f16
#if ELEM == f16 || HELD == f16
enable f16;
#endif

override WG_X: u32 = 64;

#import grid
#import combine
#import heads

struct Params {
    m: u32,
    n: u32,
    x_offset: u32,
    x_m_stride: u32,
    gain_offset: u32,
    eps: f32,
#import head_params
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4<$ELEM>>;
@group(0) @binding(4) var<storage, read> gain: array<f32>;
@group(0) @binding(10) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(lane: Lane, @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    let heads = params.n / params.head_dim;
    let index = workgroup_index(workgroup, count);
    let m = index / heads;
    if m >= params.m { return; }
    let n = index % heads * params.head_dim;
    let begin = (params.x_offset + m * params.x_m_stride + n) / 4u;
    let blocks = params.head_dim / 4u;
    let run = run_of(n);
    var square = 0.0;
    for (var i = lane.local; i < blocks; i += WG_X) {
        let value = vec4<f32>(x[begin + i]);
        square += dot(value, value);
    }
    let factor = 1.0 / sqrt(workgroup_sum(square, lane) / f32(params.head_dim) + params.eps);
    for (var i = lane.local; i < blocks; i += WG_X) {
        var value = vec4<f32>(x[begin + i]);
        if run < 2u {
            let at = vec4(params.gain_offset + run * params.head_dim) + elements_of(run, i * 4u);
            value *= factor * vec4(gain[at.x], gain[at.y], gain[at.z], gain[at.w]);
        }
        store_heads(m, n + i * 4u, value);
    }
}
