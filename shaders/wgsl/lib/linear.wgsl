// What the linear kernels share: slots, parameters, weights of 4 rows x 8 columns as f32, and what is done with 4 sums.
//
// Layouts of packed weights are in lib/packed.wgsl.
// Offsets of weight, in a buffer, and of scales count vec4s; x_offset and x_m_stride are multiples of 4.
//
// What is done with the sums of 4 rows of W, by EPILOGUE:
//   rows   y[m, n] = sum (+ bias[n]) (+ residual[m, n])
//   gate   rows 2i and 2i+1 are a gate and what it lets through: y[m, i] = activation(sum[2i]) * sum[2i+1]
//   heads  rows are heads of queries, keys and values, m = batch * seq + position: lib/heads.wgsl
//   rope   likewise, and the first of them are turned
// The sums are with bias[n], if there is one. n counts from n_start, the first row of this piece.
//
// y index = y_offset + m * y_m_stride + (n / n_inner) * y_outer_stride + (n % n_inner) * y_inner_stride. n_inner is a
// multiple of 4, or at least n_start + n.

#import packed
#if HEADS
#import heads
#endif

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
#if NORM
    gain_offset: u32,
    eps: f32,
#endif
#if RESIDUAL
    residual_offset: u32,
    residual_m_stride: u32,
#endif
#if HEADS
#import head_params
#else
    y_offset: u32,
    y_m_stride: u32,
    y_outer_stride: u32,
    y_inner_stride: u32,
    n_inner: u32,
#endif
}

// Not every kernel has all of them: bindings have gaps.
@group(0) @binding(0) var<storage, read_write> x: array<vec4<Elem>>;
#if !HEADS
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
#endif
#if TEXTURE
@group(0) @binding(4) var weight: texture_2d<u32>;
#elif WEIGHT == f32
@group(0) @binding(4) var<storage, read> weight: array<vec4<f32>>;
#else
@group(0) @binding(4) var<storage, read> weight: array<vec4<u32>>;
#endif
#if SCALED
@group(0) @binding(5) var<storage, read> scales: array<vec4<u32>>;
#endif
#if BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
#endif
#if NORM
@group(0) @binding(7) var<storage, read> gain: array<vec4<f32>>;
#endif
#if RESIDUAL
@group(0) @binding(8) var<storage, read_write> residual: array<Elem>;
#endif
@group(0) @binding(10) var<uniform> params: Params;

fn x_row(m: u32) -> u32 {
    return (params.x_offset + m * params.x_m_stride) / 4u;
}

#if HEADS
// Writes rows 4 * block .. of this piece, which lie in one head.
fn store(m: u32, block: u32, sums: vec4<f32>) {
    let n = params.n_start + block * 4u;
    var value = sums;
#if BIAS
    let begin = params.bias_offset + n;
    value += vec4(bias[begin], bias[begin + 1u], bias[begin + 2u], bias[begin + 3u]);
#endif
    store_heads(m, n, value);
}
#else
fn y_at(m: u32, n: u32) -> u32 {
    return params.y_offset + m * params.y_m_stride + n / params.n_inner * params.y_outer_stride
        + n % params.n_inner * params.y_inner_stride;
}

#if EPILOGUE == gate
// 0 silu, 1 gelu, 2 gelu by tanh, 3 x * sigmoid(1.702 x).
override ACTIVATION: u32 = 0;

fn activation(x: f32) -> f32 {
    switch ACTIVATION {
        case 1u: { return gelu(x); }
        case 2u: { return gelu_tanh(x); }
        case 3u: { return quick_gelu(x); }
        default: { return silu(x); }
    }
}

// Writes what rows 4 * block .. of this piece, two gates, make; their number is even.
fn store(m: u32, block: u32, sums: vec4<f32>) {
    let n = params.n_start + block * 4u;
    var value = sums;
#if BIAS
    let begin = params.bias_offset + n;
    let last = params.bias_offset + params.n_start + params.n - 1u;
    value += vec4(bias[begin], bias[begin + 1u], bias[min(begin + 2u, last)], bias[min(begin + 3u, last)]);
#endif
    let at = y_at(m, n / 2u);
    y[at] = Elem(activation(value.x) * value.y);
    if block * 4u + 2u < params.n { y[at + params.y_inner_stride] = Elem(activation(value.z) * value.w); }
}
#else
// Writes y[m, 4 * block ..], leaving out what lies beyond the rows of this piece.
fn store(m: u32, block: u32, value: vec4<f32>) {
    let n = params.n_start + block * 4u;
    let left = params.n - block * 4u;
    let at = y_at(m, n);
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
#endif
#endif
