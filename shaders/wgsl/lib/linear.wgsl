// What the linear kernels share: slots, parameters, weights of 4 rows x 8 columns as f32, and what is done with 4 sums.
//
// Layouts of packed weights are in lib/packed.wgsl.
// Offsets of weight, in a buffer, and of scales count vec4s; x_offset and x_m_stride are multiples of 4.
//
// What is done with the sums of 4 rows of W, by EPILOGUE:
//   rows   y[m, n] = sum (+ bias[n]) (+ residual[m, n])
//   gate   rows 2i and 2i+1 are a gate and what it lets through: y[m, i] = activation(sum[2i]) * sum[2i+1]
//   heads  rows are heads of head_dim in three runs, which end at row ends.x and ends.y: q, k and v of [batch, head,
//          position, element], m = batch * seq + position; k and v lie in a cache whose floats are HELD: with f8 in words of
//          four (lib/f8.wgsl), in the order of rows, and strides are multiples of 4 but for the last, which is 1
//   rope   likewise, and the first `turned` runs are turned by a table of cosines and, behind them, sines, where the first
//          `rotary` rows of a head are pairs: elements i and i + rotary/2, or neighbours where INTERLEAVED is 1; they are
//          written in the order of rows where IN_ROWS is 1
// The sums are with bias[n], if there is one. n counts from n_start, the first row of this piece.
//
// y index = y_offset + m * y_m_stride + (n / n_inner) * y_outer_stride + (n % n_inner) * y_inner_stride. n_inner is a
// multiple of 4, or at least n_start + n. head_dim, rotary and the ends of runs are multiples of 4.

#import packed
#if HELD == f8
#import f8
#endif

alias Elem = $ELEM;
#if HELD == f16
alias Held = f16;
#elif HELD == f8
alias Held = u32;
#else
alias Held = $ELEM;
#endif

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
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
    head_dim: u32,
    seq: u32,
    ends: vec2<u32>,
    q_strides: vec4<u32>,
    k_strides: vec4<u32>,
    v_strides: vec4<u32>,
#else
    y_offset: u32,
    y_m_stride: u32,
    y_outer_stride: u32,
    y_inner_stride: u32,
    n_inner: u32,
#endif
#if EPILOGUE == rope
    rotations_offset: u32,
    rotary: u32,
    turned: u32,
    rotations_strides: vec3<u32>,
#endif
}

// Not every kernel has all of them: bindings have gaps.
@group(0) @binding(0) var<storage, read_write> x: array<vec4<Elem>>;
#if HEADS
@group(0) @binding(1) var<storage, read_write> q: array<Elem>;
@group(0) @binding(2) var<storage, read_write> k: array<Held>;
@group(0) @binding(3) var<storage, read_write> v: array<Held>;
#else
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
#if EPILOGUE == rope
@group(0) @binding(9) var<storage, read_write> rotations: array<Elem>;
#endif
@group(0) @binding(10) var<uniform> params: Params;

fn x_row(m: u32) -> u32 {
    return (params.x_offset + m * params.x_m_stride) / 4u;
}

#if HEADS
// Where element `e` of head `h` lies in row `m`.
fn head_at(m: u32, h: u32, e: u32, offset: u32, strides: vec4<u32>) -> u32 {
    return offset + m / params.seq * strides.x + h * strides.y + m % params.seq * strides.z + e * strides.w;
}

#if EPILOGUE == rope
override INTERLEAVED: u32 = 0;
// Whether a cosine and a sine are for both of a pair.
override HALF_TABLE: u32 = 0;
override IN_ROWS: u32 = 0;

fn turn(m: u32, elements: vec4<u32>, value: vec4<f32>) -> vec4<f32> {
    var column = elements;
    var width = params.rotary;
    if HALF_TABLE == 1u {
        width /= 2u;
        column = select(elements % width, elements / 2u, vec4(INTERLEAVED == 1u));
    }
    let row = params.rotations_offset
        + m / params.seq * params.rotations_strides.x + m % params.seq * params.rotations_strides.y;
    let at = vec4(row) + column * params.rotations_strides.z;
    let sines = at + vec4(width * params.rotations_strides.z);
    let c = vec4(f32(rotations[at.x]), f32(rotations[at.y]), f32(rotations[at.z]), f32(rotations[at.w]));
    let s = vec4(f32(rotations[sines.x]), f32(rotations[sines.y]), f32(rotations[sines.z]), f32(rotations[sines.w]));
    return value * c + vec4(-value.y, value.x, -value.w, value.z) * s;
}
#endif

// Writes rows 4 * block .. of this piece, which lie in one head.
fn store(m: u32, block: u32, sums: vec4<f32>) {
    let n = params.n_start + block * 4u;
    var value = sums;
#if BIAS
    let begin = params.bias_offset + n;
    value += vec4(bias[begin], bias[begin + 1u], bias[begin + 2u], bias[begin + 3u]);
#endif
    let run = u32(n >= params.ends.x) + u32(n >= params.ends.y);
    let row = n - select(select(params.ends.x, params.ends.y, run == 2u), 0u, run == 0u);
    let h = row / params.head_dim;
    let first = row % params.head_dim;
    var e = vec4(first, first + 1u, first + 2u, first + 3u);
#if EPILOGUE == rope
    if run < params.turned && first < params.rotary {
        if INTERLEAVED == 0u {
            let half = params.rotary / 2u;
            e = vec4(first / 2u, first / 2u + half, first / 2u + 1u, first / 2u + 1u + half);
        }
        value = turn(m, e, value);
        if IN_ROWS == 1u { e = vec4(first, first + 1u, first + 2u, first + 3u); }
    }
#endif
    if run == 0u {
        let at = head_at(m, h, 0u, params.q_offset, params.q_strides);
#for i in 0..4
        q[at + e[$i] * params.q_strides.w] = Elem(value[$i]);
#endfor
    } else if run == 1u {
        let at = head_at(m, h, 0u, params.k_offset, params.k_strides);
#if HELD == f8
        k[(at + first) / 4u] = f8_word(value);
#else
#for i in 0..4
        k[at + e[$i] * params.k_strides.w] = Held(value[$i]);
#endfor
#endif
    } else {
        let at = head_at(m, h, 0u, params.v_offset, params.v_strides);
#if HELD == f8
        v[(at + first) / 4u] = f8_word(value);
#else
#for i in 0..4
        v[at + e[$i] * params.v_strides.w] = Held(value[$i]);
#endfor
#endif
    }
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
