// What the linear kernels share: slots, parameters, weights of 4 rows x 8 columns as f32, and the epilogue.
//
// Layouts of packed weights are in lib/packed.wgsl.
// Offsets of weight and scales count vec4s; x_offset and x_m_stride are multiples of 4.
//
// y index = y_offset + m * y_m_stride + (n / n_inner) * y_outer_stride + (n % n_inner) * y_inner_stride, where n counts
// from n_start, the first row of this piece. n_inner is a multiple of 4, or at least n_start + n.

#import packed

alias Elem = $ELEM;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    n_start: u32,
    x_offset: u32,
    x_m_stride: u32,
    weight_offset: u32,
#if SCALED
    scales_offset: u32,
#endif
#if BIAS
    bias_offset: u32,
#endif
#if RESIDUAL
    residual_offset: u32,
    residual_m_stride: u32,
#endif
    y_offset: u32,
    y_m_stride: u32,
    y_outer_stride: u32,
    y_inner_stride: u32,
    n_inner: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4<Elem>>;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
#if WEIGHT == f32
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>;
#endif
#if SCALED
@group(0) @binding(3) var<storage, read> scales: array<vec4<u32>>;
#endif
#if SCALED && BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#elif BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#endif
#if SCALED && BIAS && RESIDUAL
@group(0) @binding(5) var<storage, read_write> residual: array<Elem>;
@group(0) @binding(6) var<uniform> params: Params;
#elif SCALED && BIAS
@group(0) @binding(5) var<uniform> params: Params;
#elif (SCALED || BIAS) && RESIDUAL
@group(0) @binding(4) var<storage, read_write> residual: array<Elem>;
@group(0) @binding(5) var<uniform> params: Params;
#elif SCALED || BIAS
@group(0) @binding(4) var<uniform> params: Params;
#elif RESIDUAL
@group(0) @binding(3) var<storage, read_write> residual: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

fn x_row(m: u32) -> u32 {
    return (params.x_offset + m * params.x_m_stride) / 4u;
}

// Writes y[m, 4 * block ..], leaving out what lies beyond the rows of this piece.
fn store(m: u32, block: u32, value: vec4<f32>) {
    let n = params.n_start + block * 4u;
    let left = params.n - block * 4u;
    let at = params.y_offset + m * params.y_m_stride + n / params.n_inner * params.y_outer_stride
        + n % params.n_inner * params.y_inner_stride;
    var sums = value;
    for (var i = 0u; i < min(left, 4u); i++) {
        var sum = sums.x;
#if BIAS
        sum += bias[params.bias_offset + n + i];
#endif
#if RESIDUAL
        sum += f32(residual[params.residual_offset + m * params.residual_m_stride + n + i]);
#endif
        y[at + i * params.y_inner_stride] = Elem(sum);
        sums = sums.yzwx;
    }
}
