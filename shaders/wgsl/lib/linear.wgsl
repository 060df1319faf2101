// What the linear kernels share: slots, parameters, weights of 4 rows x 8 columns as f32, and the epilogue.
//
// Packed weights, one vec4 component a row (row n in vec4 n / 4, component n % 4), the vec4 of columns adjacent:
//   m0e4     [n/4][k/8]: u32 of 8 codes; columns 2i and 2i+1 of the 8 in bits 4i.. and 16+4i..; w = S * (1 + code/16) + B
//   affine8  [n/4][k/4]: u32 of 4 codes in byte order; w = S * code + B
//   f16      [n/4][k/2]: u32 of 2 halves, the even column low
//   f32      [n/4][k]
// Scales [n/4][k/GROUP]: S in the low half, B in the high half. k is a multiple of 8, but need not be one of GROUP.
// Offsets of weight and scales count vec4s; x_offset and x_m_stride are multiples of 4.
//
// y index = y_offset + m * y_m_stride + (n / n_inner) * y_outer_stride + (n % n_inner) * y_inner_stride.

alias Elem = $ELEM;

override GROUP: u32 = 32;

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

// Columns 8j .. 8j+8 of rows 4 * block .. 4 * block + 4, codes not yet scaled.
struct Chunk {
#for i in 0..8
    w$i: vec4<f32>,
#endfor
}

#if WEIGHT == m0e4
// The code is put at the top of an f32 mantissa with exponent 0: 1 + code/16, with no conversion.
fn load_chunk(block: u32, j: u32) -> Chunk {
    let w = weight[params.weight_offset + block * (params.k / 8u) + j];
    return Chunk(
        code(w << vec4(19u)), code(w << vec4(3u)), code(w << vec4(15u)), code(w >> vec4(1u)),
        code(w << vec4(11u)), code(w >> vec4(5u)), code(w << vec4(7u)), code(w >> vec4(9u)));
}

fn code(bits: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>((bits & vec4(0x00780000u)) | vec4(0x3f800000u));
}
#elif WEIGHT == affine8
fn load_chunk(block: u32, j: u32) -> Chunk {
    let at = params.weight_offset + block * (params.k / 4u) + j * 2u;
    let a = weight[at];
    let b = weight[at + 1u];
    return Chunk(
        code(a), code(a >> vec4(8u)), code(a >> vec4(16u)), code(a >> vec4(24u)),
        code(b), code(b >> vec4(8u)), code(b >> vec4(16u)), code(b >> vec4(24u)));
}

fn code(bits: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(bits & vec4(0xffu));
}
#elif WEIGHT == f16
fn load_chunk(block: u32, j: u32) -> Chunk {
    let at = params.weight_offset + block * (params.k / 2u) + j * 4u;
#for i in 0..4
    let a$i = weight[at + ${i}u];
#endfor
    return Chunk(low(a0), high(a0), low(a1), high(a1), low(a2), high(a2), low(a3), high(a3));
}
#else
fn load_chunk(block: u32, j: u32) -> Chunk {
    let at = params.weight_offset + block * params.k + j * 8u;
    return Chunk(
        weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u],
        weight[at + 4u], weight[at + 5u], weight[at + 6u], weight[at + 7u]);
}
#endif

fn low(a: vec4<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(a.x).x, unpack2x16float(a.y).x, unpack2x16float(a.z).x, unpack2x16float(a.w).x);
}

fn high(a: vec4<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(a.x).y, unpack2x16float(a.y).y, unpack2x16float(a.z).y, unpack2x16float(a.w).y);
}

#if SCALED
fn load_scale(block: u32, j: u32) -> vec4<u32> {
    let groups = (params.k + GROUP - 1u) / GROUP;
    return scales[params.scales_offset + block * groups + j * 8u / GROUP];
}
#endif

fn dot_chunk(c: Chunk, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a.x * c.w0 + a.y * c.w1 + a.z * c.w2 + a.w * c.w3 + b.x * c.w4 + b.y * c.w5 + b.z * c.w6 + b.w * c.w7;
}

fn add4(a: vec4<f32>) -> f32 {
    return a.x + a.y + a.z + a.w;
}

fn x_row(m: u32) -> u32 {
    return (params.x_offset + m * params.x_m_stride) / 4u;
}

// Writes y[m, 4 * block ..], leaving out what lies beyond the rows of this piece.
fn store(m: u32, block: u32, value: vec4<f32>) {
#for i in 0..4
    if block * 4u + ${i}u < params.n { store_one(m, params.n_start + block * 4u + ${i}u, value[$i]); }
#endfor
}

fn store_one(m: u32, n: u32, value: f32) {
    var sum = value;
#if BIAS
    sum += bias[params.bias_offset + n];
#endif
#if RESIDUAL
    sum += f32(residual[params.residual_offset + m * params.residual_m_stride + n]);
#endif
    let at = n / params.n_inner * params.y_outer_stride + n % params.n_inner * params.y_inner_stride;
    y[params.y_offset + m * params.y_m_stride + at] = Elem(sum);
}
